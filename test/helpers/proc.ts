/**
 * What a test reads of a process or of this host: proc(5), cgroups(7). Reads only.
 */

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

export interface ProcStat {
  readonly pid: number;
  readonly comm: string;
  readonly state: string;
  readonly ppid: number;
  readonly startTicks: string;
}

/** /proc/PID/stat, or undefined when the process is gone. */
export function procStat(pid: number): ProcStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const rest = text.slice(close + 2).split(' ');
  const comm = text.slice(open + 1, close);
  return { pid, comm, state: rest[0]!, ppid: Number(rest[1]), startTicks: rest[19]! };
}

/** True while `pid` exists and is not a zombie. */
export function isAlive(pid: number): boolean {
  const stat = procStat(pid);
  return stat !== undefined && stat.state !== 'Z' && stat.state !== 'X';
}

export function allProcesses(): ProcStat[] {
  const found: ProcStat[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    const stat = procStat(Number(name));
    if (stat !== undefined) found.push(stat);
  }
  return found;
}

/** Every descendant of `ancestor`, zombies included. */
export function descendants(ancestor: number): ProcStat[] {
  const children = new Map<number, ProcStat[]>();
  for (const stat of allProcesses()) {
    const siblings = children.get(stat.ppid);
    if (siblings === undefined) children.set(stat.ppid, [stat]);
    else siblings.push(stat);
  }
  const found: ProcStat[] = [];
  const queue = [ancestor];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      found.push(child);
      queue.push(child.pid);
    }
  }
  return found;
}

/** The fields of a /proc/PID/status text. */
export function statusFields(text: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trim();
  }
  return fields;
}

export function procStatus(pid: number): Record<string, string> {
  return statusFields(readFileSync(`/proc/${pid}/status`, 'latin1'));
}

export interface MountLine {
  readonly id: number;
  readonly root: string;
  readonly target: string;
  /** Per-mount options, sorted as the kernel prints them. */
  readonly options: readonly string[];
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

const unescapeOctal = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** Parses /proc/PID/mountinfo; later lines hide earlier ones with the same target. */
export function parseMountinfo(text: string): MountLine[] {
  const mounts: MountLine[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-');
    if (dash < 6) continue; // Something else that was printed with it.
    mounts.push({
      id: Number(fields[0]),
      root: unescapeOctal(fields[3]!),
      target: unescapeOctal(fields[4]!),
      options: fields[5]!.split(','),
      propagation: fields.slice(6, dash),
      type: fields[dash + 1]!,
      source: unescapeOctal(fields[dash + 2]!),
      superOptions: (fields[dash + 3] ?? '').split(','),
    });
  }
  return mounts;
}

/** The mount on top at `target`. */
export function mountAt(text: string, target: string): MountLine {
  const found = parseMountinfo(text).findLast((mount) => mount.target === target);
  if (found === undefined) throw new Error(`no mount at ${target} in\n${text}`);
  return found;
}

export function hostMounts(): MountLine[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'latin1'));
}

/** `user:[4026531837]` and the like. */
export function namespaceOf(pid: number | 'self', kind: string): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

/** What each open descriptor of `pid` is. */
export function openFds(pid: number): Record<number, string> {
  const fds: Record<number, string> = {};
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      fds[Number(name)] = readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      // Closed between the two calls.
    }
  }
  return fds;
}

/** The cgroup2 mount of this host, the unified part of a hybrid one included. */
export function cgroup2Root(): string | undefined {
  return hostMounts().find((mount) => mount.type === 'cgroup2')?.target;
}

/** The cgroup directories, in any hierarchy, with `part` in their name. */
export function cgroupsNamed(part: string): string[] {
  const found: string[] = [];
  const visit = (dir: string) => {
    let entries: import('node:fs').Dirent[];
    try {
      entries = readdirSync(dir, { withFileTypes: true });
    } catch {
      return;
    }
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const path = `${dir}/${entry.name}`;
      if (entry.name.includes(part)) found.push(path);
      visit(path);
    }
  };
  for (const mount of hostMounts()) {
    if (mount.type === 'cgroup' || mount.type === 'cgroup2') visit(mount.target);
  }
  return found;
}

/** True when the path exists, links not followed. */
export function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false, bigint: false }) !== undefined;
  } catch {
    return false;
  }
}
