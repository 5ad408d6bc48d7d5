/**
 * Who holds the lock of the image storage: noted beside the lock, so that the lock of a process that
 * was killed can be told from one in use (shared-lock.ts). Apart from proper-lockfile, whose loading
 * costs 14 ms, for verbs that only clear up.
 *
 * Precondition of all but `clearDeadLock`: the caller holds the flock on the root (lockContainer),
 * under which alone the two entries change.
 */

import { existsSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { lockContainer } from '../libcontainer/store/lock.ts';
import {
  isSameProcess,
  type ProcessIdentity,
  readBootId,
  readProcStat,
} from '../libcontainer/store/process.ts';
import { writeWhole } from './record.ts';

export const LOCK = 'storage.lock';
const HOLDER = 'storage.holder';

export function noteHolder(root: string): void {
  const startTicks = readProcStat(process.pid)?.startTicks ?? 0;
  const holder: ProcessIdentity = { pid: process.pid, startTicks, bootId: readBootId() };
  writeWhole(root, HOLDER, JSON.stringify(holder));
}

export function forgetHolder(root: string): void {
  rmSync(`${root}/${HOLDER}`, { force: true });
}

export function loadHolder(root: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(`${root}/${HOLDER}`, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

/**
 * Removes the lock of a holder that is dead or was never noted, and tells whether one may try to
 * take it: not from a living holder, but from one of another boot, whose heartbeat decides.
 */
export function releaseDead(root: string): boolean {
  const holder = loadHolder(root);
  if (holder !== undefined && holder.bootId !== readBootId()) return true;
  if (holder !== undefined && isSameProcess(holder)) return false;
  try {
    rmdirSync(`${root}/${LOCK}`);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  forgetHolder(root);
  return true;
}

/** For verbs that clear up after a killed one. */
export function clearDeadLock(root: string): void {
  if (!existsSync(`${root}/${LOCK}`) && !existsSync(`${root}/${HOLDER}`)) return;
  using _critical = lockContainer(root);
  releaseDead(root);
}
