/**
 * Freezing a group and thawing it, waited for (Documentation/admin-guide/cgroup-v2.rst).
 *
 * A write to cgroup.freeze is a wish: each task stops at its way back to user space, and one that
 * sleeps uninterruptibly does not get there. `frozen` in cgroup.events says when all have stopped.
 * The kernel tells of a change of that file by POLLPRI until it is read again, so nothing is asked
 * in a loop. What could not be done is undone: a group is never left half frozen.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { RuncellError, toRuncellError } from '../../error.ts';
import { monotonicMs, POLLPRI, poll } from '../native/libc.ts';
import { isFrozen, listProcesses, setFrozen } from './v2.ts';

/** runc's time; a verb that waits for the lock has three times as long. */
const FREEZE_MS = 10_000;

/** Returns when every process of the group and below has stopped. */
export function freezeCgroup(directory: string, timeoutMs: number = FREEZE_MS): void {
  change(directory, true, timeoutMs);
}

/** Returns when they run again, which a frozen group above prevents. */
export function thawCgroup(directory: string, timeoutMs: number = FREEZE_MS): void {
  change(directory, false, timeoutMs);
}

function change(directory: string, frozen: boolean, timeoutMs: number): void {
  const operation = frozen ? 'freeze the cgroup' : 'thaw the cgroup';
  try {
    const events = openSync(`${directory}/cgroup.events`, 'r');
    try {
      setFrozen(directory, frozen);
      if (frozenIn(events) === frozen) return;
      if (!frozen) refuseFrozenAbove(directory);
      if (!becomes(events, frozen, timeoutMs)) throw notInTime(directory, frozen, timeoutMs);
    } catch (thrown) {
      undo(directory, !frozen);
      throw thrown;
    } finally {
      closeSync(events);
    }
  } catch (thrown) {
    throw toRuncellError(thrown, { operation, target: directory });
  }
}

/** The group may be gone by now, or was never there: the first error is the one to tell. */
function undo(directory: string, frozen: boolean): void {
  try {
    setFrozen(directory, frozen);
  } catch {}
}

/** A change between the reading and the waiting is told at once: the kernel compares versions. */
function becomes(events: number, frozen: boolean, timeoutMs: number): boolean {
  const deadline = monotonicMs() + timeoutMs;
  while (frozenIn(events) !== frozen) {
    const left = deadline - monotonicMs();
    if (left <= 0) return false;
    poll([{ fd: events, events: POLLPRI }], left);
  }
  return true;
}

function frozenIn(events: number): boolean {
  const bytes = Buffer.alloc(256);
  return /^frozen 1$/m.test(bytes.toString('latin1', 0, readSync(events, bytes, 0, 256, 0)));
}

function notInTime(directory: string, frozen: boolean, timeoutMs: number): RuncellError {
  const pids = listProcesses(directory).slice(0, 3).join(' ');
  const what = frozen ? 'its processes have not stopped' : 'its processes do not run';
  return new RuncellError({
    code: 'kernel.operation',
    reason: `${what} after ${timeoutMs / 1000} s`,
    hint: `see /proc/PID/stack for what they wait for: ${pids}`,
  });
}

/** A thawed group does not run below a frozen one. */
function refuseFrozenAbove(directory: string): void {
  for (let path = parentOf(directory); path !== ''; path = parentOf(path)) {
    if (!isFrozen(path)) continue;
    throw new RuncellError({ code: 'kernel.operation', reason: `${path} above it is frozen` });
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
