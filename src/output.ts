/**
 * Bytes to the caller's descriptors, write(2) by hand: process.stdout costs milliseconds to make and
 * leaves O_NONBLOCK behind on what the container inherits.
 *
 * Output of a verb must arrive or the verb fails; text for stderr may be lost, since containerd
 * hands over descriptors opened read-only (EBADF) and pipes nobody reads (EPIPE).
 */

import fs from 'node:fs';
import { RuncellError } from './error.ts';

/** Where a verb prints: main gives the caller's stdout, tests collect. */
export interface Output {
  out(text: string): void;
}

/** The caller's stdout and stderr; elsewhere than 1 and 2 once those were given to a container. */
const caller = { out: 1, err: 2 };

export function moveOutput(out: number, err: number): void {
  caller.out = out;
  caller.err = err;
}

export const STDOUT: Output = {
  out: (text) => {
    const failed = writeAll(caller.out, text);
    if (failed === undefined) return;
    const errno = Math.abs(failed.errno ?? 0);
    throw new RuncellError({
      code: 'kernel.operation',
      operation: 'write',
      target: 'stdout',
      errno,
      cause: failed,
    });
  },
};

export function stderrFd(): number {
  return caller.err;
}

export function writeTolerant(fd: number, text: string): void {
  writeAll(fd, text);
}

function writeAll(fd: number, text: string): NodeJS.ErrnoException | undefined {
  const bytes = Buffer.from(text);
  let done = 0;
  let waited = 0;
  while (done < bytes.length) {
    try {
      done += fs.writeSync(fd, bytes, done);
      waited = 0;
    } catch (thrown) {
      const error = thrown as NodeJS.ErrnoException;
      if (error.code === 'EINTR') continue;
      // A full pipe that a caller made non-blocking: its reader gets 10 s to go on.
      if (error.code !== 'EAGAIN' || waited++ > 10_000) return error;
      pause(1);
    }
  }
  return undefined;
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
