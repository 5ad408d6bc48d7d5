/**
 * Hooks of the container's namespaces, createContainer and startContainer, as ops of init
 * (runtime-spec 1.3 config.md#posix-platform-hooks). runtime-namespace hooks are run.ts's.
 *
 * A hook is a child with the state on standard input (a memfd, so that no pipe can fill), its output
 * in another memfd whose tail is quoted when it fails, a process group of its own, and a deadline
 * that ends with SIGKILL. Init waits for it and goes on only after exit status 0. Pure.
 */

import type { Hook } from '@opencontainers-ts/spec';
import {
  CLOSE_RANGE_CLOEXEC,
  MFD_CLOEXEC,
  SEEK_END,
  SEEK_SET,
} from '../libcontainer/linux/fcntl.ts';
import {
  CLONE_ARGS,
  CLONE_ARGS_SIZE,
  CLONE_PIDFD,
  P_PIDFD,
  POLLIN,
  SIGCHLD,
  SIGINFO_SIZE,
  SIGKILL,
  WEXITED,
} from '../libcontainer/linux/sched.ts';
import { type Draft, load } from '../libcontainer/plan/draft.ts';
import { TAG } from '../libcontainer/plan/messages.ts';
import {
  ERR,
  IGNORED,
  type Label,
  type Pointer,
  type ProgramBuilder,
  type Slot,
} from '../libcontainer/program/builder.ts';
import { MESSAGE_SIZE } from '../libcontainer/program/op.ts';
import { DEFAULT_TIMEOUT_SECONDS } from './points.ts';

/** waitid(2): offsets in siginfo_t of si_code and si_status; CLD_EXITED. */
const SI_CODE = 8;
const SI_STATUS = 24;
const CLD_EXITED = 1;
/** The caller's umask does not reach init; this is what runc's hooks see. */
const HOOK_UMASK = 0o022;
/** How much of a failed hook's output is quoted. */
const TAIL_BYTES = 1024;

/** What a HOOK message's first word says besides si_code: the hook could not be executed, or hung. */
export const HOOK_NOT_EXECUTED = 100;
export const HOOK_TIMED_OUT = 101;

/** A HOOK message's first word is index * HOOK_KINDS + kind. */
export const HOOK_KINDS = 1000;

export interface HookRequest {
  readonly hook: Hook;
  readonly specPath: string;
  /** Position among the hooks of its point, told in the HOOK message. */
  readonly index: number;
  /** The OCI state as JSON. */
  readonly state: Uint8Array;
  /** Environment where the hook has none of its own. */
  readonly defaultEnv: readonly string[];
  /** Directory to run in, an open descriptor; absent: where init is. */
  readonly directory?: Slot;
}

interface HookFds {
  readonly input: Slot;
  readonly output: Slot;
  readonly pid: Slot;
  readonly pidfd: Slot;
  readonly group: Slot;
  readonly size: Slot;
  readonly got: Slot;
}

/** Runs one hook; on failure sends HOOK with the output's tail to ERR and ends init. */
export function planHook(draft: Draft, request: HookRequest): void {
  const b = draft.builder;
  const { hook } = request;
  b.section(request.specPath, `run the hook ${hook.path}`, hook.path);
  const fds = hookFds(draft);
  b.call('memfd_create', [b.string('state'), MFD_CLOEXEC], { into: fds.input });
  b.call('write', [fds.input, b.bytes(request.state), request.state.length]);
  b.call('lseek', [fds.input, 0, SEEK_SET]);
  b.call('memfd_create', [b.string('output'), MFD_CLOEXEC], { into: fds.output });
  const child = b.label();
  const waiting = b.label();
  planClone(b, fds, child);
  b.jump(waiting);
  b.place(child);
  planChild(draft, fds, request);
  b.place(waiting);
  planWait(b, fds, request);
  for (const fd of [fds.input, fds.output, fds.pidfd]) b.call('close', [fd]);
}

/** The same slots for every hook of a container: there may be many. */
function hookFds(draft: Draft): HookFds {
  return {
    input: draft.slot('hook input'),
    output: draft.slot('hook output'),
    pid: draft.slot('hook'),
    pidfd: draft.slot('hook pidfd'),
    group: draft.slot('hook group'),
    size: draft.slot('output size'),
    got: draft.slot('output tail'),
  };
}

function planClone(b: ProgramBuilder, fds: HookFds, child: Label): void {
  const args = b.space(CLONE_ARGS_SIZE);
  b.setU64(args.plus(CLONE_ARGS.flags), CLONE_PIDFD);
  b.setU64(args.plus(CLONE_ARGS.pidfd), fds.pidfd.address);
  b.setU64(args.plus(CLONE_ARGS.exitSignal), SIGCHLD);
  b.call('clone3', [args, CLONE_ARGS_SIZE], { into: fds.pid, onZero: child });
}

