/**
 * System calls from the compiler's side of the machine, through one declared function.
 *
 * Declaring a function costs koffi 20 to 40 µs, so that everything goes through syscall(2), whose
 * numbers and structs the kernel keeps for ever; it also serves where glibc is older than the call
 * (pidfd_open). `syscall` answers as the kernel does, a negative errno; everything else throws
 * RuncellError `kernel.operation`. Calls are synchronous and stop Node's event loop.
 *
 * man pages: syscall(2) and one of the name of each function here.
 */

import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import {
  CLOSE_RANGE_CLOEXEC,
  F_DUPFD_CLOEXEC,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  MFD_CLOEXEC,
  O_NONBLOCK,
} from '../linux/fcntl.ts';
import { P_PID, P_PIDFD, SIGINFO_SIZE, WEXITED, WNOHANG } from '../linux/sched.ts';
import { S_IFIFO } from '../linux/stat.ts';
import { SYSCALLS, type SyscallName } from '../linux/syscall.ts';
import { offerEnd } from './end.ts';
import { type AsyncNativeFunction, type NativeArgument, openKoffi } from './koffi.ts';

/** All six arguments of a system call are words; a `void *` takes numbers, addresses and arrays. */
const WORDS = ['long', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *'] as const;

const NUMBERS: Record<SyscallName, number> =
  process.arch === 'arm64' ? SYSCALLS.arm64 : SYSCALLS.x64;

let declared: AsyncNativeFunction | undefined;

/** syscall(2) itself, for callers that make it asynchronously. */
export function syscallFunction(): AsyncNativeFunction {
  if (declared === undefined) {
    const call = openKoffi().load(null).func('syscall', 'long', WORDS);
    declared = call;
    offerEnd((code) => call(NUMBERS.exit_group, code, 0, 0, 0, 0, 0));
  }
  return declared;
}

export function syscallNumber(name: SyscallName): number {
  return NUMBERS[name];
}

/** The kernel's answer: a result, or -errno. */
export function syscall(
  name: SyscallName,
  a: NativeArgument = 0,
  b: NativeArgument = 0,
  c: NativeArgument = 0,
  d: NativeArgument = 0,
  e: NativeArgument = 0,
  f: NativeArgument = 0,
): number {
  const result = syscallFunction()(NUMBERS[name], a, b, c, d, e, f);
  return result === -1 ? -openKoffi().errno() : result;
}

/** Turns a negative errno into the error that names the operation and its target. */
export function checked(result: number, operation: string, target?: string | number): number {
  if (result >= 0) return result;
  throw new RuncellError({
    code: 'kernel.operation',
    operation,
    target: target === undefined ? undefined : String(target),
    errno: -result,
  });
}

/** A string as the kernel wants it. */
export function cString(text: string): Uint8Array {
  return Buffer.from(`${text}\0`, 'utf8');
}

/** CLOCK_MONOTONIC in milliseconds; cheaper than the global `performance`, which loads a module. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

function timespec(ms: number): Int32Array {
  const seconds = Math.floor(ms / 1000);
  // two i64 of which only the low halves are ever used
  return Int32Array.of(seconds, 0, Math.floor((ms - seconds * 1000) * 1e6), 0);
}

/** Sleeps; there is no other way to wait in synchronous code without spinning. */
export function sleepMs(ms: number): void {
  syscall('nanosleep', timespec(ms), null);
}

// ---- descriptors

export const LOCK_EX = 2;
export const LOCK_NB = 4;

/** flock(2) without waiting: false when another open file description holds the lock. */
export function tryFlock(fd: number, operation: number): boolean {
  for (;;) {
    const result = syscall('flock', fd, operation | LOCK_NB);
    if (result === -ERRNO.EAGAIN) return false;
    if (result !== -ERRNO.EINTR) return checked(result, 'flock', fd) === 0;
  }
}

export function setCloseOnExec(fd: number, on: boolean): void {
  const flags = checked(syscall('fcntl', fd, F_GETFD), 'fcntl', fd);
  const wanted = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
  if (wanted !== flags) checked(syscall('fcntl', fd, F_SETFD, wanted), 'fcntl', fd);
}

/** Marks every descriptor from `first` on close-on-exec. */
export function closeOnExecFrom(first: number): void {
  checked(syscall('close_range', first, 0xffffffff, CLOSE_RANGE_CLOEXEC), 'close_range', first);
}

export function setNonBlocking(fd: number): void {
  const flags = checked(syscall('fcntl', fd, F_GETFL), 'fcntl', fd);
  checked(syscall('fcntl', fd, F_SETFL, flags | O_NONBLOCK), 'fcntl', fd);
}

/** A close-on-exec duplicate whose number is at least `lowest`. */
export function duplicateAbove(fd: number, lowest: number): number {
  return checked(syscall('fcntl', fd, F_DUPFD_CLOEXEC, lowest), 'fcntl', fd);
}

/** An anonymous file, close-on-exec unless other flags are given. */
export function memfdCreate(name: string, flags: number = MFD_CLOEXEC): number {
  return checked(syscall('memfd_create', cString(name), flags), 'memfd_create', name);
}

export function mkfifo(path: string, mode: number): void {
  const AT_FDCWD = -100;
  checked(syscall('mknodat', AT_FDCWD, cString(path), S_IFIFO | mode, 0), 'mkfifo', path);
}

export const POLLIN = 1;
export const POLLPRI = 2;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

export interface PollEntry {
  readonly fd: number;
  readonly events: number;
}

/** struct pollfd[]: i32 fd, i16 events, i16 revents. A negative fd is not looked at. */
export function encodePollEntries(entries: readonly PollEntry[]): Int32Array {
  const encoded = new Int32Array(2 * entries.length);
  entries.forEach((entry, index) => {
    encoded[2 * index] = entry.fd;
    encoded[2 * index + 1] = entry.events;
  });
  return encoded;
}

export function decodePollResult(encoded: Int32Array): number[] {
  const revents: number[] = [];
  for (let index = 1; index < encoded.length; index += 2) revents.push(encoded[index]! >>> 16);
  return revents;
}

/**
 * Waits until one of the descriptors has something: the events that are there, one number an
 * entry, all 0 after `timeoutMs` (undefined: no limit). Interruptions do not prolong the wait.
 */
export function poll(entries: readonly PollEntry[], timeoutMs?: number): number[] {
  const deadline = timeoutMs === undefined ? undefined : monotonicMs() + timeoutMs;
  for (;;) {
    const encoded = encodePollEntries(entries);
    const left = deadline === undefined ? null : timespec(Math.max(0, deadline - monotonicMs()));
    const result = syscall('ppoll', encoded, entries.length, left, null, 8);
    if (result !== -ERRNO.EINTR) {
      checked(result, 'ppoll');
      return decodePollResult(encoded);
    }
  }
}

// ---- processes

/** A descriptor for the process, or undefined when there is none of that number. */
export function pidfdOpen(pid: number): number | undefined {
  const result = syscall('pidfd_open', pid, 0);
  return result === -ERRNO.ESRCH ? undefined : checked(result, 'pidfd_open', pid);
}

/** A duplicate of another process's descriptor. */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return checked(syscall('pidfd_getfd', pidfd, fd, 0), 'pidfd_getfd', fd);
}

