/**
 * The foreground wait of `run` and `exec` without a terminal, as a program: Node becomes the
 * executor, which lets the container go, relays signals, and ends as the container's process ended.
 * 16 KB instead of 45 MB for the container's whole life (DESIGN.md §3.6).
 *
 * It is the same process, so the container's process stays its child. All signals are blocked and
 * read from a signalfd(2); orphans that come to it as a subreaper are reaped. When the end needs
 * decisions (the start failed, hooks, something to remove that is not ordinary), it becomes the
 * compiler again by executing the launcher with the hidden verb `finish`. A call of the wait itself
 * that fails ends the container and goes the same way: what `finish` reads was made beforehand. Pure.
 *
 * The report's file: u64 status, then what the container's process reported about its start, or
 * WAIT_FAILED, the fatal record of the wait (docs/program.md) and the first word of its op.
 */

import type { Arch } from '../linux/arch.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  F_SETFD,
  F_SETFL,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
} from '../linux/fcntl.ts';
import {
  P_PIDFD,
  POLLIN,
  SIG_SETMASK,
  SIGACTION_SIZE,
  SIGCHLD,
  SIGINFO_SIZE,
  SIGKILL,
  SIGSET_SIZE,
  WEXITED,
  WNOHANG,
  WNOWAIT,
} from '../linux/sched.ts';
import {
  type Label,
  type Program,
  ProgramBuilder,
  RECORD_ADDRESS,
  RECORD_OP,
  type Slot,
} from '../program/builder.ts';
import { MESSAGE_SIZE, OP_SIZE, PROGRAM_BASE } from '../program/op.ts';
import { load } from './draft.ts';

const SIGURG = 23;
const SIGWINCH = 28;
/** Node ignores these two, and execve keeps what is ignored. */
const IGNORED_BY_NODE = [13, 25];
const P_ALL = 0;
const SFD_NONBLOCK_CLOEXEC = O_NONBLOCK | O_CLOEXEC;
const SIGNALFD_SIGINFO_SIZE = 128;
const LOCK_EX_NB = 2 | 4;
/** A report: a byte, a record, the head of an executable. */
const REPORT_BYTES = 1 + 32 + 4096;

/** Offsets in siginfo_t of waitid(2). */
const SI = { code: 8, pid: 16, status: 24 } as const;
const CLD_EXITED = 1;

/** Where `finish` finds what happened: the status, then the report that init or exec wrote. */
export const FINISH_STATUS_BYTES = 8;
/** First byte of a report of the wait itself. */
export const WAIT_FAILED = 'w';

export interface WaitRequest {
  readonly arch: Arch;
  /** Descriptor of the pidfd of the process that is waited for, and its number. */
  readonly pidfd: number;
  readonly pid: number;
  /** An empty file for what `finish` is told: memory that is needed at the end is there at the start. */
  readonly report: number;
  /** How the process is let go and where it reports. */
  readonly gate:
    | { readonly kind: 'fifo'; readonly stateDir: string }
    | { readonly kind: 'socket'; readonly fd: number }
    | { readonly kind: 'started' };
  /** What is removed afterwards where nothing needs a decision; absent: `finish` decides. */
  readonly remove?: {
    readonly stateDir: string;
    readonly files: readonly string[];
    readonly cgroup: string;
  };
  /** Whether the end always goes through `finish` (poststop hooks, directories of ours). */
  readonly alwaysFinish: boolean;
  /** How the launcher is executed for `finish`; it inherits the report as descriptor 3. */
  readonly finish: {
    readonly path: string;
    readonly args: readonly string[];
    readonly env: Uint8Array;
  };
}

interface WaitSlots {
  readonly signals: Slot;
  readonly report: Slot;
  readonly status: Slot;
}

export function planWait(request: WaitRequest): Program {
  const b = new ProgramBuilder(request.arch);
  const slots: WaitSlots = {
    signals: b.slot('signals'),
    report: b.slot('report'),
    status: b.slot('status'),
  };
  const ended = b.label();
  const finish = b.label();
  const broken = b.label();
  b.sum(slots.status, 255);
  b.trap(broken);
  planSignals(b, slots);
  planLetGo(b, request, slots, finish);
  planLoop(b, request, slots, ended);
  b.place(ended);
  planStatus(b, request, slots);
  planJudge(b, request, slots, finish);
  if (request.alwaysFinish) {
    b.jump(finish);
  } else {
    if (request.remove !== undefined) {
      // Who was killed may have been for want of memory, which `finish` tells before the group goes.
      const killed = { tolerate: ['ECHILD'], onZero: finish } as const;
      b.check(slots.status, 0xffffffff, 128 + SIGKILL, 'ECHILD', killed);
      planRemove(b, request.remove, finish);
    }
    b.call('exit_group', [slots.status]);
  }
  planBroken(b, request, { broken, finish });
  b.place(finish);
  planFinish(b, request, slots);
  return b.finish();
}

