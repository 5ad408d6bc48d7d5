/**
 * Waiting without stopping Node's event loop, so that signals are delivered meanwhile: ppoll(2) on a
 * thread of koffi, and an eventfd(2) by which a signal ends that wait.
 *
 * A thread that waits is waited for when the process ends: nobody returns from a verb with a wait
 * under way, hence the eventfd.
 */

import { closeSync, writeSync } from 'node:fs';
import { O_CLOEXEC, O_NONBLOCK } from '../linux/fcntl.ts';
import { Block } from './block.ts';
import {
  checked,
  POLLIN,
  type PollEntry,
  poll,
  syscall,
  syscallFunction,
  syscallNumber,
} from './libc.ts';

/** As `poll` in libc.ts: the events that are there, all 0 after `timeoutMs` or an interruption. */
export function pollAsync(entries: readonly PollEntry[], timeoutMs?: number): Promise<number[]> {
  const block = new Block(8 * entries.length + 32);
  const time = 8 * entries.length;
  entries.forEach(({ fd, events }, index) => {
    block.view.setInt32(8 * index, fd, true);
    block.view.setInt16(8 * index + 4, events, true);
  });
  if (timeoutMs !== undefined) {
    const seconds = Math.floor(timeoutMs / 1000);
    block.view.setBigInt64(time, BigInt(seconds), true);
    block.view.setBigInt64(time + 8, BigInt(Math.floor((timeoutMs - 1000 * seconds) * 1e6)), true);
  }
  const limit = timeoutMs === undefined ? null : block.address(time);
  const number = syscallNumber('ppoll');
  return new Promise((done, fail) => {
    const finish = (error: Error | null, result: number) => {
      if (error !== null) return fail(error);
      // errno stayed on the thread: asking again at once either succeeds or throws it
      if (result === -1) return done(poll(entries, 0));
      done(entries.map((_, index) => block.view.getInt16(8 * index + 6, true)));
    };
    const arguments_ = [number, block.base, entries.length, limit, null, 8, 0] as const;
    syscallFunction().async(...arguments_, finish);
  });
}

/** Signals that are noticed instead of ending the process, for as long as this lives. */
export class SignalWatch implements Disposable {
  /** Readable from the first signal on, until `take`. */
  readonly fd: number;
  #seen = new Set<NodeJS.Signals>();
  readonly #listeners: (readonly [NodeJS.Signals, () => void])[] = [];

  constructor(signals: readonly NodeJS.Signals[]) {
    this.fd = checked(syscall('eventfd2', 0, O_CLOEXEC | O_NONBLOCK), 'eventfd2');
    for (const name of signals) {
      const listener = () => {
        this.#seen.add(name);
        writeSync(this.fd, new Uint8Array(BigUint64Array.of(1n).buffer));
      };
      process.on(name, listener);
      this.#listeners.push([name, listener]);
    }
  }

  /** Those since the last call. */
  take(): ReadonlySet<NodeJS.Signals> {
    const seen = this.#seen;
    this.#seen = new Set();
    syscall('read', this.fd, new BigUint64Array(1), 8);
    return seen;
  }

  get entry(): PollEntry {
    return { fd: this.fd, events: POLLIN };
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
    closeSync(this.fd);
  }
}
