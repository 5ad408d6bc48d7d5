/**
 * The files of a group for stats.ts. A file that is not there belongs to a controller that is off;
 * EOPNOTSUPP is pressure accounting that is off (psi=0); ENODEV a group that is being removed.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { ERRNO } from '../linux/errno.ts';
import type { GroupFiles } from './stats.ts';

/** Undefined when the group is gone. */
export function groupFiles(directory: string): GroupFiles | undefined {
  const names = namesIn(directory);
  if (names === undefined) return undefined;
  return {
    names,
    read: (name) => (names.includes(name) ? readGroupFile(`${directory}/${name}`) : undefined),
    countThreads: () => countThreads(directory),
  };
}

function namesIn(directory: string): string[] | undefined {
  try {
    return readdirSync(directory);
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined;
    throw thrown;
  }
}

/** Undefined where there is nothing to read. */
export function readGroupFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined;
    throw thrown;
  }
}

function isAbsent(thrown: unknown): boolean {
  const errno = Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
  const absent: number[] = [ERRNO.ENOENT, ERRNO.ENODEV, ERRNO.EOPNOTSUPP, ERRNO.ENOTDIR];
  return absent.includes(errno);
}

/** Every thread below: pids.current counts those too. */
function countThreads(directory: string): number {
  const own = readGroupFile(`${directory}/cgroup.threads`)?.split('\n').length ?? 1;
  const below = groupsIn(directory).map((name) => countThreads(`${directory}/${name}`));
  return below.reduce((sum, count) => sum + count, own - 1);
}

/** The groups right below. */
export function groupsIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (thrown) {
    if (isAbsent(thrown)) return [];
    throw thrown;
  }
}
