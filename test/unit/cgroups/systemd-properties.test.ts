/** `linux.resources` as properties of a unit (runtime-cli.md §6.2). */

import type { LinuxResources } from '@opencontainers-ts/spec';
import { expect, test } from 'vitest';
import {
  cpuBits,
  oomProperties,
  resourceProperties,
  scopeProperties,
  systemdCpu,
} from '../../../src/libcontainer/cgroups/systemd-properties.ts';
import { scopeUnit } from '../../../src/libcontainer/cgroups/systemd-unit.ts';

const INFINITY = 18446744073709551615n;

const files = (content: Readonly<Record<string, string>> = {}) => ({
  has: (file: string) => file in content,
  read: (file: string) => content[file] ?? '',
});

function properties(
  resources: LinuxResources,
  { version = 257, content = {} as Record<string, string>, zeroPids = true } = {},
): Record<string, unknown> {
  const list = resourceProperties(resources, files(content), {
    ...{ at: 'linux.resources', version, zeroPids },
  });
  expect(new Set(list.map(({ name }) => name)).size).toBe(list.length);
  return Object.fromEntries(list.map(({ name, value }) => [name, value]));
}

test('a scope is delegated and accounts for everything', () => {
  const unit = scopeUnit({ cgroupsPath: 'a-b.slice:p:n', id: 'c', user: false });
  expect(scopeProperties(unit, [4711])).toEqual([
    { name: 'Description', signature: 's', value: 'libcontainer container n' },
    { name: 'Slice', signature: 's', value: 'a-b.slice' },
    { name: 'Delegate', signature: 'b', value: true },
    { name: 'PIDs', signature: 'au', value: [4711] },
    { name: 'MemoryAccounting', signature: 'b', value: true },
    { name: 'CPUAccounting', signature: 'b', value: true },
    { name: 'IOAccounting', signature: 'b', value: true },
    { name: 'TasksAccounting', signature: 'b', value: true },
    { name: 'DefaultDependencies', signature: 'b', value: false },
  ]);
});

test.each<[LinuxResources, Record<string, unknown>]>([
  [{}, {}],
  [{ memory: { limit: 0, swap: 0, reservation: 0 }, cpu: { shares: 0, quota: 0, period: 0 } }, {}],
  [{ memory: { limit: 1048576 } }, { MemoryMax: 1048576n }],
  [{ memory: { limit: -1 } }, { MemoryMax: INFINITY, MemorySwapMax: INFINITY }],
  [{ memory: { reservation: 4096 } }, { MemoryLow: 4096n }],
  [{ memory: { limit: 1000, swap: 3000 } }, { MemoryMax: 1000n, MemorySwapMax: 2000n }],
  [{ memory: { limit: 1000, swap: -1 } }, { MemoryMax: 1000n, MemorySwapMax: INFINITY }],
  [{ memory: { limit: 9223372036854771712n } }, { MemoryMax: 9223372036854771712n }],
  [{ cpu: { shares: 1024 } }, { CPUWeight: 100n }],
  [{ cpu: { shares: 2 } }, { CPUWeight: 1n }],
  [{ cpu: { idle: 1 } }, { CPUWeight: 0n }],
  [{ cpu: { idle: 1, shares: 1024 } }, { CPUWeight: 0n }],
  [{ cpu: { idle: 0, shares: 1024 } }, { CPUWeight: 100n }],
  [
    { cpu: { quota: 50000, period: 100000 } },
    { CPUQuotaPeriodUSec: 100000n, CPUQuotaPerSecUSec: 500000n },
  ],
  [{ cpu: { quota: 50000 } }, { CPUQuotaPerSecUSec: 500000n }],
  [
    { cpu: { quota: 1001, period: 100000 } },
    { CPUQuotaPeriodUSec: 100000n, CPUQuotaPerSecUSec: 20000n },
  ],
  [{ cpu: { quota: -1 } }, { CPUQuotaPerSecUSec: INFINITY }],
  [{ cpu: { period: 50000 } }, { CPUQuotaPeriodUSec: 50000n, CPUQuotaPerSecUSec: INFINITY }],
  [{ cpu: { cpus: '0-2,9', mems: '0' } }, { AllowedCPUs: [7, 2], AllowedMemoryNodes: [1] }],
  [{ pids: { limit: 10 } }, { TasksMax: 10n }],
  [{ pids: { limit: 0 } }, { TasksMax: 1n }],
  [{ pids: { limit: -1 } }, { TasksMax: INFINITY }],
  [{ blockIO: { weight: 10 } }, { IOWeight: 1n }],
  [{ blockIO: { weight: 1000 } }, { IOWeight: 10000n }],
  [{ hugepageLimits: [{ pageSize: '2MB', limit: 1 }], rdma: { a: { hcaHandles: 1 } } }, {}],
])('%o', (resources, expected) => {
  expect(properties(resources)).toEqual(expected);
});

