/**
 * Values of `linux.resources` (runtime-spec 1.3 config-linux.md#configLinuxControlGroups), for
 * config.json and for the document of `update`. Loaded only when something is limited.
 *
 * What only the kernel can judge (is there such a CPU, such a device) is its to refuse. What cgroup
 * v2 has no file for is refused here by name, as crun does; runc drops most of it in silence. The two
 * limits of kernel memory, which no kernel since 5.16 has, are ignored with a warning, as in runc.
 */

import type { LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources } from '@opencontainers-ts/spec';
import { parseCpuList } from '../../libcontainer/linux/cpu-list.ts';
import { type Findings, noFindings, problem, throwProblems } from './findings.ts';

/** `at` is `linux.resources`, or '' where the document is one of resources. */
export function checkResources(resources: LinuxResources, at: string, findings: Findings): void {
  const path = (field: string): string => (at === '' ? field : `${at}.${field}`);
  checkNames(resources, at, findings);
  const { memory, cpu, pids, blockIO, network } = resources;
  if (memory !== undefined) checkMemory(memory, path('memory'), findings);
  if (cpu !== undefined) checkCpu(cpu, path('cpu'), findings);
  if (pids !== undefined) checkFloor(findings, path('pids.limit'), pids.limit);
  if (blockIO !== undefined) checkBlockIO(blockIO, path('blockIO'), findings);
  checkHugepages(resources, path('hugepageLimits'), findings);
  for (const name in resources.rdma ?? {}) {
    if (!/^[^\s/]+$/.test(name))
      problem(findings, path('rdma'), 'is no name of a device', { target: name });
  }
  if (network?.classID) unavailable(findings, path('network.classID'), network.classID);
  if (network?.priorities?.length) unavailable(findings, path('network.priorities'));
  for (const [key, value] of Object.entries(resources.unified ?? {})) {
    checkUnified(key, value, path('unified'), findings);
  }
}

/** The checks alone, for whoever has a document that the schema accepted; throws for problems. */
export function findingsOfResources(resources: LinuxResources, at: string): Findings {
  const findings = noFindings();
  checkResources(resources, at, findings);
  throwProblems(findings);
  return findings;
}

type Amount = number | bigint;

/** By part, what is known in it; '' is the whole. */
const NAMES: { readonly [part: string]: readonly string[] } = {
  '': [
    ...['devices', 'memory', 'cpu', 'pids', 'blockIO'],
    ...['hugepageLimits', 'network', 'rdma', 'unified'],
  ],
  memory: [
    ...['limit', 'reservation', 'swap', 'kernel', 'kernelTCP'],
    ...['swappiness', 'disableOOMKiller', 'useHierarchy', 'checkBeforeUpdate'],
  ],
  cpu: [
    ...['shares', 'quota', 'burst', 'period', 'cpus', 'mems', 'idle'],
    ...['realtimeRuntime', 'realtimePeriod'],
  ],
  pids: ['limit'],
  blockIO: [
    ...['weight', 'leafWeight', 'weightDevice', 'throttleReadBpsDevice'],
    ...['throttleWriteBpsDevice', 'throttleReadIOPSDevice', 'throttleWriteIOPSDevice'],
  ],
  network: ['classID', 'priorities'],
};

/**
 * Engines written in Go match names whatever their case: `Limit` would be a limit there and nothing
 * here (security.md §5.2). Other unknown names are extensions; they are only told.
 */
function checkNames(resources: LinuxResources, at: string, findings: Findings): void {
  for (const [part, names] of Object.entries(NAMES)) {
    const value = part === '' ? resources : resources[part as keyof LinuxResources];
    const place = [at, part].filter((text) => text !== '').join('.');
    for (const key in value ?? {}) {
      if (names.includes(key)) continue;
      const path = place === '' ? key : `${place}.${key}`;
      const meant = names.find((name) => name.toLowerCase() === key.toLowerCase());
      if (meant === undefined) findings.debug.push(`${path}: is not known`);
      else problem(findings, path, `is spelt ${meant}`);
    }
  }
}

/** cgroup v1 had it, v2 has nothing that does the same. */
function unavailable(findings: Findings, path: string, value?: Amount | boolean): void {
  const target = value === undefined ? {} : { target: String(value) };
  const reason = 'is a limit of cgroup v1, which cgroup v2 does not have';
  problem(findings, path, reason, { ...target, code: 'config.unsupported' });
}

/** -1 is "without limit"; below it there is nothing. */
function checkFloor(findings: Findings, path: string, value: Amount | undefined): void {
  if (value === undefined || BigInt(value) >= -1n) return;
  problem(findings, path, 'must be -1, for no limit, or more', { target: String(value) });
}

