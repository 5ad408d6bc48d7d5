/**
 * A group's files as runc's statistics: keys, their order, units, exact numbers, and what is left
 * out. The files are as Linux 6.12 writes them (Documentation/admin-guide/cgroup-v2.rst).
 */

import { describe, expect, test } from 'vitest';
import { type GroupFiles, statsOf, usageOf } from '../../../src/libcontainer/cgroups/stats.ts';
import { stringifyJson } from '../../../src/oci/json.ts';

const PRESSURE = `some avg10=1.25 avg60=0.30 avg300=0.00 total=123456
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
`;

/** All controllers on, limits set. */
const FULL: Record<string, string> = {
  'cgroup.events': 'populated 1\nfrozen 0\n',
  'cpu.stat': `usage_usec 4100200
user_usec 3000100
system_usec 1100100
nice_usec 0
core_sched.force_idle_usec 0
nr_periods 40
nr_throttled 3
throttled_usec 250
nr_bursts 0
burst_usec 0
`,
  'cpu.pressure': PRESSURE,
  'memory.current': '5242880\n',
  'memory.max': '67108864\n',
  'memory.peak': '9437184\n',
  'memory.swap.current': '4096\n',
  'memory.swap.max': '1048576\n',
  'memory.swap.peak': '8192\n',
  'memory.stat': `anon 1048576
file 2097152
kernel 409600
inactive_anon 0
pgfault 1234
`,
  'memory.pressure': PRESSURE,
  'pids.current': '7\n',
  'pids.max': '100\n',
  'io.stat': `8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0
252:16 rbytes=0 wbytes=512 rios=0 wios=1 dbytes=0 dios=0
`,
  'io.pressure': PRESSURE,
  'hugetlb.2MB.current': '2097152\n',
  'hugetlb.2MB.rsvd.current': '4194304\n',
  'hugetlb.2MB.events': 'max 5\n',
  'hugetlb.1GB.current': '0\n',
  'hugetlb.1GB.events': 'max 0\n',
  'rdma.current': 'mlx4_0 hca_handle=2 hca_object=2000\n',
};

function files(content: Record<string, string>, threads = 0): GroupFiles {
  return {
    names: Object.keys(content),
    read: (name) => content[name],
    countThreads: () => threads,
  };
}

const json = (content: Record<string, string>, threads = 0) =>
  stringifyJson(statsOf(files(content, threads)));

const NO_CPUSET =
  '"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,' +
  '"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,' +
  '"sched_relax_domain_level":0}';
const PSI = '"psi":{"some":{"avg10":1.25,"avg60":0.3,"avg300":0,"total":123456}}';

