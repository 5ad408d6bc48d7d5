/**
 * Which process a pid means: a number is trusted only together with its start time and boot.
 *
 * proc_pid_stat(5): the name is in parentheses and may itself contain them and spaces, so fields
 * are counted from the last `)`; state is field 3, ppid 4, starttime 22 in ticks since boot. Ticks
 * are 1/100 s for user space on both architectures (USER_HZ). Reads /proc, changes nothing.
 */

import { readFileSync } from 'node:fs';
import { RuncellError } from '../../error.ts';

export interface ProcStat {
  /** One letter; Z is a zombie, X dead. */
  readonly state: string;
  readonly startTicks: number;
  readonly comm: string;
  readonly ppid: number;
}

const TICKS_PER_SECOND = 100;

/** The process's line, undefined when there is no such process. */
export function readProcStat(pid: number): ProcStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    // ENOENT, or ESRCH when it ended between the open and the read
    return undefined;
  }
  return parseProcStat(text);
}

export function parseProcStat(text: string): ProcStat {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' ');
  const startTicks = Number(fields[19]);
  if (open === -1 || close === -1 || !Number.isSafeInteger(startTicks)) {
    throw new RuncellError({ code: 'internal', operation: 'parse', target: '/proc/pid/stat' });
  }
  const [state, ppid] = [fields[0]!, Number(fields[1])];
  return { state, startTicks, comm: text.slice(open + 1, close), ppid };
}

/** This boot's identity: ticks and pids of another boot mean nothing. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trimEnd();
}

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}

/** Whether the process still runs: a zombie does not, a later process of the same number is not it. */
export function isSameProcess(identity: ProcessIdentity): boolean {
  const stat = readProcStat(identity.pid);
  if (stat === undefined || stat.startTicks !== identity.startTicks) return false;
  if (stat.state === 'Z' || stat.state === 'X') return false;
  return readBootId() === identity.bootId;
}

/** Epoch seconds of a start time, from the clock and the time since boot. */
export function startTimeEpoch(startTicks: number): number {
  const upSeconds = Number.parseFloat(readFileSync('/proc/uptime', 'latin1'));
  return Math.floor(Date.now() / 1000 - upSeconds + startTicks / TICKS_PER_SECOND);
}
