/**
 * The properties of a container's scope: what makes it one, and `linux.resources` in systemd's words
 * (runtime-cli.md §6.2; systemd.resource-control(5), org.freedesktop.systemd1(5)).
 *
 * The same limits are written to the group's files too (apply.ts), since systemd knows only some of
 * them. It has to know those it knows, or the next `daemon-reload` would put its own defaults there.
 * Where it cannot say a value exactly, the files follow it: `systemdCpu`. Properties that a version
 * does not have are left out and stay a matter of the files. Pure.
 */

import type { LinuxCPU, LinuxMemory, LinuxResources } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { parseCpuList } from '../linux/cpu-list.ts';
import type { BusData, BusProperty } from '../native/bus-value.ts';
import {
  cpuWeight,
  type GroupFiles,
  ioWeight,
  type LimitOptions,
  memoryAmount,
  pidsMax,
  swapMax,
} from './resources.ts';
import type { ScopeUnit } from './systemd-unit.ts';

/** What systemd calls infinity. */
const INFINITY = 0xffffffffffffffffn;

/** The first version that has it. */
const SINCE = {
  CPUQuotaPeriodUSec: 242,
  AllowedCPUs: 244,
  CPUWeight0: 252,
  OOMPolicy: 253,
  MemoryZSwapMax: 253,
} as const;

export interface PropertyOptions extends LimitOptions {
  /** Of the manager: 252, 257. */
  readonly version: number;
}

/** What a scope is started with, before its limits. `Delegate` makes the group the container's. */
export function scopeProperties(unit: ScopeUnit, pids: readonly number[]): BusProperty[] {
  const on = (name: string, value: boolean): BusProperty => property(name, 'b', value);
  return [
    property('Description', 's', unit.description),
    property('Slice', 's', unit.slice),
    on('Delegate', true),
    property('PIDs', 'au', pids),
    ...['Memory', 'CPU', 'IO', 'Tasks'].map((what) => on(`${what}Accounting`, true)),
    on('DefaultDependencies', false),
  ];
}

/** `memory.oom.group` decides at the start what systemd does after an OOM: it can not be changed later. */
export function oomProperties(resources: LinuxResources, version: number): BusProperty[] {
  const policy = { 0: 'continue', 1: 'kill' }[
    resources.unified?.['memory.oom.group']?.trim() ?? ''
  ];
  if (policy === undefined || version < SINCE.OOMPolicy) return [];
  return [property('OOMPolicy', 's', policy)];
}

/** The limits. `files` tells what is in force, where the document gives a part only. */
export function resourceProperties(
  resources: LinuxResources,
  files: GroupFiles,
  options: PropertyOptions,
): BusProperty[] {
  const { memory, cpu, pids, blockIO, unified = {} } = resources;
  const properties: BusProperty[] = [];
  if (memory !== undefined) properties.push(...memoryProperties(memory, files));
  if (cpu !== undefined) properties.push(...cpuProperties(cpu, files, options));
  if (pids?.limit !== undefined && (options.zeroPids || BigInt(pids.limit) !== 0n)) {
    properties.push(property('TasksMax', 't', amount(pidsMax(pids.limit))));
  }
  // With BFQ systemd has a scale of its own, which the files cannot follow.
  if (blockIO?.weight && !files.has('io.bfq.weight')) {
    properties.push(property('IOWeight', 't', BigInt(ioWeight(blockIO.weight))));
  }
  properties.push(...unifiedProperties(unified, options));
  return lastOfEach(properties);
}

/** `unified` comes last and wins, as in the files. */
function lastOfEach(properties: readonly BusProperty[]): BusProperty[] {
  return [...new Map(properties.map((one) => [one.name, one])).values()];
}

function memoryProperties(memory: LinuxMemory, files: GroupFiles): BusProperty[] {
  const properties: BusProperty[] = [];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) properties.push(property(name, 't', amount(value)));
  };
  if (memory.limit) add('MemoryMax', memoryAmount(memory.limit));
  if (memory.reservation) add('MemoryLow', memoryAmount(memory.reservation));
  add(
    'MemorySwapMax',
    swapMax(memory, () => files.read('memory.max').trim()),
  );
  return properties;
}

function cpuProperties(cpu: LinuxCPU, files: GroupFiles, options: PropertyOptions): BusProperty[] {
  const { version } = options;
  const properties: BusProperty[] = [];
  const idles = cpu.idle !== undefined && BigInt(cpu.idle) === 1n;
  // 0 is systemd's word for cpu.idle; a weight beside it is kept by the files for later.
  if (idles && version >= SINCE.CPUWeight0) properties.push(property('CPUWeight', 't', 0n));
  else if (cpu.shares) properties.push(property('CPUWeight', 't', BigInt(cpuWeight(cpu.shares))));
  const bandwidth = bandwidthOf(cpu, files);
  if (bandwidth !== undefined) properties.push(...quotaProperties(bandwidth, version));
  if (cpu.cpus)
    properties.push(...setProperty('AllowedCPUs', cpu.cpus, pathOf(options, 'cpu.cpus'), version));
  if (cpu.mems)
    properties.push(
      ...setProperty('AllowedMemoryNodes', cpu.mems, pathOf(options, 'cpu.mems'), version),
    );
  return properties;
}

interface Bandwidth {
  /** µs a period, undefined for no limit. */
  readonly quota: bigint | undefined;
  /** µs, undefined where none is given or in force. */
  readonly period: bigint | undefined;
}

const DEFAULT_PERIOD = 100_000n;
/** systemd counts in percent of a CPU: 10 ms of a second. */
const PERCENT = 10_000n;
const SECOND = 1_000_000n;