function planChild(draft: Draft, fds: HookFds, request: HookRequest): void {
  const b = draft.builder;
  const { hook } = request;
  const failed = b.label();
  b.trap(undefined);
  b.call('setpgid', [0, 0]);
  b.call('umask', [HOOK_UMASK]);
  if (request.directory !== undefined) b.call('fchdir', [request.directory]);
  b.call('dup3', [fds.input, 0, 0]);
  b.call('dup3', [fds.output, 1, 0]);
  b.call('dup3', [fds.output, 2, 0]);
  b.call('close_range', [3, 0xffffffff, CLOSE_RANGE_CLOEXEC]);
  const argv = b.stringArray(hook.args?.length ? hook.args : [hook.path]);
  const envp = b.stringArray(hook.env ?? request.defaultEnv);
  // A program of the image, which comes under the profile of the container; one of the host does not.
  if (request.directory === undefined && draft.seccomp !== undefined) {
    draft.seccomp.beforeHook(b);
    b.section(request.specPath, `run the hook ${hook.path}`, hook.path);
  }
  b.call('execve', [b.string(hook.path), argv, envp], { onError: failed });
  b.place(failed);
  sendHook(b, request.index, HOOK_NOT_EXECUTED, IGNORED, 0);
  b.call('exit_group', [255]);
}

function planWait(b: ProgramBuilder, fds: HookFds, { hook, index }: HookRequest): void {
  const info = b.space(SIGINFO_SIZE);
  const [done, timedOut, failed] = [b.label(), b.label(), b.label()];
  const pollfd = b.space(8);
  // struct pollfd {i32 fd, i16 events, i16 revents} as one word: POLLIN is bit 32.
  b.sum(pollfd, fds.pidfd, POLLIN * 0x100000000);
  const timeout = b.words([hook.timeout ?? DEFAULT_TIMEOUT_SECONDS, 0]);
  b.call('ppoll', [pollfd, 1, timeout, 0, 0], { retry: true, onZero: timedOut });
  b.call('waitid', [P_PIDFD, fds.pidfd, info, WEXITED, 0], { retry: true });
  b.check(info.plus(SI_CODE), 0xffffffff, CLD_EXITED, 'ECHILD', { onError: failed });
  b.check(info.plus(SI_STATUS), 0xffffffff, 0, 'ECHILD', { onError: failed });
  b.jump(done);
  b.place(timedOut);
  killGroup(b, fds);
  sendTail(b, fds, { index, kind: HOOK_TIMED_OUT, status: 0 });
  b.call('exit_group', [1]);
  b.place(failed);
  const code = b.words([0]);
  const status = b.words([0]);
  copyWord(b, info.plus(SI_CODE), code);
  copyWord(b, info.plus(SI_STATUS), status);
  sendTail(b, fds, { index, kind: load(code), status: load(status) });
  b.call('exit_group', [1]);
  b.place(done);
}

/** A u64 of which the receiver reads the low half. */
function copyWord(b: ProgramBuilder, from: Pointer, to: Pointer): void {
  b.sum(to, load(from));
}

/** The whole process group, so that what the hook started does not outlive it, then the hook. */
function killGroup(b: ProgramBuilder, fds: HookFds): void {
  const group = fds.group;
  b.negate(group, fds.pid);
  b.call('kill', [group, SIGKILL], { tolerate: ['ESRCH', 'EPERM'] });
  b.call('kill', [fds.pid, SIGKILL], { tolerate: ['ESRCH'] });
  b.call('waitid', [P_PIDFD, fds.pidfd, 0, WEXITED, 0], { retry: true });
}

type Word = Slot | ReturnType<typeof load> | number;

function sendHook(b: ProgramBuilder, index: number, kind: Word, status: Word, length: Word): void {
  const message = b.words([TAG.HOOK, 0, 0, 0]);
  b.sum(message.plus(8), kind, index * HOOK_KINDS);
  b.sum(message.plus(16), status);
  b.sum(message.plus(24), length);
  b.call('write', [ERR, message, MESSAGE_SIZE], { note: 'message HOOK' });
}

/** HOOK with the last TAIL_BYTES of the output. */
function sendTail(
  b: ProgramBuilder,
  fds: HookFds,
  { index, kind, status }: { index: number; kind: Word; status: Word },
): void {
  const { size, got } = fds;
  const buffer = b.space(TAIL_BYTES);
  const [whole, send] = [b.label(), b.label()];
  b.call('lseek', [fds.output, 0, SEEK_END], { into: size });
  b.sum(size, size, -TAIL_BYTES);
  b.call('pread64', [fds.output, buffer, TAIL_BYTES, size], { into: got, onError: whole });
  b.jump(send);
  b.place(whole);
  b.call('pread64', [fds.output, buffer, TAIL_BYTES, 0], { into: got });
  b.place(send);
  sendHook(b, index, kind, status, got);
  b.call('write', [ERR, buffer, got]);
}