function checkMemory(memory: LinuxMemory, at: string, findings: Findings): void {
  const { limit, swap } = memory;
  for (const field of ['limit', 'reservation', 'swap'] as const) {
    checkFloor(findings, `${at}.${field}`, memory[field]);
  }
  if (BigInt(limit ?? 0) > 0n && BigInt(swap ?? 0) > 0n && BigInt(swap!) < BigInt(limit!)) {
    const reason = 'is for memory and swap together, and must not be below memory.limit';
    problem(findings, `${at}.swap`, reason, { target: String(swap) });
  }
  for (const field of ['kernel', 'kernelTCP'] as const) {
    if (!memory[field]) continue;
    findings.warnings.push(`${at}.${field}: no kernel has this limit any more, it is ignored`);
  }
  if (memory.swappiness) unavailable(findings, `${at}.swappiness`, memory.swappiness);
  if (memory.disableOOMKiller === true) unavailable(findings, `${at}.disableOOMKiller`, true);
  if (memory.useHierarchy === false) {
    findings.debug.push(`${at}.useHierarchy: cgroup v2 always counts the groups below`);
  }
}

/** cpu.max: 1 ms to 1 s, kernel/sched/core.c. */
const PERIOD = { min: 1000n, max: 1_000_000n };
const QUOTA_MIN = 1000n;

function checkCpu(cpu: LinuxCPU, at: string, findings: Findings): void {
  const period = BigInt(cpu.period ?? 0);
  const quota = BigInt(cpu.quota ?? 0);
  const bad = (field: keyof LinuxCPU, reason: string): void =>
    problem(findings, `${at}.${field}`, reason, { target: String(cpu[field]) });
  if (period !== 0n && (period < PERIOD.min || period > PERIOD.max)) {
    bad('period', 'must be from 1000 to 1000000 microseconds');
  }
  if (quota > 0n && quota < QUOTA_MIN) bad('quota', 'must be 1000 microseconds or more');
  checkFloor(findings, `${at}.quota`, cpu.quota);
  if (quota > 0n && BigInt(cpu.burst ?? 0) > quota) bad('burst', 'must not be above cpu.quota');
  if (cpu.idle !== undefined && cpu.idle !== 0 && cpu.idle !== 1) bad('idle', 'must be 0 or 1');
  for (const field of ['cpus', 'mems'] as const) {
    const list = cpu[field];
    if (list === undefined || list === '') continue;
    if (parseCpuList(list) === undefined) bad(field, 'must be a list as 0-3,7');
  }
  for (const field of ['realtimeRuntime', 'realtimePeriod'] as const) {
    if (cpu[field]) unavailable(findings, `${at}.${field}`, cpu[field]);
  }
}

function checkBlockIO(blockIO: LinuxBlockIO, at: string, findings: Findings): void {
  const weight = (path: string, value: number | undefined): void => {
    if (!value || (value >= 10 && value <= 1000)) return;
    problem(findings, path, 'must be from 10 to 1000', { target: String(value) });
  };
  weight(`${at}.weight`, blockIO.weight);
  if (blockIO.leafWeight) unavailable(findings, `${at}.leafWeight`, blockIO.leafWeight);
  blockIO.weightDevice?.forEach((device, index) => {
    const path = `${at}.weightDevice[${index}]`;
    weight(`${path}.weight`, device.weight);
    if (device.leafWeight) unavailable(findings, `${path}.leafWeight`, device.leafWeight);
    checkDevice(device, path, findings);
  });
  for (const field of THROTTLES) {
    blockIO[field]?.forEach((device, index) => {
      checkDevice(device, `${at}.${field}[${index}]`, findings);
    });
  }
}

const THROTTLES = [
  'throttleReadBpsDevice',
  'throttleWriteBpsDevice',
  'throttleReadIOPSDevice',
  'throttleWriteIOPSDevice',
] as const;

function checkDevice(
  device: { readonly major: Amount; readonly minor: Amount },
  path: string,
  findings: Findings,
): void {
  for (const field of ['major', 'minor'] as const) {
    if (BigInt(device[field]) >= 0n) continue;
    problem(findings, `${path}.${field}`, 'must not be negative', {
      target: String(device[field]),
    });
  }
}

function checkHugepages({ hugepageLimits }: LinuxResources, at: string, findings: Findings): void {
  const seen = new Set<string>();
  hugepageLimits?.forEach(({ pageSize }, index) => {
    if (seen.has(pageSize)) {
      problem(findings, `${at}[${index}].pageSize`, 'is there twice', { target: pageSize });
    }
    seen.add(pageSize);
  });
}

/** The name of a file of the group: nothing may lead to another group's, or out of the tree. */
function checkUnified(key: string, value: string, at: string, findings: Findings): void {
  const target = { target: key };
  if (key.includes('/')) {
    problem(
      findings,
      at,
      `unified resource ${JSON.stringify(key)} must be a file name (no slashes)`,
    );
  } else if (!/^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)+$/.test(key)) {
    problem(findings, at, 'must be in the form CONTROLLER.PARAMETER', target);
  } else if (PROCESSES.includes(key)) {
    problem(findings, at, 'moves, stops or ends processes and is no limit', target);
  } else if (value.trim() === '' && !LISTS.test(key)) {
    problem(findings, at, 'must have a value: most files take none for 0', target);
  }
}

/** A frozen group would stop init before it can say that it is there. */
const PROCESSES = ['cgroup.procs', 'cgroup.threads', 'cgroup.kill', 'cgroup.freeze'];
/** What an empty value empties. */
const LISTS = /^cpuset\./;