function planSignals(b: ProgramBuilder, slots: WaitSlots): void {
  b.section('', 'take every signal', 'signalfd');
  const standard = b.space(SIGACTION_SIZE);
  for (const signal of IGNORED_BY_NODE) b.call('rt_sigaction', [signal, standard, 0, SIGSET_SIZE]);
  b.call('rt_sigprocmask', [SIG_SETMASK, b.words([0xffffffffffffffffn]), 0, SIGSET_SIZE]);
  const bit = (signal: number): bigint => 1n << BigInt(signal - 1);
  const mask = b.words([0xffffffffffffffffn & ~bit(SIGURG) & ~bit(SIGWINCH)]);
  b.call('signalfd4', [-1, mask, SIGSET_SIZE, SFD_NONBLOCK_CLOEXEC], { into: slots.signals });
}

/** From here on the container runs; what it reports is read when it has ended. */
function planLetGo(b: ProgramBuilder, request: WaitRequest, slots: WaitSlots, failed: Label): void {
  const { gate } = request;
  if (gate.kind === 'started') return;
  b.section('', 'let the container go', 'exec.go');
  if (gate.kind === 'socket') {
    b.sum(slots.report, gate.fd);
    b.call('write', [gate.fd, b.string('g'), 1], { onError: failed });
    b.call('fcntl', [gate.fd, F_SETFL, O_NONBLOCK]);
    return;
  }
  const go = b.slot('go');
  const flags = O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW(b.arch);
  const [goPath, reportPath] = ['exec.go', 'exec.report'].map((name) =>
    b.string(`${gate.stateDir}/${name}`),
  );
  b.call('openat', [AT_FDCWD, reportPath!, O_RDONLY | flags], { into: slots.report });
  b.call('openat', [AT_FDCWD, goPath!, O_WRONLY | flags], { into: go });
  b.call('unlinkat', [AT_FDCWD, goPath!, 0], { tolerate: ['ENOENT'] });
  b.call('unlinkat', [AT_FDCWD, reportPath!, 0], { tolerate: ['ENOENT'] });
  b.call('write', [go, b.string('1'), 1]);
  b.call('close', [go]);
}

function planLoop(b: ProgramBuilder, request: WaitRequest, slots: WaitSlots, ended: Label): void {
  b.section('', 'relay signals until it ends', `pid ${request.pid}`);
  const [loop, read, reap] = [b.label(), b.label(), b.label()];
  // two struct pollfd {i32 fd, i16 events, i16 revents}, each a word
  const poll = b.words([request.pidfd + POLLIN * 0x100000000, 0]);
  const info = b.space(SIGNALFD_SIGINFO_SIZE);
  b.place(loop);
  b.sum(poll.plus(8), slots.signals, POLLIN * 0x100000000);
  b.call('ppoll', [poll, 2, 0, 0, 0], { retry: true });
  b.place(read);
  // Signals first: one that came before the end is still the process's.
  const noSignal = b.label();
  b.call('read', [slots.signals, info, SIGNALFD_SIGINFO_SIZE], {
    tolerate: ['EAGAIN'],
    onError: noSignal,
  });
  const forward = b.label();
  b.check(info, 0xffffffff, SIGCHLD, 'ESRCH', { onError: forward });
  b.jump(reap);
  b.place(forward);
  b.call('pidfd_send_signal', [request.pidfd, load(info), 0, 0], { tolerate: ['ESRCH', 'EINVAL'] });
  b.jump(read);
  b.place(noSignal);
  b.check(poll, 0xffff000000000000n, 0, 'ESRCH', { onError: ended });
  b.jump(loop);
  b.place(reap);
  planReap(b, request, { loop: read, ended });
}

/** Children that are not the container's process are orphans we got as a subreaper. */
function planReap(
  b: ProgramBuilder,
  request: WaitRequest,
  to: { loop: Label; ended: Label },
): void {
  const info = b.space(SIGINFO_SIZE);
  const again = b.label();
  const other = b.label();
  const some = b.label();
  b.place(again);
  b.sum(info.plus(SI.pid), 0);
  b.call('waitid', [P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT, 0], {
    tolerate: ['ECHILD'],
    onError: to.loop,
  });
  b.check(info.plus(SI.pid), 0xffffffff, 0, 'ECHILD', { onError: some });
  b.jump(to.loop);
  b.place(some);
  b.check(info.plus(SI.pid), 0xffffffff, request.pid, 'ECHILD', { onError: other });
  b.jump(to.ended);
  b.place(other);
  b.call('wait4', [load(info.plus(SI.pid)), 0, WNOHANG, 0], { tolerate: ['ECHILD'] });
  b.jump(again);
}

/** 0…255, or 128 and the number of the signal. */
function planStatus(b: ProgramBuilder, request: WaitRequest, slots: WaitSlots): void {
  b.section('', 'take its exit status', 'waitid');
  const info = b.space(SIGINFO_SIZE);
  const [signalled, done] = [b.label(), b.label()];
  b.call('waitid', [P_PIDFD, request.pidfd, info, WEXITED, 0], { retry: true });
  b.check(info.plus(SI.code), 0xffffffff, CLD_EXITED, 'ECHILD', { onError: signalled });
  b.sum(slots.status, load(info.plus(SI.status)));
  b.jump(done);
  b.place(signalled);
  b.sum(slots.status, load(info.plus(SI.status)), 128);
  b.place(done);
}

