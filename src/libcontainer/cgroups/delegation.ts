/**
 * A container's group as its own user's: which files, and when (runtime-spec 1.3
 * config-linux.md#cgroup-ownership; cgroups(7), "Cgroup delegation: delegating a hierarchy to a less
 * privileged user").
 *
 * Whoever may write a group's files can make groups below it and divide what the group has; the limits
 * of the group itself stay root's. Given only where the container sees its group as root of a cgroup
 * namespace of its own, and mounts it writable.
 */

import { chownSync, readFileSync } from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { toRuncellError } from '../../error.ts';

/** The host's id that the group is to belong to; undefined where it stays root's. */
export function groupOwner(config: Config): number | undefined {
  const { linux = {}, mounts = [], process } = config;
  const own = linux.namespaces?.some(({ type, path }) => type === 'cgroup' && !path) === true;
  const writable = mounts.some(
    ({ type, destination, options = [] }) =>
      type === 'cgroup' &&
      /^\/sys\/fs\/cgroup\/*$/.test(destination) &&
      options.findLast((option) => option === 'ro' || option === 'rw') !== 'ro',
  );
  if (!own || !writable) return undefined;
  const uid = process?.user?.uid ?? 0;
  if (!linux.namespaces!.some(({ type }) => type === 'user')) return uid;
  const map = linux.uidMappings?.find(
    ({ containerID, size }) => uid >= containerID && uid < containerID + size,
  );
  return map === undefined ? undefined : map.hostID + (uid - map.containerID);
}

/** Before Linux 4.15 the kernel did not say which; these are cgroups(7)'s. */
const USUAL_FILES = ['cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads'];

export function giveGroup(directory: string, uid: number): void {
  const give = (path: string, mayLack: boolean): void => {
    try {
      chownSync(path, uid, -1);
    } catch (thrown) {
      // The list is of all files that some group may have.
      if (mayLack && (thrown as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw toRuncellError(thrown, { operation: 'give the cgroup to the container', target: path });
    }
  };
  give(directory, false);
  for (const file of delegatedFiles()) give(`${directory}/${file}`, true);
}

function delegatedFiles(): readonly string[] {
  let text: string;
  try {
    text = readFileSync('/sys/kernel/cgroup/delegate', 'latin1');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    return USUAL_FILES;
  }
  return text.split('\n').filter((name) => /^[a-z_.]+$/.test(name));
}
