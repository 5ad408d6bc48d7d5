/**
 * The lock of one container: flock(2) on its directory (DESIGN.md §6).
 *
 * The kernel ends the lock with the last descriptor of the open file, so a SIGKILLed verb delays
 * nobody; the descriptor is close-on-exec, so no executor or hook carries it on. A directory that
 * was deleted while we waited has no links any more and is looked up again. Verbs that change a
 * container take the lock; `state` and `list` do not.
 */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import { LOCK_EX, monotonicMs, sleepMs, tryFlock } from '../native/libc.ts';
import { errnoOf, ioError } from './state-dir.ts';

export interface ContainerLock extends Disposable {
  /** The id's directory, open. */
  readonly fd: number;
  release(): void;
}

/** Longest a verb of ours may hold a lock while another one is willing to wait. */
export const LOCK_TIMEOUT_MS = 30_000;
const MAX_PAUSE_MS = 10;

/** Takes the lock; throws `state.missing` without the directory, `state.conflict` after the time. */
export function lockContainer(
  directory: string,
  options: { timeoutMs?: number } = {},
): ContainerLock {
  const deadline = monotonicMs() + (options.timeoutMs ?? LOCK_TIMEOUT_MS);
  for (;;) {
    const fd = openDirectory(directory);
    try {
      if (waitForLock(fd, deadline) && fstatSync(fd).nlink > 0) return lockOf(fd);
      if (monotonicMs() >= deadline) throw timedOut(directory, fd);
    } catch (thrown) {
      closeSync(fd);
      throw thrown;
    }
    closeSync(fd);
  }
}

function openDirectory(directory: string): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  try {
    return openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (thrown) {
    if (errnoOf(thrown) !== ERRNO.ENOENT) throw ioError(thrown, directory);
    const target = nameOf(directory);
    throw new RuncellError({ code: 'state.missing', target, reason: 'container does not exist' });
  }
}

/** False when the deadline has passed. */
function waitForLock(fd: number, deadline: number): boolean {
  for (let pause = 0.25; ; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
    if (tryFlock(fd, LOCK_EX)) return true;
    if (monotonicMs() >= deadline) return false;
    sleepMs(pause);
  }
}

function lockOf(fd: number): ContainerLock {
  let held = true;
  const release = () => {
    if (held) closeSync(fd);
    held = false;
  };
  return { fd, release, [Symbol.dispose]: release };
}

function timedOut(directory: string, fd: number): RuncellError {
  const holder = holderOf(fd);
  const by = holder === undefined ? 'another process' : `process ${holder}`;
  const reason = `locked by ${by}`;
  return new RuncellError({ code: 'state.conflict', target: nameOf(directory), reason });
}

/** The pid that /proc/locks names, proc_locks(5): `1: FLOCK ADVISORY WRITE 42 00:1a:377 0 EOF`. */
function holderOf(fd: number): number | undefined {
  const suffix = `:${fstatSync(fd).ino}`;
  for (const line of readFileSync('/proc/locks', 'latin1').split('\n')) {
    const words = line.split(' ').filter((word) => word !== '');
    if (words[1] === 'FLOCK' && words[5]?.endsWith(suffix)) return Number(words[4]);
  }
  return undefined;
}

function nameOf(directory: string): string {
  return directory.slice(directory.lastIndexOf('/') + 1);
}
