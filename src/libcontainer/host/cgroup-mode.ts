/**
 * Where the cgroup2 hierarchy is on this host and where the caller is in it (cgroups(7)).
 *
 * A pure host has it at /sys/fs/cgroup, a hybrid one below `unified`; anything else is found in
 * mountinfo. The usual places are asked by statfs(2), because mountinfo costs a line a mount.
 */

import { readFileSync, statfsSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { CGROUP2_SUPER_MAGIC } from '../linux/stat.ts';

const USUAL_PLACES = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/** The mount point of cgroup2; throws `kernel.unsupported` where there is none. */
export function findCgroupRoot(): string {
  for (const place of USUAL_PLACES) {
    if (isCgroup2(place)) return place;
  }
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const separator = line.indexOf(' - cgroup2 ');
    if (separator === -1) continue;
    const place = unescapeMountinfo(line.split(' ')[4]!);
    if (isCgroup2(place)) return place;
  }
  throw new RuncellError({
    code: 'kernel.unsupported',
    operation: 'find the cgroup2 hierarchy',
    reason: 'it is not mounted',
    hint: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup',
  });
}

function isCgroup2(path: string): boolean {
  try {
    return statfsSync(path).type === CGROUP2_SUPER_MAGIC;
  } catch {
    return false;
  }
}

/** proc_pid_mountinfo(5) writes blanks and backslashes in octal. */
export function unescapeMountinfo(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** The caller's own group, as `/user.slice/…`, relative to the root of its cgroup namespace. */
export function ownCgroup(): string {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    if (line.startsWith('0::')) return line.slice(3);
  }
  return '/';
}
