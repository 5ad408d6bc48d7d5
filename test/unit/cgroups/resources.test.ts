/** linux.resources → files of a cgroup2 group: every field, the edges, the order. */

import { describe, expect, test } from 'vitest';
import { RuncellError } from '../../../src/error.ts';
import {
  ANY_GROUP,
  cpuWeight,
  type GroupFiles,
  hugePageName,
  ioWeight,
  limitWrites,
  neededControllers,
  pidsMax,
  swapMax,
  zeroPidsIsLimit,
} from '../../../src/libcontainer/cgroups/resources.ts';

const options = { at: 'linux.resources', zeroPids: true };

const group = (content: Record<string, string>, missing: string[] = []): GroupFiles => ({
  has: (file) => !missing.includes(file),
  read: (file) => content[file] ?? '',
});

/** `file value` of each write. */
const lines = (resources: object, files: GroupFiles = ANY_GROUP): string[] =>
  limitWrites(resources, files, options).map(({ file, value }) => `${file} ${value}`);

const DEVICE = { major: 8, minor: 16 };

describe('a field and its file', () => {
  test.each<[string, object, string[]]>([
    ['memory.limit', { memory: { limit: 1048576 } }, ['memory.max 1048576']],
    ['memory.limit', { memory: { limit: -1 } }, ['memory.swap.max max', 'memory.max max']],
    [
      'memory.limit',
      { memory: { limit: 9223372036854771712n } },
      ['memory.max 9223372036854771712'],
    ],
    ['memory.reservation', { memory: { reservation: 4096 } }, ['memory.low 4096']],
    ['memory.reservation', { memory: { reservation: -1 } }, ['memory.low max']],
    [
      'memory.swap',
      { memory: { limit: 1000, swap: 1500 } },
      ['memory.swap.max 500', 'memory.max 1000'],
    ],
    [
      'memory.swap',
      { memory: { limit: 1000, swap: 1000 } },
      ['memory.swap.max 0', 'memory.max 1000'],
    ],
    [
      'memory.swap',
      { memory: { limit: 1000, swap: -1 } },
      ['memory.swap.max max', 'memory.max 1000'],
    ],
    [
      'memory.swap',
      { memory: { limit: 2n ** 62n, swap: 2n ** 62n + 1n } },
      ['memory.swap.max 1', `memory.max ${2n ** 62n}`],
    ],
    ['cpu.shares', { cpu: { shares: 1024 } }, ['cpu.weight 100']],
    ['cpu.quota', { cpu: { quota: 50000 } }, ['cpu.max 50000 100000']],
    ['cpu.quota', { cpu: { quota: -1 } }, ['cpu.max max 100000']],
    ['cpu.period', { cpu: { period: 20000 } }, ['cpu.max max 20000']],
    ['cpu.quota', { cpu: { quota: 2n ** 60n, period: 5000 } }, [`cpu.max ${2n ** 60n} 5000`]],
    [
      'cpu.burst',
      { cpu: { quota: 5000, burst: 4000 } },
      ['cpu.max.burst 4000', 'cpu.max 5000 100000', 'cpu.max.burst 4000'],
    ],
    ['cpu.burst', { cpu: { burst: 4000 } }, ['cpu.max.burst 4000']],
    ['cpu.idle', { cpu: { idle: 1 } }, ['cpu.idle 1']],
    ['cpu.cpus', { cpu: { cpus: '0-3' } }, ['cpuset.cpus 0-3']],
    ['cpu.mems', { cpu: { mems: '0' } }, ['cpuset.mems 0']],
    ['pids.limit', { pids: { limit: 10 } }, ['pids.max 10']],
    ['pids.limit', { pids: { limit: 0 } }, ['pids.max 1']],
    ['pids.limit', { pids: { limit: -1 } }, ['pids.max max']],
    ['blockIO.weight', { blockIO: { weight: 500 } }, ['io.bfq.weight 500']],
    [
      'blockIO.weightDevice',
      { blockIO: { weightDevice: [{ ...DEVICE, weight: 20 }] } },
      ['io.bfq.weight 8:16 20'],
    ],
    [
      'blockIO.throttleReadBpsDevice',
      { blockIO: { throttleReadBpsDevice: [{ ...DEVICE, rate: 2n ** 63n }] } },
      [`io.max 8:16 rbps=${2n ** 63n}`],
    ],
    [
      'blockIO.throttleWriteBpsDevice',
      { blockIO: { throttleWriteBpsDevice: [{ ...DEVICE, rate: 1 }] } },
      ['io.max 8:16 wbps=1'],
    ],
    [
      'blockIO.throttleReadIOPSDevice',
      { blockIO: { throttleReadIOPSDevice: [{ ...DEVICE, rate: 7 }] } },
      ['io.max 8:16 riops=7'],
    ],
    [
      'blockIO.throttleWriteIOPSDevice',
      { blockIO: { throttleWriteIOPSDevice: [{ ...DEVICE, rate: 0 }] } },
      ['io.max 8:16 wiops=max'],
    ],
    [
      'hugepageLimits',
      { hugepageLimits: [{ pageSize: '2MB', limit: 18446744073709551615n }] },
      ['hugetlb.2MB.max 18446744073709551615', 'hugetlb.2MB.rsvd.max 18446744073709551615'],
    ],
    [
      'rdma',
      { rdma: { mlx5_0: { hcaHandles: 2, hcaObjects: 0 }, none: {} } },
      ['rdma.max mlx5_0 hca_handle=2 hca_object=0'],
    ],
    [
      'unified',
      {
        unified: { 'memory.high': '1M', 'io.max': '8:0 rbps=1\n8:16 rbps=2\n', 'cpuset.cpus': '' },
      },
      ['memory.high 1M', 'io.max 8:0 rbps=1', 'io.max 8:16 rbps=2', 'cpuset.cpus \n'],
    ],
  ])('%s of %o', (field, resources, expected) => {
    expect(lines(resources)).toEqual(expected);
    const paths = limitWrites(resources, ANY_GROUP, options).map(({ specPath }) => specPath);
    expect(paths.some((path) => path.startsWith(`linux.resources.${field}`))).toBe(true);
  });

  test('zeros and nothing write nothing', () => {
    const none = {
      memory: { limit: 0, reservation: 0, swap: 0, checkBeforeUpdate: true },
      cpu: { shares: 0, quota: 0, period: 0, cpus: '', mems: '' },
      blockIO: { weight: 0, weightDevice: [{ ...DEVICE }], throttleReadBpsDevice: [] },
      hugepageLimits: [],
      rdma: {},
      unified: {},
      devices: [{ allow: false }],
    };
    expect(lines(none)).toEqual([]);
    expect(lines({})).toEqual([]);
  });

  test('an error names the place in the document of update', () => {
    const bare = { at: '', zeroPids: true };
    const [write] = limitWrites({ pids: { limit: 3 } }, ANY_GROUP, bare);
    expect(write?.specPath).toBe('pids.limit');
  });
});