/** A report of exactly one byte means that the program ran; anything else is for `finish`. */
function planJudge(b: ProgramBuilder, request: WaitRequest, slots: WaitSlots, finish: Label): void {
  if (request.gate.kind === 'started') return;
  b.section('', 'did it start', 'report');
  const length = b.slot('report length');
  const buffer = b.space(REPORT_BYTES);
  b.call('read', [slots.report, buffer, REPORT_BYTES], { into: length, onError: finish });
  b.call('pwrite64', [request.report, buffer, length, FINISH_STATUS_BYTES]);
  // ECHILD only says "not one byte"
  b.check(length, 0xffffffff, 1, 'ECHILD', { onError: finish });
}

/** The ordinary end: state directory and cgroup, under the lock; any surprise is for `finish`. */
function planRemove(
  b: ProgramBuilder,
  remove: NonNullable<WaitRequest['remove']>,
  finish: Label,
): void {
  b.section('', 'remove the container', remove.stateDir);
  const directory = b.slot('state directory');
  const flags = O_RDONLY | O_DIRECTORY(b.arch) | O_NOFOLLOW(b.arch) | O_CLOEXEC;
  const path = b.string(remove.stateDir);
  b.call('openat', [AT_FDCWD, path, flags], { into: directory, onError: finish });
  b.call('flock', [directory, LOCK_EX_NB], { onError: finish });
  // After an update there may be more to remove than was known.
  b.call('faccessat2', [directory, b.string('resources.json'), 0, AT_SYMLINK_NOFOLLOW], {
    tolerate: ['ENOENT'],
    onZero: finish,
  });
  b.call('unlinkat', [AT_FDCWD, b.string(remove.cgroup), AT_REMOVEDIR], { onError: finish });
  for (const file of remove.files) {
    b.call('unlinkat', [directory, b.string(file), 0], { tolerate: ['ENOENT'] });
  }
  b.call('unlinkat', [AT_FDCWD, path, AT_REMOVEDIR], { onError: finish });
}

/**
 * A call of the wait itself failed, and nobody would wait: the container's process is ended, and
 * `finish` says which call it was.
 */
function planBroken(
  b: ProgramBuilder,
  request: WaitRequest,
  to: { broken: Label; finish: Label },
): void {
  b.place(to.broken);
  b.section('', 'tell that the wait failed', `pid ${request.pid}`);
  const { report, pidfd } = request;
  const op = b.slot('failed op');
  b.sum(op, RECORD_OP);
  for (let size = 1; size < OP_SIZE; size *= 2) b.sum(op, op, op);
  b.sum(op, op, PROGRAM_BASE);
  const at = FINISH_STATUS_BYTES;
  b.call('pwrite64', [report, b.string(WAIT_FAILED), 1, at]);
  b.call('pwrite64', [report, RECORD_ADDRESS, MESSAGE_SIZE, at + 1]);
  b.call('pwrite64', [report, op, 8, at + 1 + MESSAGE_SIZE]);
  b.call('pidfd_send_signal', [pidfd, SIGKILL, 0, 0], { tolerate: ['ESRCH'] });
  b.call('waitid', [P_PIDFD, pidfd, b.space(SIGINFO_SIZE), WEXITED, 0], {
    retry: true,
    tolerate: ['ECHILD'],
  });
}

/** execve of the launcher; descriptor 3 holds the status and the report. */
function planFinish(b: ProgramBuilder, request: WaitRequest, slots: WaitSlots): void {
  b.section('', 'become the compiler again', request.finish.path);
  const { path, args, env } = request.finish;
  const mute = b.label();
  b.trap(mute);
  b.call('pwrite64', [request.report, slots.status.address, FINISH_STATUS_BYTES, 0]);
  b.call('dup3', [request.report, REPORT_FD, 0], { tolerate: ['EINVAL'] });
  b.call('fcntl', [REPORT_FD, F_SETFD, 0]);
  b.call('rt_sigprocmask', [SIG_SETMASK, b.words([0]), 0, SIGSET_SIZE]);
  b.call('execve', [b.string(path), b.stringArray(args), environment(b, env)]);
  b.place(mute);
  const text = 'runcell: the launcher could not be executed again when the container had ended\n';
  b.call('write', [2, b.string(text), text.length], { tolerate: ['EPIPE', 'EAGAIN'] });
  b.call('exit_group', [slots.status]);
}

/** What `finish` is given its report as. */
export const REPORT_FD = 3;

/** A NULL-terminated array over the caller's environment block. */
function environment(b: ProgramBuilder, block: Uint8Array) {
  const start = b.bytes(block);
  const pointers = [];
  let at = 0;
  for (let i = 0; i < block.length; i++) {
    if (block[i] !== 0) continue;
    pointers.push(start.plus(at));
    at = i + 1;
  }
  return b.words([...pointers, 0]);
}
