/**
 * A conversation with an executor: programs out, messages in, turn by turn, over one socket.
 *
 * Blocking by design: between two programs the compiler has nothing else to do (DESIGN.md §3), and
 * an event loop would cost more than the container. A cold session runs an executor that this
 * process spawned; a warm one will be a launcher that connected. read(2), write(2), waitid(2).
 */

import { closeSync, readSync, writeSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import {
  describeExit,
  type ExitReport,
  monotonicMs,
  POLLIN,
  POLLOUT,
  pidfdOpen,
  poll,
  tryReap,
} from '../native/libc.ts';
import { decodeMessage, type EncodedProgram, type Message } from './protocol.ts';

export interface ExecutorSession {
  /** The executor's pid in our pid namespace. */
  readonly pid: number;
  /** Our end of the control socket, for callers that poll it together with other things. */
  readonly fd: number;
  /** Sends a program. When the executor is gone nothing is thrown: `receive` knows why. */
  send(program: EncodedProgram): void;
  /**
   * The next message. Throws `kernel.init` when the executor has ended without one, or when
   * `timeoutMs` is given and has passed.
   */
  receive(timeoutMs?: number): Message;
  /** Everything that still comes until end of file, for what is no message any more. */
  readRest(): Uint8Array;
  /** Ends the conversation: the executor reads end of file and exits. */
  close(): void;
}

const READ_SIZE = 16384;
/** How long an executor that closed its socket may take to be waitable. */
const REAP_MS = 1000;

export class SocketSession implements ExecutorSession {
  readonly pid: number;
  readonly fd: number;
  #pending: Uint8Array = new Uint8Array(0);
  #ended: string | undefined;
  #closed = false;

  constructor(pid: number, fd: number) {
    this.pid = pid;
    this.fd = fd;
  }

  send(program: EncodedProgram): void {
    const { bytes } = program;
    for (let sent = 0; sent < bytes.length; ) {
      try {
        sent += writeSync(this.fd, bytes, sent, bytes.length - sent);
      } catch (thrown) {
        const errno = errnoOf(thrown);
        if (errno === ERRNO.EPIPE || errno === ERRNO.ECONNRESET) return;
        if (errno === ERRNO.EAGAIN) poll([{ fd: this.fd, events: POLLOUT }]);
        else if (errno !== ERRNO.EINTR) throw thrown;
      }
    }
  }

  receive(timeoutMs?: number): Message {
    const deadline = timeoutMs === undefined ? undefined : monotonicMs() + timeoutMs;
    for (;;) {
      const found = decodeMessage(this.#pending);
      if (found !== undefined) {
        this.#pending = this.#pending.subarray(found.size);
        return found.message;
      }
      if (deadline !== undefined) this.#waitReadable(deadline);
      const chunk = this.#read();
      if (chunk.length === 0) throw this.#endedError();
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    }
  }

  readRest(): Uint8Array {
    for (;;) {
      const chunk = this.#read();
      if (chunk.length === 0) return this.#pending;
      this.#pending = Buffer.concat([this.#pending, chunk]);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.fd);
  }

  #waitReadable(deadline: number): void {
    const left = Math.max(0, deadline - monotonicMs());
    if (poll([{ fd: this.fd, events: POLLIN }], left)[0] !== 0) return;
    throw new RuncellError({
      code: 'kernel.init',
      operation: 'executor',
      reason: 'did not answer in time',
    });
  }

  /** What is there, waiting for it; empty at end of file. */
  #read(): Uint8Array {
    const buffer = new Uint8Array(READ_SIZE);
    for (;;) {
      try {
        return buffer.subarray(0, readSync(this.fd, buffer, 0, READ_SIZE, null));
      } catch (thrown) {
        const errno = errnoOf(thrown);
        // a socket whose peer died with unread bytes says ECONNRESET after its last data
        if (errno === ERRNO.ECONNRESET) return buffer.subarray(0, 0);
        if (errno === ERRNO.EAGAIN) poll([{ fd: this.fd, events: POLLIN }]);
        else if (errno !== ERRNO.EINTR) throw thrown;
      }
    }
  }

  #endedError(): RuncellError {
    this.#ended ??= describeExit(waitBriefly(this.pid));
    const partial = this.#pending.length > 0 ? ', in the middle of a message' : '';
    const reason = `ended without an answer: ${this.#ended}${partial}`;
    return new RuncellError({ code: 'kernel.init', operation: 'executor', reason });
  }
}

/** Reaps a child that is about to end; one that lives on (init, after its execve) is left alone. */
function waitBriefly(pid: number): ExitReport | undefined {
  const pidfd = pidfdOpen(pid);
  if (pidfd === undefined) return undefined;
  try {
    poll([{ fd: pidfd, events: POLLIN }], REAP_MS);
    return tryReap(pid);
  } finally {
    closeSync(pidfd);
  }
}

function errnoOf(thrown: unknown): number {
  return Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
}
