/**
 * A signal other than SIGKILL for every process of a group. The group is frozen for as long as that
 * takes, so that none forks away from it, and thawed on every way out.
 */

import { closeSync } from 'node:fs';
import { freezeCgroup } from '../cgroups/freezer.ts';
import { isFrozen, listProcesses, setFrozen } from '../cgroups/v2.ts';
import { pidfdOpen, pidfdSendSignal } from '../native/libc.ts';

/** For how long the group may take to stop before its members are signalled all the same. */
const FREEZE_MS = 1000;
/** Descriptors at a time. */
const PIDFDS = 256;

export function signalGroup(group: string, signal: number): void {
  // Signal 0 only asks whether it could be sent.
  const held = signal !== 0 && hold(group);
  try {
    const pids = listProcesses(group);
    for (let at = 0; at < pids.length; at += PIDFDS) {
      signalSome(group, pids.slice(at, at + PIDFDS), signal);
    }
  } finally {
    if (held) setFrozen(group, false);
  }
}

/** False for a container that is paused, and stays so, and where it cannot be had in time. */
function hold(group: string): boolean {
  if (isFrozen(group)) return false;
  try {
    freezeCgroup(group, FREEZE_MS);
    return true;
  } catch {
    // A member that cannot stop now, or none is left: those that are there get the signal.
    return false;
  }
}

/** The group is read again with the pidfds open: a number may have a new owner by then. */
function signalSome(group: string, pids: readonly number[], signal: number): void {
  const pidfds = new Map<number, number>();
  try {
    for (const pid of pids) {
      const pidfd = pidfdOpen(pid);
      if (pidfd !== undefined) pidfds.set(pid, pidfd);
    }
    const members = new Set(listProcesses(group));
    for (const [pid, pidfd] of pidfds) if (members.has(pid)) pidfdSendSignal(pidfd, signal);
  } finally {
    for (const pidfd of pidfds.values()) closeSync(pidfd);
  }
}
