/**
 * linux.intelRdt: the class of service of a container and its counters (runtime-spec 1.3
 * config-linux.md#intelrdt; runc's intelrdt.Manager). The filesystem is resctrl.ts.
 *
 * | closID | schemas | the class |
 * | --- | --- | --- |
 * | none | any | named by the container's id; removed with it if it was not there before |
 * | `/` | any | the default one |
 * | set | none | has to be there |
 * | set | some | made, or it has to say the same; it stays when the container goes |
 *
 * What is to be made is decided first and recorded in state.json, so that `delete` finds it after
 * whatever has killed the verb.
 */

import { readdirSync, readFileSync } from 'node:fs';
import type { LinuxIntelRdt } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import { Resctrl } from './resctrl.ts';
import { differingLine, type Schemas, schemataLines } from './schemata.ts';

/** In state.json: where the container is, and what goes with it. */
export interface RdtState {
  /** The mount point of resctrl. */
  readonly root: string;
  /** The class of service, '' for the default one. */
  readonly group: string;
  /** Whether the class is the container's, for `delete` to remove. */
  readonly owned: boolean;
  /** The monitoring group below it, where one was asked for. */
  readonly monitoring?: string;
}

const AT = 'linux.intelRdt';

/** What the class of service is to be; nothing is made. Throws where it cannot be. */
export function chooseClass(resctrl: Resctrl, id: string, rdt: LinuxIntelRdt): RdtState {
  checkResources(resctrl, rdt);
  const { closID = '' } = rdt;
  const group = closID === '/' ? '' : closID || id;
  const isThere = resctrl.has(group);
  const lines = schemataLines(rdt);
  if (closID !== '' && !isThere && lines.length === 0) {
    throw new RuncellError({
      code: 'config.value',
      specPath: `${AT}.closID`,
      target: closID,
      reason: 'there is no such class of service, and no schema to make it with',
    });
  }
  if (closID !== '' && isThere && lines.length > 0) compare(resctrl, group, lines);
  const monitoring =
    rdt.enableMonitoring === true ? { monitoring: monitoringGroup(group, id) } : {};
  return { root: resctrl.root, group, owned: closID === '' && !isThere, ...monitoring };
}

/** The fields need a machine that has what they are about. */
function checkResources(resctrl: Resctrl, rdt: LinuxIntelRdt): void {
  const needs: [keyof LinuxIntelRdt, string, string][] = [
    ['l3CacheSchema', 'L3', 'cache allocation'],
    ['memBwSchema', 'MB', 'bandwidth allocation'],
    ['enableMonitoring', 'L3_MON', 'monitoring'],
  ];
  for (const [field, resource, what] of needs) {
    const isAsked = rdt[field] !== undefined && rdt[field] !== '' && rdt[field] !== false;
    // With code and data prioritisation there are two in the place of L3.
    const isThere = [resource, `${resource}CODE`].some((name) => resctrl.supports(name));
    if (!isAsked || isThere) continue;
    throw new RuncellError({
      code: 'kernel.unsupported',
      specPath: `${AT}.${field}`,
      reason: `this machine's resctrl has no ${what} (info/${resource})`,
    });
  }
}

function compare(resctrl: Resctrl, group: string, lines: readonly string[]): void {
  const differing = differingLine(lines, resctrl.read(group, 'schemata'));
  if (differing === undefined) return;
  throw new RuncellError({
    code: 'config.value',
    specPath: `${AT}.closID`,
    target: group === '' ? '/' : group,
    reason: `the class of service is there and says something else than ${differing}`,
  });
}

function monitoringGroup(group: string, id: string): string {
  return group === '' ? `mon_groups/${id}` : `${group}/mon_groups/${id}`;
}

/** Makes what was chosen; a class that was there before is not written to but by its own name. */
export function makeClass(resctrl: Resctrl, state: RdtState, rdt: LinuxIntelRdt): void {
  const isThere = resctrl.has(state.group);
  if (!isThere) resctrl.make(state.group);
  const lines = schemataLines(rdt);
  if (lines.length > 0 && !(isThere && rdt.closID)) writeSchemata(resctrl, state, lines);
  if (state.monitoring !== undefined && !resctrl.has(state.monitoring)) {
    resctrl.make(state.monitoring);
  }
}

function writeSchemata(resctrl: Resctrl, state: RdtState, lines: readonly string[]): void {
  resctrl.write(state.group, 'schemata', lines.map((line) => `${line}\n`).join(''));
}

/** A thread, and what it clones from now on; the class first, its group of counters then. */
export function joinClass(resctrl: Resctrl, state: RdtState, tid: number): void {
  resctrl.write(state.group, 'tasks', String(tid));
  if (state.monitoring !== undefined) resctrl.write(state.monitoring, 'tasks', String(tid));
}

/** What `delete` removes, and a create that fails: an owned class goes with its groups of counters. */
export function removeClass(resctrl: Resctrl, state: RdtState): void {
  if (state.monitoring !== undefined) resctrl.remove(state.monitoring);
  if (state.owned) resctrl.remove(state.group);
}

/**
 * `update --l3-cache-schema --mem-bw-schema`. A container without a class gets one of its own, with
 * all its processes; the state that is then to be recorded comes back.
 */
export function updateClass(
  resctrl: Resctrl,
  container: { readonly id: string; readonly cgroup: string; readonly state: RdtState | undefined },
  schemas: Schemas,
): RdtState {
  const { id, cgroup } = container;
  checkResources(resctrl, schemas);
  const state = container.state ?? chooseClass(resctrl, id, {});
  if (container.state !== undefined) {
    writeSchemata(resctrl, state, schemataLines(schemas));
    return state;
  }
  try {
    makeClass(resctrl, state, schemas);
    for (const tid of threadsOf(cgroup)) join(resctrl, state, tid);
  } catch (thrown) {
    removeClass(resctrl, state);
    throw thrown;
  }
  return state;
}

/** One that has ended meanwhile needs no class. */
function join(resctrl: Resctrl, state: RdtState, tid: number): void {
  try {
    joinClass(resctrl, state, tid);
  } catch (thrown) {
    if (toRuncellError(thrown).fields.errno !== ERRNO.ESRCH) throw thrown;
  }
}

function threadsOf(cgroup: string): number[] {
  const pids = readFileSync(`${cgroup}/cgroup.procs`, 'latin1').split('\n').filter(Boolean);
  return pids.flatMap((pid) => {
    try {
      return readdirSync(`/proc/${pid}/task`).map(Number);
    } catch {
      // It has ended.
      return [];
    }
  });
}

export function classOf(state: RdtState): Resctrl {
  return new Resctrl(state.root);
}
