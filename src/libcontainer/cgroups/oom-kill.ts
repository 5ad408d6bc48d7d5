/**
 * Who ran out of memory: the container's group, one above it, or the machine
 * (admin-guide/cgroup-v2.rst, "memory.events" and "memory.events.local").
 *
 * `memory.events` counts what happened to processes of the group and below, whoever's limit it was;
 * the `oom` of `memory.events.local` is counted in the group whose limit was reached. So the kill is
 * looked for in the first, and who is to blame in the second, from the container's group upwards.
 * Afterwards, that is: there is no earlier reading to compare with, as oom.ts has, so that counts of a
 * group above may be older than this container. They are asked only when its own say nothing.
 */

import { readGroupFile } from './files.ts';

export interface OutOfMemory {
  /** The group whose limit was reached; undefined: the machine had no memory left. */
  readonly group: string | undefined;
  /** Content of its memory.max. */
  readonly limit: string;
  /** The most that it used, '' before Linux 5.19. */
  readonly peak: string;
}

/** Undefined where no process of the group was killed for want of memory. */
export function findOomKill(directory: string): OutOfMemory | undefined {
  return eventOf(directory, 'memory.events', 'oom_kill') > 0 ? culprit(directory) : undefined;
}

/** Undefined where the group never came to its own limit: an allocation that failed in it, for ENOMEM. */
export function findTightLimit(directory: string): OutOfMemory | undefined {
  const reached = eventOf(directory, 'memory.events.local', 'max') > 0;
  return reached ? described(directory) : undefined;
}

/** One line for a person: which limit, and the most that was used. */
export function tellOutOfMemory({ group, limit, peak }: OutOfMemory): string {
  if (group === undefined) return 'the machine had no memory left';
  const used = peak === '' ? '' : `, its peak was ${peak}`;
  return `${group} reached its limit of ${limit} bytes${used}`;
}

function culprit(directory: string): OutOfMemory {
  for (let group = directory; group !== ''; group = group.slice(0, group.lastIndexOf('/'))) {
    if (eventOf(group, 'memory.events.local', 'oom') > 0) return described(group);
  }
  return { group: undefined, limit: '', peak: '' };
}

function described(group: string): OutOfMemory {
  const limit = readGroupFile(`${group}/memory.max`).trim();
  return { group, limit, peak: readGroupFile(`${group}/memory.peak`).trim() };
}

/** Number behind a name in a flat keyed file, 0 where there is none. */
export function eventOf(group: string, file: string, name: string): number {
  const line = readGroupFile(`${group}/${file}`)
    .split('\n')
    .find((text) => text.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}
