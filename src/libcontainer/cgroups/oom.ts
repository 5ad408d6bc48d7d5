/**
 * Processes of a group that the kernel killed for want of memory, and at which level of the tree the
 * memory had run out (Documentation/admin-guide/cgroup-v2.rst, memory.events).
 *
 * `oom_kill` in memory.events counts the victims of the group and below. `oom` in
 * memory.events.local (5.2) counts at the one level whose limit was reached, which may be the
 * container's group, one that it made below, or one above it that others share; where none of
 * them has moved, the host itself had no memory left. So the levels are read together, and what has
 * grown since the last reading is told.
 */

import { groupsIn, readGroupFile } from './read-stats.ts';
import { keyedValues, numberIn, UNLIMITED } from './stats.ts';

export type OomLevel = 'container' | 'inside' | 'above' | 'host';

export interface OomReport {
  /** How many processes were killed since the last report. */
  readonly kills: bigint;
  readonly level: OomLevel;
  /** The group whose limit was reached; absent for the host. */
  readonly cgroup?: string;
  /** Its memory.max; absent where there is none any more. */
  readonly limit?: bigint;
}

/** The kills of the group and below, and by its directory how often each level ran out. */
export interface OomCounts {
  readonly kills: bigint;
  readonly levels: ReadonlyMap<string, bigint>;
}

/** Undefined where the memory controller is off or the group is gone. */
export function readOomCounts(group: string): OomCounts | undefined {
  const events = readGroupFile(`${group}/memory.events`);
  if (events === undefined) return undefined;
  const levels = new Map<string, bigint>();
  const look = (directory: string): boolean => {
    const local = readGroupFile(`${directory}/memory.events.local`);
    if (local === undefined) return false;
    levels.set(directory, keyedValues(local)['oom'] ?? 0n);
    return true;
  };
  for (let path = group; path !== '' && look(path); ) path = path.slice(0, path.lastIndexOf('/'));
  const below = groupsIn(group).map((name) => `${group}/${name}`);
  // A group that the container made, without a controller of its own, has nothing below that counts.
  for (const path of below) {
    if (look(path)) below.push(...groupsIn(path).map((name) => `${path}/${name}`));
  }
  return { kills: keyedValues(events)['oom_kill'] ?? 0n, levels };
}

/** What was killed between two readings, undefined when nothing was. */
export function oomSince(
  group: string,
  before: OomCounts,
  now: OomCounts,
): Omit<OomReport, 'limit'> | undefined {
  const kills = now.kills - before.kills;
  if (kills <= 0n) return undefined;
  const grown = [...now.levels].filter(([path, count]) => count > (before.levels.get(path) ?? 0n));
  // In the order of the map: the container, those above from near to far, those inside.
  const cgroup = grown[0]?.[0];
  return cgroup === undefined
    ? { kills, level: 'host' }
    : { kills, level: levelOf(group, cgroup), cgroup };
}

function levelOf(group: string, cgroup: string): OomLevel {
  if (cgroup === group) return 'container';
  return cgroup.startsWith(`${group}/`) ? 'inside' : 'above';
}

/** Tells what is new each time it is asked. */
export class OomWatch {
  readonly #group: string;
  #counts: OomCounts | undefined;

  constructor(group: string) {
    this.#group = group;
    this.#counts = readOomCounts(group);
  }

  /** False without the memory controller. */
  get watches(): boolean {
    return this.#counts !== undefined;
  }

  take(): OomReport | undefined {
    const now = readOomCounts(this.#group);
    const before = this.#counts;
    if (now === undefined || before === undefined) return undefined;
    this.#counts = now;
    const found = oomSince(this.#group, before, now);
    if (found?.cgroup === undefined) return found;
    const limit = numberIn(readGroupFile(`${found.cgroup}/memory.max`));
    return limit === undefined || limit === UNLIMITED ? found : { ...found, limit };
  }
}
