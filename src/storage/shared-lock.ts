/**
 * The lock of the shared image storage of one root: proper-lockfile's directory `storage.lock`.
 *
 * Its heartbeat keeps the lock of a verb that unpacks for minutes, on any filesystem. Alone it would
 * make the next verb wait ten seconds for a holder that was killed, and a waiter that clears a stale
 * lock could clear a fresh one (security.md H7). So the lock is only ever taken inside a flock(2) on
 * the root's directory, held for an instant, and the taker's identity is noted beside it: inside
 * the flock a lock whose taker is dead, or was never noted, is nobody's and is removed at once, and
 * one whose taker lives is never taken from it. Only for a taker of another boot, which may be
 * another machine on a shared disk, the heartbeat decides.
 */

import { lockSync } from 'proper-lockfile';
import { RuncellError } from '../error.ts';
import { monotonicMs, sleepMs } from '../libcontainer/native/libc.ts';
import { lockContainer } from '../libcontainer/store/lock.ts';
import { forgetHolder, LOCK, loadHolder, noteHolder, releaseDead } from './lock-holder.ts';

/** proper-lockfile's own measure of a holder whose heart stopped; it beats at half of it. */
const STALE_MS = 10_000;
const PAUSE_MS = 20;

export interface LockOptions {
  /** How long to wait for a living holder. */
  readonly timeoutMs?: number;
}

/** Runs `action` while no other verb of this root changes the shared storage. */
export async function withSharedLock<T>(
  root: string,
  action: () => T | Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const deadline = monotonicMs() + (options.timeoutMs ?? 60_000);
  let compromised: Error | undefined;
  const release = take(root, deadline, (error) => {
    compromised = error;
  });
  try {
    const result = await action();
    if (compromised !== undefined) throw lost(root, compromised);
    return result;
  } finally {
    using _critical = lockContainer(root);
    if (compromised === undefined) {
      forgetHolder(root);
      release();
    }
  }
}

function take(root: string, deadline: number, onCompromised: (error: Error) => void): () => void {
  for (;;) {
    {
      using _critical = lockContainer(root);
      const release = releaseDead(root) ? tryLock(root, onCompromised) : undefined;
      if (release !== undefined) {
        noteHolder(root);
        return release;
      }
    }
    if (monotonicMs() >= deadline) throw busy(root);
    sleepMs(PAUSE_MS);
  }
}

function tryLock(root: string, onCompromised: (error: Error) => void): (() => void) | undefined {
  try {
    return lockSync(root, {
      lockfilePath: `${root}/${LOCK}`,
      realpath: false,
      stale: STALE_MS,
      onCompromised,
    });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ELOCKED') return undefined;
    throw thrown;
  }
}

function busy(root: string): RuncellError {
  const holder = loadHolder(root);
  const by = holder === undefined ? 'another process' : `process ${holder.pid}`;
  return new RuncellError({
    code: 'state.conflict',
    operation: 'image storage',
    target: root,
    reason: `locked by ${by}`,
  });
}

function lost(root: string, cause: Error): RuncellError {
  const reason = 'its lock was taken away while it was in use';
  return new RuncellError({
    code: 'storage.operation',
    operation: 'image storage',
    target: root,
    reason,
    cause,
  });
}
