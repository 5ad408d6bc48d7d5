/**
 * What a container could leave behind on this host, taken before and after a test and compared:
 * mounts, cgroups, processes, files below the state root, entries of /tmp.
 *
 * Other suites may run on the machine at the same time, so a finding must be ours: by the tag in
 * its name, by descent from this process (which is the subreaper), or because nothing else could
 * have made it (a mount where nobody works).
 */

import { readdirSync } from 'node:fs';
import { cgroupsNamed, descendants, hostMounts, procStat } from './proc.ts';

export interface Census {
  readonly mounts: ReadonlySet<string>;
  readonly processes: ReadonlySet<number>;
  readonly temporary: ReadonlySet<string>;
}

export interface Owned {
  /** In the name of everything the test makes. */
  readonly tag: string;
  /** The test's own directory. */
  readonly dir: string;
  readonly root: string;
}

const foreign = /^\/(tmp|var\/tmp|var\/lib|work|home|mnt)\//;

function mountKeys({ dir }: Pick<Owned, 'dir'>): Set<string> {
  const keys = new Set<string>();
  for (const mount of hostMounts()) {
    if (foreign.test(mount.target) && !mount.target.startsWith(dir)) continue;
    const options = [...mount.options, ...mount.propagation].join(',');
    keys.add(`${mount.target} (${mount.type} ${mount.root} ${options})`);
  }
  return keys;
}

function temporaryEntries(): Set<string> {
  return new Set(readdirSync('/tmp'));
}

export function takeCensus(owned: Pick<Owned, 'dir'>): Census {
  return {
    mounts: mountKeys(owned),
    processes: new Set(descendants(process.pid).map((stat) => stat.pid)),
    temporary: temporaryEntries(),
  };
}

/** Directories a root keeps when it holds no container. */
const SKELETON = new Set(['states', 'bundles', 'containers']);

function filesBelow(dir: string, depth = 0): string[] {
  let entries: import('node:fs').Dirent[];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch {
    return [];
  }
  const found: string[] = [];
  for (const entry of entries) {
    const path = `${dir}/${entry.name}`;
    if (depth > 0 || !entry.isDirectory() || !SKELETON.has(entry.name)) found.push(path);
    if (entry.isDirectory()) found.push(...filesBelow(path, depth + 1));
  }
  return found;
}

/** What is there now and was not before, a line each; empty when nothing leaked. */
export function leaksSince(before: Census, owned: Owned): string[] {
  const leaks: string[] = [];
  for (const mount of mountKeys(owned)) {
    if (!before.mounts.has(mount)) leaks.push(`mount: ${mount}`);
  }
  const mounts = mountKeys(owned);
  for (const mount of before.mounts) {
    if (!mounts.has(mount)) leaks.push(`mount gone or changed: ${mount}`);
  }
  for (const stat of descendants(process.pid)) {
    if (before.processes.has(stat.pid) || procStat(stat.pid) === undefined) continue;
    if (stat.state !== 'Z') leaks.push(`process: ${stat.pid} (${stat.comm}) ${stat.state}`);
  }
  for (const cgroup of cgroupsNamed(owned.tag)) leaks.push(`cgroup: ${cgroup}`);
  for (const file of filesBelow(owned.root)) {
    if (!isKeptFilter(owned.root, file)) leaks.push(`state: ${file}`);
  }
  for (const name of temporaryEntries()) {
    const ours = name.includes(owned.tag) && `/tmp/${name}` !== owned.dir;
    if (ours && !before.temporary.has(name)) leaks.push(`temporary: /tmp/${name}`);
  }
  return leaks;
}

/** Whole entries of the cache of filters, which stay for the next container (store/seccomp-cache.ts). */
function isKeptFilter(root: string, file: string): boolean {
  if (!file.startsWith(`${root}/seccomp`)) return false;
  return /^(\/[0-9a-f]{16})?$/.test(file.slice(`${root}/seccomp`.length));
}