describe('order', () => {
  test('pids and memory first, unified last', () => {
    const resources = {
      unified: { 'memory.max': '5' },
      cpu: { shares: 2, cpus: '0' },
      memory: { limit: 4 },
      pids: { limit: 3 },
    };
    expect(lines(resources)).toEqual([
      'pids.max 3',
      'memory.max 4',
      'cpu.weight 1',
      'cpuset.cpus 0',
      'memory.max 5',
    ]);
  });

  test('a group has its weight before it is idle, and after it was', () => {
    expect(lines({ cpu: { idle: 1, shares: 2 } })).toEqual(['cpu.weight 1', 'cpu.idle 1']);
    expect(lines({ cpu: { idle: 0, shares: 2 } })).toEqual(['cpu.idle 0', 'cpu.weight 1']);
  });

  test('the first write of a burst may be refused, the second not', () => {
    const writes = limitWrites({ cpu: { quota: 5000, burst: 1 } }, ANY_GROUP, options);
    expect(writes.map(({ tolerated = [] }) => tolerated.length)).toEqual([1, 0, 0]);
  });
});

describe('what is in force', () => {
  test('a quota keeps the period, a period the quota', () => {
    const now = group({ 'cpu.max': '30000 60000\n' });
    expect(lines({ cpu: { quota: 10000 } }, now)).toEqual(['cpu.max 10000 60000']);
    expect(lines({ cpu: { period: 50000 } }, now)).toEqual(['cpu.max 30000 50000']);
  });

  test('swap alone is counted from the memory limit', () => {
    const now = group({ 'memory.max': '1000\n' });
    expect(lines({ memory: { swap: 1500 } }, now)).toEqual(['memory.swap.max 500']);
    const unlimited = group({ 'memory.max': 'max\n' });
    expect(() => lines({ memory: { swap: 1500 } }, unlimited)).toThrow(/needs memory.limit/);
    expect(() => lines({ memory: { swap: 999 } }, now)).toThrow(/below the memory limit 1000/);
  });

  test('without BFQ weights are of io.weight', () => {
    const files = group({}, ['io.bfq.weight']);
    const blockIO = { weight: 10, weightDevice: [{ ...DEVICE, weight: 1000 }] };
    expect(lines({ blockIO }, files)).toEqual(['io.weight 1', 'io.weight 8:16 10000']);
  });

  test('reservations of huge pages only where the kernel has them', () => {
    const files = group({}, ['hugetlb.1GB.rsvd.max']);
    const hugepageLimits = [{ pageSize: '1GB', limit: 0 }];
    expect(lines({ hugepageLimits }, files)).toEqual(['hugetlb.1GB.max 0']);
  });
});

