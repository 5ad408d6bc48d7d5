/**
 * Runs hooks in the runtime's namespaces: prestart, createRuntime, poststart, poststop.
 *
 * runtime-spec 1.3 config.md#posix-platform-hooks: in the order given, the state on stdin, args and
 * env verbatim, absent env meaning the caller's own. A hook gets its path executed directly, a
 * session and process group of its own, default signals, and no descriptor but 0, 1, 2. What it
 * writes goes to a memfd whose tail an error quotes; we wait for the process alone, so that a
 * daemon it leaves behind with our memfd open delays nobody. Past its time the whole group is
 * killed; a hook without a timeout gets DEFAULT_TIMEOUT_MS, since it blocks the container's lock.
 */

import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { RuncellError, toRuncellError } from '../error.ts';
import { RLIMITS, SIGKILL } from '../libcontainer/linux/sched.ts';
import {
  checked,
  describeExit,
  type ExitReport,
  memfdCreate,
  POLLIN,
  pidfdOpen,
  poll,
  reap,
  syscall,
} from '../libcontainer/native/libc.ts';
import { spawnProcess } from '../libcontainer/native/spawn.ts';

/** A hook as config.json has it. */
export interface HookEntry {
  readonly path: string;
  readonly args?: readonly string[] | undefined;
  readonly env?: readonly string[] | undefined;
  /** Seconds. */
  readonly timeout?: number | undefined;
}

export type RuntimeHookPoint = 'prestart' | 'createRuntime' | 'poststart' | 'poststop';

export interface HookRun {
  readonly point: RuntimeHookPoint;
  readonly hooks: readonly HookEntry[];
  /** The state document, compact JSON. */
  readonly state: string;
  /** The caller's environment, for hooks that have none; bytes are strings with their NULs. */
  readonly env: readonly string[] | Uint8Array;
  /** Where they start: the bundle, for poststop the caller's directory. */
  readonly directory: string;
  /** The caller's umask; absent: ours. */
  readonly umask?: number | undefined;
  /** The caller's soft RLIMIT_NOFILE, which Node has raised in itself; absent: ours. */
  readonly nofileSoft?: bigint | undefined;
}

export const DEFAULT_TIMEOUT_MS = 300_000;
const TAIL_BYTES = 1024;

/** Runs them one after the other; the first that fails is thrown and the rest are not run. */
export function runHooks(run: HookRun): void {
  run.hooks.forEach((hook, index) => {
    runHook(run, hook, index);
  });
}

/** Runs them all, whatever fails, and gives what failed (poststop). */
export function runAllHooks(run: HookRun): RuncellError[] {
  const problems: RuncellError[] = [];
  run.hooks.forEach((hook, index) => {
    try {
      runHook(run, hook, index);
    } catch (thrown) {
      problems.push(toRuncellError(thrown));
    }
  });
  return problems;
}

function runHook(run: HookRun, hook: HookEntry, index: number): void {
  const specPath = `hooks.${run.point}[${index}]`;
  const input = memfdCreate('runcell:state');
  const output = memfdCreate('runcell:hook');
  try {
    writeAll(input, Buffer.from(run.state, 'utf8'));
    const pid = startHook(run, hook, specPath, { input, output });
    const report = waitForHook(pid, timeoutOf(hook));
    if (report === 'timeout') throw timedOut(specPath, hook, quoteTail(output));
    if (report.exited === 0) return;
    const reason = describeExit(report) + quoteTail(output);
    throw new RuncellError({ code: 'hook.failed', specPath, target: hook.path, reason });
  } finally {
    closeSync(input);
    closeSync(output);
  }
}

/** Written at a position: the hook's read position is the file's own, and stays at the beginning. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
}

function startHook(
  run: HookRun,
  hook: HookEntry,
  specPath: string,
  { input, output }: { input: number; output: number },
): number {
  using _caller = asTheCaller(run);
  try {
    return spawnProcess({
      path: hook.path,
      args: hook.args === undefined || hook.args.length === 0 ? [hook.path] : hook.args,
      env: hook.env ?? run.env,
      descriptors: [
        { from: input, to: 0 },
        { from: output, to: 1 },
        { from: output, to: 2 },
      ],
      directory: run.directory,
      newSession: true,
    });
  } catch (thrown) {
    const { errno } = toRuncellError(thrown).fields;
    const fields = { specPath, target: hook.path, errno, cause: thrown };
    throw new RuncellError({ code: 'hook.failed', ...fields });
  }
}

/** What a child inherits and posix_spawn cannot set is the caller's for as long as this lives. */
function asTheCaller(run: HookRun): Disposable {
  const umask = run.umask === undefined ? undefined : process.umask(run.umask);
  const restore = run.nofileSoft === undefined ? undefined : lowerNofile(run.nofileSoft);
  return {
    [Symbol.dispose]() {
      if (umask !== undefined) process.umask(umask);
      restore?.();
    },
  };
}

/** struct rlimit64: u64 soft, u64 hard. */
function lowerNofile(soft: bigint): () => void {
  const before = new BigUint64Array(2);
  checked(syscall('prlimit64', 0, RLIMITS.RLIMIT_NOFILE, null, before), 'prlimit64');
  const wanted = soft < before[1]! ? soft : before[1]!;
  const lowered = BigUint64Array.of(wanted, before[1]!);
  checked(syscall('prlimit64', 0, RLIMITS.RLIMIT_NOFILE, lowered, null), 'prlimit64');
  return () => {
    checked(syscall('prlimit64', 0, RLIMITS.RLIMIT_NOFILE, before, null), 'prlimit64');
  };
}

function timeoutOf(hook: HookEntry): number {
  return hook.timeout === undefined ? DEFAULT_TIMEOUT_MS : hook.timeout * 1000;
}

function waitForHook(pid: number, timeoutMs: number): ExitReport | 'timeout' {
  const pidfd = pidfdOpen(pid);
  if (pidfd === undefined) throw new RuncellError({ code: 'internal', operation: 'pidfd_open' });
  try {
    const ended = poll([{ fd: pidfd, events: POLLIN }], timeoutMs)[0] !== 0;
    // not reaped yet, so the number is still the group's
    if (!ended) killGroup(pid);
    const report = reap(pid) ?? {};
    return ended ? report : 'timeout';
  } finally {
    closeSync(pidfd);
  }
}

function killGroup(pid: number): void {
  checked(syscall('kill', -pid, SIGKILL), 'kill', -pid);
}

function timedOut(specPath: string, hook: HookEntry, tail: string): RuncellError {
  const seconds = timeoutOf(hook) / 1000;
  // the second half is runc's sentence, which callers may look for
  const reason =
    `hook ran past its timeout of ${seconds}s` +
    ` (hook ran past specified timeout of ${seconds.toFixed(1)}s)${tail}`;
  return new RuncellError({ code: 'hook.timeout', specPath, target: hook.path, reason });
}

/** `: ` and the end of what the hook wrote, on one line; empty when it wrote nothing. */
function quoteTail(output: number): string {
  const { size } = fstatSync(output);
  const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
  const length = readSync(output, bytes, 0, bytes.length, size - bytes.length);
  // a character cut in two at the beginning is left out
  let start = 0;
  while (size > TAIL_BYTES && start < 4 && (bytes[start]! & 0xc0) === 0x80) start++;
  const lines = bytes.toString('utf8', start, length).split('\n');
  const text = lines.map((line) => line.trim()).filter((line) => line !== '');
  return text.length === 0 ? '' : `: ${text.join(' | ')}`;
}
