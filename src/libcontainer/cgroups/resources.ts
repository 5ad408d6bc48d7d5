/**
 * `linux.resources` as writes to the files of a cgroup2 group: which file, what, in which order.
 *
 * Pure: `GroupFiles` tells what the group has. runtime-spec 1.3 config-linux.md#configLinuxControlGroups
 * speaks of cgroup v1; what its numbers mean in v2 is in runtime-cli.md §6.3, and the files are in
 * Documentation/admin-guide/cgroup-v2.rst. Amounts are 64 bits wide and stay exact.
 *
 * Fields that v2 has nothing for never come here: src/oci/validate/resources.ts refuses them. Rules
 * for devices are not files (a BPF program), and are not here either.
 */

import type {
  LinuxBlockIO,
  LinuxCPU,
  LinuxMemory,
  LinuxResources,
  LinuxThrottleDevice,
} from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';

type Amount = number | bigint;

export interface LimitWrite {
  /** Name of the file, one component. */
  readonly file: string;
  /** One write(2). */
  readonly value: string;
  /** The field it comes from. */
  readonly specPath: string;
  /** Whose file it is; '' for the core's own, as cgroup.max.depth. */
  readonly controller: string;
  /** It takes a limit away: where the controller is not at work, there is none to take away. */
  readonly lifts?: true;
  /** Errnos that are no failure; the reason stands where the write is made. */
  readonly tolerated?: readonly number[];
}

/** What the order and the form of the writes depend on. */
export interface GroupFiles {
  has(file: string): boolean;
  /** The content, '' where the file is not. */
  read(file: string): string;
}

/** A new group of a kernel that has everything: what may be asked of any group. */
export const ANY_GROUP: GroupFiles = { has: () => true, read: () => '' };

export interface LimitOptions {
  /** What a field's path begins with: `linux.resources` in config.json, '' for the document of update. */
  readonly at: string;
  /** `pids.limit` 0 is a limit since version 1.3; engines that write older ones mean "none". */
  readonly zeroPids: boolean;
}

/** Whether a document of this version means a limit by `pids.limit` 0. */
export function zeroPidsIsLimit(ociVersion: string): boolean {
  const [major, minor] = ociVersion.split('.').map(Number);
  return major === 1 && (minor ?? 0) >= 3;
}

/** All writes, in order. `unified` comes last: it is for what the other fields cannot say. */
export function limitWrites(
  resources: LinuxResources,
  files: GroupFiles,
  options: LimitOptions,
): LimitWrite[] {
  const prefix = options.at === '' ? '' : `${options.at}.`;
  const { pids, memory, blockIO, cpu } = resources;
  const all = [
    ...pidsWrites(pids?.limit, options.zeroPids),
    ...(memory === undefined ? [] : memoryWrites(memory, files, prefix)),
    ...(blockIO === undefined ? [] : ioWrites(blockIO, files)),
    ...(cpu === undefined ? [] : cpuWrites(cpu, files)),
    ...(cpu === undefined ? [] : cpusetWrites(cpu)),
    ...hugetlbWrites(resources.hugepageLimits ?? [], files),
    ...rdmaWrites(resources.rdma ?? {}),
    ...unifiedWrites(resources.unified ?? {}),
  ];
  return all.map((one) => ({ ...one, specPath: prefix + one.specPath }));
}

/** Controllers that the limits need, each with the first field that does. */
export function neededControllers(
  resources: LinuxResources,
  options: LimitOptions,
): Map<string, string> {
  const needed = new Map<string, string>();
  for (const { controller, specPath, lifts } of limitWrites(resources, ANY_GROUP, options)) {
    if (controller === '' || lifts === true || needed.has(controller)) continue;
    needed.set(controller, specPath);
  }
  return needed;
}

// ---- pids

function pidsWrites(limit: Amount | undefined, zeroIsLimit: boolean): LimitWrite[] {
  if (limit === undefined || (BigInt(limit) === 0n && !zeroIsLimit)) return [];
  const value = pidsMax(limit);
  const write = { file: 'pids.max', value, specPath: 'pids.limit', controller: 'pids' };
  return [value === 'max' ? { ...write, lifts: true } : write];
}

/** systemd knows no 0, so that runc writes 1, which is as few: the first process has been counted. */
export function pidsMax(limit: Amount): string {
  const amount = BigInt(limit);
  if (amount < 0n) return 'max';
  return amount === 0n ? '1' : String(amount);
}

// ---- memory

function memoryWrites(memory: LinuxMemory, files: GroupFiles, prefix: string): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const swap = swapMax(memory, () => files.read('memory.max').trim(), prefix);
  if (swap !== undefined) {
    // Without swap in the kernel there is no file: nothing to lift, and none to use.
    const tolerated = swap === 'max' || swap === '0' ? { tolerated: [ERRNO.ENOENT] } : {};
    writes.push({ ...memoryWrite('memory.swap.max', swap, 'swap'), ...tolerated });
  }
  if (isGiven(memory.limit)) {
    writes.push(memoryWrite('memory.max', memoryAmount(memory.limit), 'limit'));
  }
  if (isGiven(memory.reservation)) {
    writes.push(memoryWrite('memory.low', memoryAmount(memory.reservation), 'reservation'));
  }
  return writes;
}