describe('statsOf', () => {
  test('is runc’s document, key by key in its order', () => {
    expect(json(FULL)).toBe(
      '{"cpu":{"usage":{"total":4100200000,"kernel":1100100000,"user":3000100000},' +
        `"throttling":{"periods":40,"throttledPeriods":3,"throttledTime":250000},${PSI}},` +
        `${NO_CPUSET},` +
        '"memory":{"cache":2097152,' +
        '"usage":{"limit":67108864,"usage":5242880,"max":9437184,"failcnt":0},' +
        '"swap":{"limit":68157440,"usage":5246976,"failcnt":0},' +
        '"raw":{"anon":1048576,"file":2097152,"inactive_anon":0,"kernel":409600,"pgfault":1234},' +
        `${PSI}},` +
        '"pids":{"current":7,"limit":100},' +
        '"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":4096},' +
        '{"major":8,"op":"Write","value":8192},{"major":252,"minor":16,"op":"Read"},' +
        '{"major":252,"minor":16,"op":"Write","value":512}],' +
        '"ioServicedRecursive":[{"major":8,"op":"Read","value":1},' +
        '{"major":8,"op":"Write","value":2},{"major":252,"minor":16,"op":"Read"},' +
        `{"major":252,"minor":16,"op":"Write","value":1}],${PSI}},` +
        '"hugetlb":{"1GB":{"failcnt":0},"2MB":{"usage":4194304,"failcnt":5}},' +
        '"intel_rdt":{},"network_interfaces":null}',
    );
  });

  test('a group without controllers has the keys that are always there', () => {
    expect(json({}, 3)).toBe(
      `{"cpu":{},${NO_CPUSET},"memory":{},"pids":{"current":3},"blkio":{},"hugetlb":{},` +
        '"intel_rdt":{},"network_interfaces":null}',
    );
  });

  test('numbers of 64 bits are exact, microseconds beyond them too', () => {
    const large = '18446744073709551557';
    const text = json({
      'cpu.stat': `usage_usec ${large}\nuser_usec 9007199254740993\nsystem_usec 0\n`,
      'memory.current': large,
      'memory.max': 'max\n',
      'memory.stat': `file ${large}\n`,
    });
    expect(text).toContain(`"total":${large}000,"kernel":0,"user":9007199254740993000`);
    expect(text).toContain(`"cache":${large}`);
    expect(text).toContain(`"usage":{"limit":18446744073709551615,"usage":${large},"failcnt":0}`);
  });

  test('"max" is 2^64-1, also of memory and swap together', () => {
    const memory = { 'memory.current': '1\n', 'memory.max': 'max\n' };
    const swap = (max: string) =>
      json({ ...memory, 'memory.swap.current': '2\n', 'memory.swap.max': max });
    const unlimited = '"swap":{"limit":18446744073709551615,"usage":3,"failcnt":0}';
    expect(swap('max\n')).toContain(unlimited);
    // Go's sum overflows here.
    expect(swap('4096\n')).toContain(unlimited);
  });

  test('without swap accounting the sum is that of memory', () => {
    const text = json({ 'memory.current': '10\n', 'memory.max': '20\n' });
    expect(text).toContain('"swap":{"limit":20,"usage":10,"failcnt":0}');
  });

  test('without a limit pids has no such key', () => {
    expect(json({ 'pids.current': '1\n', 'pids.max': 'max\n' })).toContain('"pids":{"current":1}');
  });

  test('devices without an end of line are told apart', () => {
    const text = json({ 'io.stat': '8:16 8:0 rbytes=1 wbytes=0 rios=0 wios=0\n7:0 \n' });
    expect(text).toContain(
      '"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write"}]',
    );
  });

  test('pressure of a kernel that has no line "full", or nothing to tell', () => {
    const none = 'some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n';
    expect(json({ 'cpu.pressure': none })).toContain('"cpu":{"psi":{}}');
    const some = 'some avg10=12.34 avg60=0.00 avg300=0.01 total=18446744073709551615\n';
    expect(json({ 'cpu.pressure': some })).toContain(
      '"cpu":{"psi":{"some":{"avg10":12.34,"avg60":0,"avg300":0.01,"total":18446744073709551615}}}',
    );
  });

  test.each(['', '\n', 'garbage', '-1', '1.5', '99999999999999999999999', '0x10', 'some x=y\n'])(
    'every file may hold %j',
    (text) => {
      const broken = Object.fromEntries(Object.keys(FULL).map((name) => [name, text]));
      const value = JSON.parse(json(broken)) as Record<string, unknown>;
      expect(Object.keys(value)).toEqual(Object.keys(statsOf(files({}))));
      expect(value['memory']).not.toHaveProperty('usage');
    },
  );

  test('a key of memory.stat cannot be anything but a key', () => {
    const text = json({ 'memory.stat': '__proto__ 5\nconstructor 6\n' });
    expect(text).toContain('"raw":{"__proto__":5,"constructor":6}');
  });
});

describe('usageOf', () => {
  test('sums the devices', () => {
    expect(usageOf(files(FULL))).toEqual({
      cpu: 4100200000n,
      memory: 5242880n,
      memoryLimit: 67108864n,
      pids: 7n,
      pidsLimit: 100n,
      readBytes: 4096n,
      writtenBytes: 8704n,
    });
  });

  test('what no controller tells is not known, and no limit is none', () => {
    expect(usageOf(files({ 'memory.current': '4096\n', 'memory.max': 'max\n' }, 2))).toEqual({
      cpu: undefined,
      memory: 4096n,
      memoryLimit: undefined,
      pids: 2n,
      pidsLimit: undefined,
      readBytes: undefined,
      writtenBytes: undefined,
    });
  });
});
