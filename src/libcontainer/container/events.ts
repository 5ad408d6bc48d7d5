/**
 * events: the statistics of a container, once or as they change, and its OOM kills as they happen
 * (reference/runtime-cli.md §2, §3.2).
 *
 * The stream waits in one ppoll(2): for the next interval, a change of memory.events or
 * cgroup.events (POLLPRI, told by the kernel), the end of init, a signal, and the end of whoever
 * reads. It is over when no process is left in the group. The kernel may drop the last change of a
 * group that is removed within 10 ms, so that from init's end on the group is looked at by the clock.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { type OomReport, OomWatch } from '../cgroups/oom.ts';
import { readRdtStats } from '../cgroups/rdt-stats.ts';
import { groupFiles, readGroupFile } from '../cgroups/read-stats.ts';
import { type Stats, statsOf } from '../cgroups/stats.ts';
import { monotonicMs, POLLIN, POLLPRI, type PollEntry, pidfdOpen } from '../native/libc.ts';
import { pollAsync, SignalWatch } from '../native/wait.ts';
import { loadState, type StateFile } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { groupOf, locateState } from './locate.ts';
import { statusOf } from './status.ts';

export type ContainerEvent =
  | { readonly type: 'stats'; readonly id: string; readonly data: Stats }
  // Beyond runc's keys: whose limit it was, by its directory, and how many processes were killed.
  | { readonly type: 'oom'; readonly id: string; readonly oom: OomReport };

export interface EventOptions {
  readonly intervalMs: number;
  /** Whoever reads the events: the stream ends when it hangs up. */
  readonly readerFd: number;
}

const AFTER_INIT_MS = 250;
const LONGEST_MS = 3_600_000;

/** One `stats` event of now. */
export function containerStats(context: Context, id: string): ContainerEvent {
  const state = loadLiving(context, id);
  const event = statsEvent(state, groupOf(state));
  if (event === undefined) throw notRunning(id);
  return event;
}

function loadLiving(context: Context, id: string): StateFile {
  const directory = locateState(context, id);
  const state = loadState(directory);
  if (statusOf(directory, state) === 'stopped') throw notRunning(id);
  return state;
}

function notRunning(id: string): RuncellError {
  const reason = `container with id ${id} is not running`;
  return new RuncellError({ code: 'state.conflict', reason });
}

function statsEvent({ id, intel_rdt }: StateFile, group: string): ContainerEvent | undefined {
  const files = groupFiles(group);
  if (files === undefined) return undefined;
  return { type: 'stats', id, data: { ...statsOf(files), intel_rdt: readRdtStats(intel_rdt) } };
}

/** Calls `emit` for each event until the container is empty, a signal comes or the reader goes. */
export async function watchContainer(
  context: Context,
  id: string,
  options: EventOptions,
  emit: (event: ContainerEvent) => void,
): Promise<void> {
  const state = loadLiving(context, id);
  const group = groupOf(state);
  using signals = new SignalWatch(['SIGINT', 'SIGTERM', 'SIGHUP']);
  using sources = new Sources(group, state.init_process_pid);
  const oom = new OomWatch(group);
  if (!oom.watches) {
    context.log.warn(`${group} has no memory controller: OOM kills cannot be told`);
  }
  for (let next = monotonicMs() + options.intervalMs; ; ) {
    const wait = Math.min(Math.max(0, next - monotonicMs()), sources.longestMs);
    const entries = [signals.entry, { fd: options.readerFd, events: 0 }, ...sources.entries];
    const [signal, reader, ...found] = await pollAsync(entries, wait);
    if (signal !== 0 || reader !== 0) return;
    sources.seen(found);
    const report = oom.take();
    if (report !== undefined) {
      context.log.info(oomText(id, report));
      emit({ type: 'oom', id, oom: report });
    }
    if (!isPopulated(group)) return;
    if (monotonicMs() < next) continue;
    const event = statsEvent(state, group);
    if (event === undefined) return;
    emit(event);
    // Those that were missed are not made up for.
    next = Math.max(next + options.intervalMs, monotonicMs());
  }
}

/** Also false when the group is gone. */
function isPopulated(group: string): boolean {
  return /^populated 1$/m.test(readGroupFile(`${group}/cgroup.events`) ?? '');
}

function oomText(id: string, report: OomReport): string {
  const { kills, level, cgroup, limit } = report;
  const whose = {
    container: 'the container reached its memory limit',
    inside: `${cgroup} inside the container reached its memory limit`,
    above: `${cgroup} above the container reached its memory limit`,
    host: 'the host ran out of memory',
  }[level];
  const amount = limit === undefined ? '' : ` of ${limit} bytes`;
  return `${id}: ${kills} process(es) killed, since ${whose}${amount}`;
}

/** What is waited for of the group and of init. */
class Sources implements Disposable {
  readonly #files: number[];
  #init: number | undefined;

  constructor(group: string, init: number) {
    const names = ['cgroup.events', 'memory.events'];
    this.#files = names.map((name) => tryOpen(`${group}/${name}`)).filter((fd) => fd >= 0);
    this.#init = pidfdOpen(init);
  }

  get longestMs(): number {
    return this.#init === undefined ? AFTER_INIT_MS : LONGEST_MS;
  }

  get entries(): PollEntry[] {
    return [
      { fd: this.#init ?? -1, events: POLLIN },
      ...this.#files.map((fd) => ({ fd, events: POLLPRI })),
    ];
  }

  /** Before what they say is looked at: a change after this is told again, one before is looked at. */
  seen([init]: readonly number[]): void {
    if (init !== 0) this.#closeInit();
    for (const fd of this.#files) acknowledge(fd);
  }

  #closeInit(): void {
    if (this.#init !== undefined) closeSync(this.#init);
    this.#init = undefined;
  }

  [Symbol.dispose](): void {
    this.#closeInit();
    for (const fd of this.#files) closeSync(fd);
  }
}

/** Only a read through this descriptor ends its POLLPRI. */
function acknowledge(fd: number): void {
  try {
    readSync(fd, new Uint8Array(1), 0, 1, 0);
  } catch {
    // ENODEV: the group is gone, which the look at it tells.
  }
}

function tryOpen(path: string): number {
  try {
    return openSync(path, 'r');
  } catch {
    // No memory controller, or the group is gone, which is found out at the first look.
    return -1;
  }
}