function memoryWrite(file: string, value: string, field: string): LimitWrite {
  const write = { file, value, specPath: `memory.${field}`, controller: 'memory' };
  return value === 'max' ? { ...write, lifts: true } : write;
}

/** 0 is how engines write "not given". */
function isGiven(value: Amount | undefined): value is Amount {
  return value !== undefined && BigInt(value) !== 0n;
}

export function memoryAmount(value: Amount): string {
  return BigInt(value) < 0n ? 'max' : String(BigInt(value));
}

/**
 * memory.swap.max of `memory.swap`, which in v1 is memory and swap together. Undefined leaves it as
 * it is. `limitInForce` is asked where the document has no limit: the content of memory.max.
 */
export function swapMax(
  memory: LinuxMemory,
  limitInForce: () => string,
  prefix = '',
): string | undefined {
  const swapError = (reason: string): RuncellError => {
    const specPath = `${prefix}memory.swap`;
    return new RuncellError({ code: 'config.value', specPath, target: String(swap), reason });
  };
  const limit = BigInt(memory.limit ?? 0);
  const swap = BigInt(memory.swap ?? 0);
  // As v1 did: without limit for memory, none for swap.
  if (swap === 0n) return limit < 0n ? 'max' : undefined;
  if (swap < 0n) return 'max';
  const memoryMax = limit === 0n ? limitInForce() : limit < 0n ? 'max' : String(limit);
  if (memoryMax === 'max')
    throw swapError('is a limit for memory and swap together and needs memory.limit');
  if (memoryMax === '') return String(swap);
  if (swap < BigInt(memoryMax)) throw swapError(`is below the memory limit ${memoryMax}`);
  return String(swap - BigInt(memoryMax));
}

// ---- cpu

/** Period of cpu.max where none is given, µs. */
const DEFAULT_PERIOD = '100000';

function cpuWrites(cpu: LinuxCPU, files: GroupFiles): LimitWrite[] {
  const { shares, idle } = cpu;
  const write = (file: string, value: string, field: string): LimitWrite => ({
    file,
    value,
    specPath: `cpu.${field}`,
    controller: 'cpu',
  });
  const writes: LimitWrite[] = [];
  const idles = idle === undefined ? [] : [write('cpu.idle', String(idle), 'idle')];
  if (idle !== undefined && BigInt(idle) === 0n) idles[0] = { ...idles[0]!, lifts: true };
  const weights = isGiven(shares) ? [write('cpu.weight', cpuWeight(shares), 'shares')] : [];
  // An idle group refuses a weight (EINVAL), so that it is idle last and stops being idle first.
  writes.push(
    ...(idle === undefined || BigInt(idle) === 0n
      ? [...idles, ...weights]
      : [...weights, ...idles]),
  );
  const bandwidth = cpuMax(cpu, files);
  if (cpu.burst !== undefined) writes.push(...burstWrites(String(cpu.burst), bandwidth, write));
  else if (bandwidth !== undefined) writes.push(bandwidthWrite(bandwidth, write));
  return writes;
}

type CpuWrite = (file: string, value: string, field: string) => LimitWrite;

/**
 * A burst may not be above the quota (EINVAL), neither the new nor the old one: a lower one goes
 * before the quota, a higher one after it. Which it is only the kernel knows for certain, so it is
 * written on both sides, and the first time may fail.
 */
function burstWrites(
  burst: string,
  bandwidth: Bandwidth | undefined,
  write: CpuWrite,
): LimitWrite[] {
  const second = write('cpu.max.burst', burst, 'burst');
  const lifted = burst === '0' ? { ...second, lifts: true as const } : second;
  if (bandwidth === undefined) return [lifted];
  return [{ ...lifted, tolerated: [ERRNO.EINVAL] }, bandwidthWrite(bandwidth, write), lifted];
}

interface Bandwidth {
  readonly quota: string;
  readonly period: string;
  readonly field: 'quota' | 'period';
}

function bandwidthWrite({ quota, period, field }: Bandwidth, write: CpuWrite): LimitWrite {
  const one = write('cpu.max', `${quota} ${period}`, field);
  return quota === 'max' ? { ...one, lifts: true } : one;
}

/** Quota and period in one file: what is not given keeps what is in force. */
function cpuMax({ quota, period }: LinuxCPU, files: GroupFiles): Bandwidth | undefined {
  if (!isGiven(quota) && !isGiven(period)) return undefined;
  const [quotaNow = 'max', periodNow = DEFAULT_PERIOD] = files
    .read('cpu.max')
    .trim()
    .split(' ')
    .filter((word) => word !== '');
  return {
    quota: isGiven(quota) ? memoryAmount(quota) : quotaNow,
    period: isGiven(period) ? String(period) : periodNow,
    field: isGiven(quota) ? 'quota' : 'period',
  };
}

/**
 * cpu.weight (1 to 10000, 100 by default) of `cpu.shares` (2 to 262144, 1024 by default): a curve
 * through the two ends and the two defaults, as runc 1.3.2 and crun 1.23 have it. The older linear
 * formula made 39 of 1024 and so gave containers less than their neighbours.
 */
