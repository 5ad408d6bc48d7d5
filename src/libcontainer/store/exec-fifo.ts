/**
 * The two FIFOs by which `start` lets a created container go, and learns what became of it.
 *
 *     start                          init (holds both open O_RDWR since before its namespaces)
 *     open exec.report, exec.go      blocked in read(go)
 *     write(go, 1 byte)          ──► reads it; hooks; write(report, "0"); execve
 *     "0", end of file           ◄── execve closed its descriptors: the user's program runs
 *     "0", record (, head)       ◄── execve failed: the fatal record, the head of the executable
 *     a HOOK message             ◄── a startContainer hook failed
 *     end of file alone          ◄── init died first
 *
 * fifo(7): opening for write without a reader is ENXIO under O_NONBLOCK, which is how a dead init
 * shows; and a FIFO never has end of file while init holds it, so that what is read is decided by
 * init alone. Two of them, since a container's user could not open a 0600 FIFO again.
 */

import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { ERRNO } from '../linux/errno.ts';
import { mkfifo, POLLIN, poll } from '../native/libc.ts';
import { errnoOf, ioError, removeQuietly } from './state-dir.ts';

export const EXEC_GO = 'exec.go';
export const EXEC_REPORT = 'exec.report';

/** The byte that says init is about to execve. */
const ABOUT_TO_EXEC = 0x30;
/** "0", a 32-byte record and 4 KiB of an executable; anything longer is not ours. */
const MAX_REPORT = 1 + 32 + 4096;

export type StartResult =
  | { readonly started: true }
  | { readonly started: false; readonly record: Uint8Array }
  /** A startContainer hook failed before the execve: its message (docs/program.md). */
  | { readonly started: false; readonly message: Uint8Array }
  | { readonly died: true };

/** Makes both in the id's directory, readable and writable by us alone. */
export function makeExecFifos(directory: string): void {
  mkfifo(`${directory}/${EXEC_GO}`, 0o600);
  mkfifo(`${directory}/${EXEC_REPORT}`, 0o600);
}

export function removeExecFifos(directory: string): void {
  removeQuietly(`${directory}/${EXEC_GO}`);
  removeQuietly(`${directory}/${EXEC_REPORT}`);
}

/**
 * Whether init is at its FIFO: it has not been told to go. Decides between created and running,
 * also after a `start` that was killed between its write and its report.
 */
export function initWaits(directory: string): boolean {
  const go = openFifo(`${directory}/${EXEC_GO}`, constants.O_WRONLY);
  if (go !== undefined) closeSync(go);
  return go !== undefined;
}

/** Lets init go and waits for what happens. The FIFOs are gone afterwards, whatever it was. */
export function startThroughFifo(directory: string, initPidfd: number): StartResult {
  let report: number | undefined;
  try {
    report = openFifo(`${directory}/${EXEC_REPORT}`, constants.O_RDONLY);
    if (report === undefined || !writeGo(`${directory}/${EXEC_GO}`)) return { died: true };
    return judge(collect(report, initPidfd));
  } finally {
    if (report !== undefined) closeSync(report);
    removeExecFifos(directory);
  }
}

/** Undefined when there is no such FIFO, or nobody at its other end. */
function openFifo(path: string, mode: number): number | undefined {
  try {
    return openSync(path, mode | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === ERRNO.ENXIO || errno === ERRNO.ENOENT) return undefined;
    throw ioError(thrown, path);
  }
}

function writeGo(path: string): boolean {
  const go = openFifo(path, constants.O_WRONLY);
  if (go === undefined) return false;
  try {
    writeSync(go, '1');
    return true;
  } catch (thrown) {
    // init died between the open and the write
    if (errnoOf(thrown) === ERRNO.EPIPE) return false;
    throw ioError(thrown, path);
  } finally {
    closeSync(go);
  }
}

/** Everything init reports until it closes the FIFO or ends. */
function collect(report: number, initPidfd: number): Uint8Array {
  const buffer = new Uint8Array(MAX_REPORT);
  let length = 0;
  let ended = false;
  while (length < buffer.length) {
    const read = readSome(report, buffer, length);
    if (read === 0 || (read === undefined && ended)) break;
    if (read !== undefined) {
      length += read;
      continue;
    }
    const [, exited] = poll([
      { fd: report, events: POLLIN },
      { fd: initPidfd, events: POLLIN },
    ]);
    // one more read after its end: what it wrote last is still in the pipe
    ended = exited !== 0;
  }
  return buffer.subarray(0, length);
}

/** The bytes read, 0 at end of file, undefined when there is nothing yet. */
function readSome(fd: number, buffer: Uint8Array, at: number): number | undefined {
  for (;;) {
    try {
      return readSync(fd, buffer, at, buffer.length - at, null);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === ERRNO.EAGAIN) return undefined;
      if (errno !== ERRNO.EINTR) throw ioError(thrown, EXEC_REPORT);
    }
  }
}

function judge(report: Uint8Array): StartResult {
  if (report.length === 0) return { died: true };
  if (report[0] !== ABOUT_TO_EXEC) return { started: false, message: report.slice() };
  return report.length === 1 ? { started: true } : { started: false, record: report.slice(1) };
}