test.each<[Record<string, string>, Record<string, unknown>]>([
  [
    { 'memory.max': 'max', 'memory.high': ' 4096\n', 'memory.low': '1', 'memory.min': '2' },
    { MemoryMax: INFINITY, MemoryHigh: 4096n, MemoryLow: 1n, MemoryMin: 2n },
  ],
  [
    { 'memory.swap.max': '5', 'pids.max': '7', 'cpu.weight': '30' },
    { MemorySwapMax: 5n, TasksMax: 7n, CPUWeight: 30n },
  ],
  [{ 'cpu.idle': '1', 'cpu.weight': '30' }, { CPUWeight: 0n }],
  [{ 'cpu.idle': '0', 'cpu.weight': '30' }, { CPUWeight: 30n }],
  [{ 'cpu.max': '50000 200000' }, { CPUQuotaPeriodUSec: 200000n, CPUQuotaPerSecUSec: 250000n }],
  [{ 'cpu.max': 'max' }, { CPUQuotaPeriodUSec: 100000n, CPUQuotaPerSecUSec: INFINITY }],
  [
    { 'cpuset.cpus': '1', 'cpuset.mems': '' },
    { AllowedCPUs: [2], AllowedMemoryNodes: [] },
  ],
  [{ 'memory.oom.group': '1', 'io.max': '8:0 rbps=1', 'hugetlb.2MB.max': '1' }, {}],
])('unified %j', (unified, expected) => {
  expect(properties({ unified })).toEqual(expected);
});

test('unified wins over the field, as it is written last to the files', () => {
  const resources = { memory: { limit: 1000 }, unified: { 'memory.max': '2000' } };
  expect(properties(resources)).toEqual({ MemoryMax: 2000n });
});

test.each([
  [{ 'memory.max': '1G' }, 'unified["memory.max"] 1G: not a number or max'],
  [{ 'pids.max': '-1' }, 'unified["pids.max"] -1: not a number or max'],
  [{ 'cpu.max': '1 2 3' }, 'unified["cpu.max"] 1 2 3: not as 50000 100000 or max'],
  [{ 'cpu.max': '1 0' }, 'unified["cpu.max"]'],
  [{ 'cpuset.cpus': '3-1' }, 'unified["cpuset.cpus"] 3-1: not a list as 0-3,7'],
])('unified %j is refused', (unified, reason) => {
  expect(() => properties({ unified } as LinuxResources)).toThrow(reason);
});

test('what a version does not know is left to the files', () => {
  const cpu = { quota: 1000, period: 50000, cpus: '0', mems: '0', idle: 1, shares: 1024 };
  const unified = { 'memory.zswap.max': '1' };
  const old = properties({ cpu, unified }, { version: 241 });
  expect(Object.keys(old)).toEqual(['CPUWeight', 'CPUQuotaPerSecUSec']);
  expect(old).toMatchObject({ CPUWeight: 100n });
  const new_ = properties({ cpu, unified }, { version: 253 });
  expect(Object.keys(new_)).toEqual([
    'CPUWeight',
    'CPUQuotaPeriodUSec',
    'CPUQuotaPerSecUSec',
    'AllowedCPUs',
    'AllowedMemoryNodes',
    'MemoryZSwapMax',
  ]);
  expect(() => properties({ cpu: { cpus: 'x' } }, { version: 200 })).toThrow('linux.resources.cpu');
});

test('what is not given keeps what is in force', () => {
  const content = { 'cpu.max': '20000 50000\n', 'memory.max': '1000\n' };
  expect(properties({ cpu: { quota: 10000 } }, { content })).toEqual({
    CPUQuotaPeriodUSec: 50000n,
    CPUQuotaPerSecUSec: 200000n,
  });
  expect(properties({ cpu: { period: 100000 } }, { content })).toEqual({
    CPUQuotaPeriodUSec: 100000n,
    CPUQuotaPerSecUSec: 200000n,
  });
  expect(properties({ memory: { swap: 3000 } }, { content })).toEqual({ MemorySwapMax: 2000n });
});

test('a weight for BFQ is a matter of the files', () => {
  const content = { 'io.bfq.weight': 'default 100' };
  expect(properties({ blockIO: { weight: 500 } }, { content })).toEqual({});
});

test('an older document means no limit by 0 tasks', () => {
  expect(properties({ pids: { limit: 0 } }, { zeroPids: false })).toEqual({});
});

test.each<[Record<string, string>, number, unknown[]]>([
  [{ 'memory.oom.group': '0' }, 253, [{ name: 'OOMPolicy', signature: 's', value: 'continue' }]],
  [{ 'memory.oom.group': '1\n' }, 257, [{ name: 'OOMPolicy', signature: 's', value: 'kill' }]],
  [{ 'memory.oom.group': '1' }, 252, []],
  [{ 'memory.oom.group': '2' }, 257, []],
  [{}, 257, []],
])('%j on %i', (unified, version, expected) => {
  expect(oomProperties({ unified }, version)).toEqual(expected);
});

test.each([
  [{ quota: 1001, period: 100000 }, 2000n],
  [{ quota: 50000 }, 50000n],
  [{ quota: 12345, period: 33333 }, 12666n],
])('the files get the quota that systemd makes of %j', (cpu, quota) => {
  expect(systemdCpu({ cpu }, files()).cpu).toEqual({ ...cpu, quota });
});

test('without a quota the document stays as it is', () => {
  for (const resources of [{}, { cpu: { shares: 5 } }, { cpu: { quota: -1, period: 1000 } }]) {
    expect(systemdCpu(resources, files())).toBe(resources);
  }
});

test('a list of CPUs is a bit each, lowest first', () => {
  expect(cpuBits('0', 'x')).toEqual([1]);
  expect(cpuBits(' 0-3 , 7, 16\n', 'x')).toEqual([0x8f, 0, 1]);
  expect(cpuBits('', 'x')).toEqual([]);
  for (const list of ['a', '1-', '-1', '3-2', '1:2', '8192', '0-99999999']) {
    expect(() => cpuBits(list, 'x')).toThrow('not a list as 0-3,7');
  }
});