describe('conversions', () => {
  test.each([
    [0, '1'],
    [1, '1'],
    [2, '1'],
    [3, '2'],
    [512, '59'],
    [1024, '100'],
    [2048, '174'],
    [262143, '10000'],
    [262144, '10000'],
    [2n ** 64n - 1n, '10000'],
  ])('cpu.weight of shares %s is %s', (shares, weight) => {
    expect(cpuWeight(shares)).toBe(weight);
  });

  test('cpu.weight never falls', () => {
    let last = 0;
    for (let shares = 2; shares <= 262144; shares += 97) {
      const weight = Number(cpuWeight(shares));
      expect(weight).toBeGreaterThanOrEqual(last);
      last = weight;
    }
  });

  test.each([
    [10, 1],
    [100, 910],
    [500, 4950],
    [1000, 10000],
  ])('io.weight of %s is %s', (weight, expected) => {
    expect(ioWeight(weight)).toBe(expected);
  });

  test.each([
    ['64KB', '64KB'],
    ['2MB', '2MB'],
    ['2048KB', '2MB'],
    ['1024MB', '1GB'],
    ['1GB', '1GB'],
    ['2048GB', '2048GB'],
    ['1536KB', '1536KB'],
  ])('pages of %s are %s', (size, name) => {
    expect(hugePageName(size)).toBe(name);
  });

  test.each([
    [-1, 'max'],
    [0, '1'],
    [1, '1'],
    [2n ** 62n, String(2n ** 62n)],
  ])('pids.max of %s is %s', (limit, expected) => {
    expect(pidsMax(limit)).toBe(expected);
  });

  test('a swap limit needs one for memory, and room above it', () => {
    const swap = (memory: object): unknown => swapMax(memory, () => 'max');
    expect(() => swap({ swap: 5 })).toThrow(RuncellError);
    expect(() => swap({ limit: -1, swap: 5 })).toThrow(/needs memory.limit/);
    expect(() => swap({ limit: 6, swap: 5 })).toThrow(/below the memory limit 6/);
    expect(swap({})).toBeUndefined();
    expect(swap({ limit: 5 })).toBeUndefined();
    const unlimited = group({ 'memory.max': 'max\n' });
    expect(() => lines({ memory: { swap: 5 } }, unlimited)).toThrow(
      /^linux\.resources\.memory\.swap 5: is a limit/,
    );
  });
});

describe('pids.limit 0', () => {
  test.each([
    ['1.3.0', true],
    ['1.3.0-rc.1', true],
    ['1.10.0', true],
    ['1.2.1', false],
    ['1.0.2-dev', false],
  ])('in a document of version %s is a limit: %s', (version, expected) => {
    expect(zeroPidsIsLimit(version)).toBe(expected);
  });

  test('is none where the engine means none', () => {
    const older = { at: '', zeroPids: false };
    expect(limitWrites({ pids: { limit: 0 } }, ANY_GROUP, older)).toEqual([]);
    expect(limitWrites({ pids: { limit: 1 } }, ANY_GROUP, older)).toHaveLength(1);
  });
});

describe('controllers that are needed', () => {
  const needed = (resources: object) => [...neededControllers(resources, options)];

  test('one for each kind of limit, with its first field', () => {
    const resources = {
      memory: { limit: 1, reservation: 1 },
      cpu: { shares: 2, mems: '0' },
      pids: { limit: 1 },
      blockIO: { weight: 10 },
      hugepageLimits: [{ pageSize: '2MB', limit: 0 }],
      rdma: { mlx: { hcaHandles: 1 } },
      unified: { 'misc.max': 'a 1', 'cgroup.max.depth': '2', 'cpu.pressure': 'some 1 2' },
    };
    expect(needed(resources)).toEqual([
      ['pids', 'linux.resources.pids.limit'],
      ['memory', 'linux.resources.memory.limit'],
      ['io', 'linux.resources.blockIO.weight'],
      ['cpu', 'linux.resources.cpu.shares'],
      ['cpuset', 'linux.resources.cpu.mems'],
      ['hugetlb', 'linux.resources.hugepageLimits[0].limit'],
      ['rdma', 'linux.resources.rdma.mlx'],
      ['misc', 'linux.resources.unified["misc.max"]'],
    ]);
  });

  test('none for what only takes a limit away', () => {
    const resources = {
      memory: { limit: -1, swap: -1, reservation: -1 },
      cpu: { quota: -1, burst: 0, idle: 0 },
      pids: { limit: -1 },
      blockIO: { throttleReadBpsDevice: [{ ...DEVICE, rate: 0 }] },
    };
    expect(needed(resources)).toEqual([]);
  });
});