export function cpuWeight(shares: Amount): string {
  const amount = Number(shares);
  if (amount <= 2) return '1';
  if (amount >= 262_144) return '10000';
  const l = Math.log2(amount);
  return String(Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34)));
}

function cpusetWrites({ cpus, mems }: LinuxCPU): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const add = (file: string, value: string | undefined, field: string): void => {
    if (!value) return;
    writes.push({ file, value, specPath: `cpu.${field}`, controller: 'cpuset' });
  };
  add('cpuset.cpus', cpus, 'cpus');
  add('cpuset.mems', mems, 'mems');
  return writes;
}

// ---- io

function ioWrites(blockIO: LinuxBlockIO, files: GroupFiles): LimitWrite[] {
  const bfq = files.has('io.bfq.weight');
  const file = bfq ? 'io.bfq.weight' : 'io.weight';
  const weightOf = (weight: number): string => String(bfq ? weight : ioWeight(weight));
  const io = (value: string, specPath: string): LimitWrite => ({
    file,
    value,
    specPath: `blockIO.${specPath}`,
    controller: 'io',
  });
  const writes: LimitWrite[] = [];
  if (blockIO.weight) writes.push(io(weightOf(blockIO.weight), 'weight'));
  blockIO.weightDevice?.forEach(({ major, minor, weight }, index) => {
    if (!weight) return;
    const at = `weightDevice[${index}].weight`;
    writes.push(io(`${major}:${minor} ${weightOf(weight)}`, at));
  });
  for (const [field, key] of THROTTLES) {
    blockIO[field]?.forEach((device, index) => {
      writes.push(throttleWrite(device, key, `blockIO.${field}[${index}].rate`));
    });
  }
  return writes;
}

const THROTTLES = [
  ['throttleReadBpsDevice', 'rbps'],
  ['throttleWriteBpsDevice', 'wbps'],
  ['throttleReadIOPSDevice', 'riops'],
  ['throttleWriteIOPSDevice', 'wiops'],
] as const;

/** A rate of 0 took the throttle away in v1; io.max refuses it and says `max` for that. */
function throttleWrite(device: LinuxThrottleDevice, key: string, specPath: string): LimitWrite {
  const { major, minor, rate = 0 } = device;
  const none = BigInt(rate) === 0n;
  const value = `${major}:${minor} ${key}=${none ? 'max' : rate}`;
  const write = { file: 'io.max', value, specPath, controller: 'io' };
  return none ? { ...write, lifts: true } : write;
}

/** io.weight (1 to 10000) of a weight of BFQ's scale (10 to 1000). */
export function ioWeight(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990);
}

// ---- hugetlb and rdma

function hugetlbWrites(
  limits: NonNullable<LinuxResources['hugepageLimits']>,
  files: GroupFiles,
): LimitWrite[] {
  return limits.flatMap(({ pageSize, limit }, index) => {
    const name = `hugetlb.${hugePageName(pageSize)}`;
    const at = { value: String(limit), controller: 'hugetlb' };
    const specPath = `hugepageLimits[${index}].limit`;
    const max = { ...at, file: `${name}.max`, specPath };
    // Linux 5.7: what is reserved counts too, so that mmap fails and not a later page fault.
    const reserved = { ...at, file: `${name}.rsvd.max`, specPath };
    return files.has(reserved.file) ? [max, reserved] : [max];
  });
}

/** The kernel's spelling of a page size (mm/hugetlb_cgroup.c mem_fmt): `2MB`, also for `2048KB`. */
export function hugePageName(pageSize: string): string {
  const units = ['KB', 'MB', 'GB'];
  let amount = Number.parseInt(pageSize, 10);
  let unit = units.indexOf(pageSize.slice(-2));
  for (; amount % 1024 === 0 && unit < 2; unit++) amount /= 1024;
  return `${amount}${units[unit]}`;
}

function rdmaWrites(rdma: NonNullable<LinuxResources['rdma']>): LimitWrite[] {
  return Object.entries(rdma).flatMap(([device, { hcaHandles, hcaObjects }]) => {
    const parts = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    if (parts.length === 0) return [];
    const value = [device, ...parts].join(' ');
    return [{ file: 'rdma.max', value, specPath: `rdma.${device}`, controller: 'rdma' }];
  });
}

// ---- unified

/** A file of many lines takes one a write, as io.max. */
function unifiedWrites(unified: Readonly<Record<string, string>>): LimitWrite[] {
  return Object.entries(unified).flatMap(([file, text]) => {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    const specPath = `unified[${JSON.stringify(file)}]`;
    const controller = controllerOf(file);
    // An empty value empties a list, as cpuset.cpus: write(2) of nothing would do nothing.
    const values = lines.length === 0 ? ['\n'] : lines;
    return values.map((value) => ({ file, value, specPath, controller }));
  });
}

/** Pressure is the core's: it is there without the controller of its name. */
function controllerOf(file: string): string {
  const [name = ''] = file.split('.');
  return name === 'cgroup' || file.endsWith('.pressure') ? '' : name;
}