/** What is not given keeps what is in force. */
function bandwidthOf(cpu: LinuxCPU, files: GroupFiles): Bandwidth | undefined {
  const given = BigInt(cpu.quota ?? 0);
  const period = BigInt(cpu.period ?? 0);
  if (given === 0n && period === 0n) return undefined;
  const [quotaNow = 'max', periodNow] = files
    .read('cpu.max')
    .split(/\s+/)
    .filter((word) => word !== '');
  const quota = given === 0n ? quotaNow : memoryAmount(given);
  const inForce = periodNow === undefined ? undefined : BigInt(periodNow);
  return {
    quota: quota === 'max' ? undefined : BigInt(quota),
    period: period === 0n ? inForce : period,
  };
}

/** µs of CPU a second, rounded up to what systemd can say. */
function perSecond(quota: bigint, period: bigint): bigint {
  const exact = (quota * SECOND) / period;
  return ((exact + PERCENT - 1n) / PERCENT) * PERCENT;
}

function quotaProperties({ quota, period }: Bandwidth, version: number): BusProperty[] {
  const rate = quota === undefined ? INFINITY : perSecond(quota, period ?? DEFAULT_PERIOD);
  const named = property('CPUQuotaPerSecUSec', 't', rate);
  if (period === undefined || version < SINCE.CPUQuotaPeriodUSec) return [named];
  return [property('CPUQuotaPeriodUSec', 't', period), named];
}

/**
 * The quota that systemd will write for this one: a whole percent. The files get the same, or they
 * would say something else after a daemon-reload.
 */
export function systemdCpu(resources: LinuxResources, files: GroupFiles): LinuxResources {
  const { cpu } = resources;
  const bandwidth = cpu?.quota ? bandwidthOf(cpu, files) : undefined;
  if (bandwidth?.quota === undefined) return resources;
  const period = bandwidth.period ?? DEFAULT_PERIOD;
  const quota = (perSecond(bandwidth.quota, period) * period) / SECOND;
  return { ...resources, cpu: { ...cpu, quota } };
}

function setProperty(name: string, list: string, specPath: string, version: number): BusProperty[] {
  const bits = cpuBits(list, specPath);
  return version < SINCE.AllowedCPUs ? [] : [property(name, 'ay', bits)];
}

/** `0-3,7` as a bit a CPU, lowest first. */
export function cpuBits(list: string, specPath: string): number[] {
  const bits: number[] = [];
  const ranges = parseCpuList(list);
  if (ranges === undefined) throw invalid(specPath, list, 'not a list as 0-3,7');
  for (const [first, last] of ranges) {
    for (let cpu = first; cpu <= last; cpu++) {
      while (bits.length <= cpu >> 3) bits.push(0);
      bits[cpu >> 3]! |= 1 << (cpu & 7);
    }
  }
  return bits;
}

/** Files that systemd has a property for, by the property. */
const UNIFIED_AMOUNTS: Readonly<Record<string, readonly [name: string, since: number]>> = {
  'cpu.weight': ['CPUWeight', 0],
  'memory.high': ['MemoryHigh', 0],
  'memory.low': ['MemoryLow', 0],
  'memory.max': ['MemoryMax', 0],
  'memory.min': ['MemoryMin', 0],
  'memory.swap.max': ['MemorySwapMax', 0],
  'memory.zswap.max': ['MemoryZSwapMax', SINCE.MemoryZSwapMax],
  'pids.max': ['TasksMax', 0],
};

function unifiedProperties(
  unified: Readonly<Record<string, string>>,
  options: PropertyOptions,
): BusProperty[] {
  const { version } = options;
  const idle = unified['cpu.idle']?.trim() === '1' && version >= SINCE.CPUWeight0;
  const properties: BusProperty[] = [];
  for (const [file, raw] of Object.entries(unified)) {
    // The kernel is generous about blanks, and so are we.
    const text = raw.trim();
    const specPath = pathOf(options, `unified[${JSON.stringify(file)}]`);
    const [name, since] = UNIFIED_AMOUNTS[file] ?? [];
    if (file === 'cpu.weight' && idle) continue;
    if (file === 'cpu.idle' && idle) properties.push(property('CPUWeight', 't', 0n));
    else if (file === 'cpu.max') properties.push(...unifiedCpuMax(text, specPath, version));
    else if (file === 'cpuset.cpus') {
      properties.push(...setProperty('AllowedCPUs', text, specPath, version));
    } else if (file === 'cpuset.mems') {
      properties.push(...setProperty('AllowedMemoryNodes', text, specPath, version));
    } else if (name !== undefined && version >= since!) {
      if (text !== 'max' && !/^\d+$/.test(text))
        throw invalid(specPath, raw, 'not a number or max');
      properties.push(property(name, 't', amount(text)));
    }
  }
  return properties;
}

function unifiedCpuMax(text: string, specPath: string, version: number): BusProperty[] {
  const match = /^(max|\d+)(?:\s+(\d+))?$/.exec(text);
  const period = BigInt(match?.[2] ?? DEFAULT_PERIOD);
  if (match === null || period === 0n) throw invalid(specPath, text, 'not as 50000 100000 or max');
  const quota = match[1] === 'max' ? undefined : BigInt(match[1]!);
  return quotaProperties({ quota, period }, version);
}

function pathOf({ at }: LimitOptions, field: string): string {
  return at === '' ? field : `${at}.${field}`;
}

function amount(text: string): bigint {
  const value = text === 'max' ? INFINITY : BigInt(text);
  return value > INFINITY ? INFINITY : value;
}

export function property(name: string, signature: string, value: BusData): BusProperty {
  return { name, signature, value };
}

function invalid(specPath: string, target: string, reason: string): RuncellError {
  return new RuncellError({ code: 'config.value', specPath, target, reason });
}
