/**
 * The engine's duty towards orphans: this process is the subreaper of its containers and collects
 * the status of every one that ends. An unreaped member keeps a pid namespace's init from ending
 * (pid_namespaces(7)), so it is done at once and not at the end of the test.
 *
 * Children that Node or node-pty started are left to them: `adopt` says which.
 */

import type { ChildProcess } from 'node:child_process';
import { eventually } from './eventually.ts';
import { becomeSubreaper, deadChild, reap, type WaitStatus } from './native.ts';

const ours = new Set<number>();
const statuses = new Map<number, WaitStatus>();
let timer: NodeJS.Timeout | undefined;
let paused = false;

/** Tells the reaper that Node waits for this process. */
export function adopt(child: ChildProcess): ChildProcess {
  if (child.pid !== undefined) child.once('exit', adoptPid(child.pid));
  return child;
}

/** The same for a process that something else waits for; call the result when it has. */
export function adoptPid(pid: number): () => void {
  ours.add(pid);
  return () => {
    ours.delete(pid);
  };
}

export function startReaping(): void {
  becomeSubreaper();
  paused = false;
  timer ??= setInterval(reapOrphans, 5);
}

export function stopReaping(): void {
  clearInterval(timer);
  timer = undefined;
  statuses.clear();
}

/** Leaves zombies alone until the next box. */
export function pauseReaping(): void {
  paused = true;
}

export function reapOrphans(): void {
  if (paused) return;
  // Whoever else waits for a child does it soon; the next round sees what was behind it.
  for (let pid = deadChild(); pid !== undefined && !ours.has(pid); pid = deadChild()) {
    const status = reap(pid);
    if (status === undefined) return;
    statuses.set(pid, status);
  }
}

/** How the orphan `pid` ended. */
export async function exitOf(pid: number): Promise<WaitStatus> {
  await eventually(`the end of ${pid}`, () => statuses.has(pid));
  return statuses.get(pid)!;
}
