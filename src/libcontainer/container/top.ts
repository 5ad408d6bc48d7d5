/**
 * top: what every running container uses, again and again. Amounts are the files of its cgroup;
 * rates are the difference of two looks over the time between them. Whatever goes wrong with one
 * container is told beside the others, and one that has ended is left out.
 */

import { readFileSync } from 'node:fs';
import { toRuncellError } from '../../error.ts';
import { groupFiles } from '../cgroups/read-stats.ts';
import { type GroupFiles, type Usage, usageOf } from '../cgroups/stats.ts';
import { monotonicMs } from '../native/libc.ts';
import { checkRoot, listIds, stateDirOf } from '../store/state-dir.ts';
import { loadState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { statusOf } from './status.ts';

/** One container. Undefined is what is not known: its controller is off, or it is the first look. */
export interface TopRow extends Usage {
  readonly id: string;
  readonly pid: number;
  readonly paused: boolean;
  /** Of one processor: two that are busy are 200. */
  readonly cpuPercent: number | undefined;
  /** The last ones, the newest at the end. */
  readonly cpuHistory: readonly number[];
  /** Bytes a second. */
  readonly readRate: number | undefined;
  readonly writeRate: number | undefined;
}

export interface TopModel {
  /** By their ids. */
  readonly rows: readonly TopRow[];
  readonly processors: number;
  /** Bytes, what memory is measured by where a container has no limit. */
  readonly hostMemory: bigint;
  readonly problems: readonly string[];
}

interface Look {
  readonly pid: number;
  readonly atMs: number;
  readonly usage: Usage;
  readonly history: readonly number[];
}

const HISTORY = 60;
/** What is known of a container without a cgroup (`--cgroup-manager disabled`). */
const INIT_ALONE: GroupFiles = { names: [], read: () => undefined, countThreads: () => 1 };

export class TopSampler {
  readonly #context: Context;
  readonly #processors = countProcessors(readText('/sys/devices/system/cpu/online'));
  readonly #hostMemory = totalMemory(readText('/proc/meminfo'));
  #looks = new Map<string, Look>();

  /** Throws when the root is one that is not to be used. */
  constructor(context: Context) {
    checkRoot(context.root);
    this.#context = context;
  }

  take(): TopModel {
    const rows: TopRow[] = [];
    const problems: string[] = [];
    const looks = new Map<string, Look>();
    for (const id of this.#ids(problems)) {
      try {
        const row = this.#look(id, looks);
        if (row !== undefined) rows.push(row);
      } catch (thrown) {
        const problem = toRuncellError(thrown);
        // Gone since the listing: no problem.
        if (problem.code !== 'state.missing') problems.push(`${id}: ${problem.message}`);
      }
    }
    this.#looks = looks;
    return {
      rows,
      processors: this.#processors,
      hostMemory: this.#hostMemory,
      problems,
    };
  }

  #ids(problems: string[]): string[] {
    try {
      return listIds(this.#context.root) ?? [];
    } catch (thrown) {
      problems.push(toRuncellError(thrown).message);
      return [];
    }
  }

  #look(id: string, looks: Map<string, Look>): TopRow | undefined {
    const directory = stateDirOf(this.#context.root, id);
    const state = loadState(directory);
    const status = statusOf(directory, state);
    if (status !== 'running' && status !== 'paused') return undefined;
    const files = state.cgroup_path === '' ? INIT_ALONE : groupFiles(state.cgroup_path);
    if (files === undefined) return undefined;
    const usage = usageOf(files);
    const atMs = monotonicMs();
    const pid = state.init_process_pid;
    const before = this.#looks.get(id);
    const rates = ratesOf(before?.pid === pid ? before : undefined, { usage, atMs });
    const known = before?.pid === pid ? before.history : [];
    const { cpuPercent } = rates;
    const history = cpuPercent === undefined ? known : [...known, cpuPercent].slice(-HISTORY);
    looks.set(id, { pid, atMs, usage, history });
    return { id, pid, paused: status === 'paused', ...usage, ...rates, cpuHistory: history };
  }
}

/** Undefined without a look before, and where a counter went backwards: it is another one's. */
export function ratesOf(
  before: { readonly usage: Usage; readonly atMs: number } | undefined,
  now: { readonly usage: Usage; readonly atMs: number },
): Pick<TopRow, 'cpuPercent' | 'readRate' | 'writeRate'> {
  const seconds = before === undefined ? 0 : (now.atMs - before.atMs) / 1000;
  const rate = (name: 'cpu' | 'readBytes' | 'writtenBytes'): number | undefined => {
    const [first, last] = [before?.usage[name], now.usage[name]];
    if (first === undefined || last === undefined || last < first || seconds <= 0) return undefined;
    return Number(last - first) / seconds;
  };
  const cpu = rate('cpu');
  return {
    // Nanoseconds a second.
    cpuPercent: cpu === undefined ? undefined : cpu / 1e7,
    readRate: rate('readBytes'),
    writeRate: rate('writtenBytes'),
  };
}

/** A list of ranges, as `0-3,8`; 1 where it cannot be read. */
export function countProcessors(text: string): number {
  let count = 0;
  for (const [, first, last] of text.matchAll(/([0-9]+)(?:-([0-9]+))?/g)) {
    count += Number(last ?? first) - Number(first) + 1;
  }
  return Math.max(1, count);
}

/** proc_meminfo(5): `MemTotal:  8000000 kB`. */
export function totalMemory(text: string): bigint {
  return BigInt(/^MemTotal: +([0-9]+) kB$/m.exec(text)?.[1] ?? '0') * 1024n;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // Without /sys or /proc mounted the bars have another measure, and the numbers are the same.
    return '';
  }
}