/** Sends the signal; false when the process has been reaped. */
export function pidfdSendSignal(pidfd: number, signal: number): boolean {
  const result = syscall('pidfd_send_signal', pidfd, signal, null, 0);
  if (result === -ERRNO.ESRCH) return false;
  checked(result, 'pidfd_send_signal', signal);
  return true;
}

/** How a process ended; exactly one of the two is there. */
export interface ExitReport {
  readonly exited?: number;
  readonly signal?: number;
}

const CLD_EXITED = 1;

/** waitid(2) on a child: undefined when it has not ended (`wait` false) or is no child of ours. */
function waitFor(idType: number, id: number, options: number): ExitReport | undefined {
  // siginfo_t: si_signo at 0, si_code at 8, si_pid at 16, si_status at 24
  const info = new Int32Array(SIGINFO_SIZE / 4);
  let result: number;
  do result = syscall('waitid', idType, id, info, WEXITED | options, null);
  while (result === -ERRNO.EINTR);
  if (result === -ERRNO.ECHILD) return undefined;
  checked(result, 'waitid', id);
  if (info[4] === 0) return undefined;
  return info[2] === CLD_EXITED ? { exited: info[6]! } : { signal: info[6]! };
}

/** Waits for the child and reaps it; undefined when there is no such child. */
export function reap(pid: number): ExitReport | undefined {
  return waitFor(P_PID, pid, 0);
}

/** Reaps the child if it has ended. */
export function tryReap(pid: number): ExitReport | undefined {
  return waitFor(P_PID, pid, WNOHANG);
}

/** As `reap`, for the process a pidfd stands for: the number cannot have been taken by another. */
export function reapPidfd(pidfd: number): ExitReport | undefined {
  return waitFor(P_PIDFD, pidfd, 0);
}

/** The exit code by which a shell, and runc, tell it on. */
export function exitCodeOf(report: ExitReport | undefined): number {
  if (report === undefined) {
    const reason = 'reaped by another process';
    throw new RuncellError({ code: 'internal', operation: 'waitid', reason });
  }
  return report.signal === undefined ? report.exited! : 128 + report.signal;
}

export function describeExit(report: ExitReport | undefined): string {
  if (report === undefined) return 'exit status unknown';
  if (report.signal !== undefined) return `killed by signal ${report.signal}`;
  return `exit status ${report.exited}`;
}

export function prctl(option: number, value: number): number {
  return checked(syscall('prctl', option, value, 0, 0, 0), 'prctl', option);
}
