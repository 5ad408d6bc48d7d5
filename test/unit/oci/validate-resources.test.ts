/** Values of linux.resources: what is refused before anything is made, and what is only said. */

import { describe, expect, test } from 'vitest';
import { noFindings } from '../../../src/oci/validate/findings.ts';
import { checkResources, findingsOfResources } from '../../../src/oci/validate/resources.ts';
import { errorOf, type Loose } from './helpers.ts';

function found(resources: Loose, at = 'linux.resources') {
  const findings = noFindings();
  checkResources(resources, at, findings);
  return findings;
}

const problems = (resources: Loose, at?: string): string[] =>
  found(resources, at).problems.map(({ code, path, reason }) => `${code} ${path}: ${reason}`);

describe('refused as values', () => {
  test.each<[Loose, string, RegExp]>([
    [{ memory: { limit: -2 } }, 'memory.limit', /-1, for no limit/],
    [{ memory: { reservation: -(2n ** 62n) } }, 'memory.reservation', /-1, for no limit/],
    [{ memory: { swap: -3 } }, 'memory.swap', /-1, for no limit/],
    [{ memory: { limit: 10, swap: 9 } }, 'memory.swap', /must not be below memory.limit/],
    [{ pids: { limit: -2 } }, 'pids.limit', /-1, for no limit/],
    [{ cpu: { period: 999 } }, 'cpu.period', /from 1000 to 1000000/],
    [{ cpu: { period: 1_000_001 } }, 'cpu.period', /from 1000 to 1000000/],
    [{ cpu: { quota: 999 } }, 'cpu.quota', /1000 microseconds or more/],
    [{ cpu: { quota: -2 } }, 'cpu.quota', /-1, for no limit/],
    [{ cpu: { quota: 5000, burst: 5001 } }, 'cpu.burst', /must not be above cpu.quota/],
    [{ cpu: { idle: 2 } }, 'cpu.idle', /0 or 1/],
    [{ cpu: { idle: -1 } }, 'cpu.idle', /0 or 1/],
    [{ cpu: { cpus: '0-' } }, 'cpu.cpus', /a list as 0-3,7/],
    [{ cpu: { mems: '../x' } }, 'cpu.mems', /a list as 0-3,7/],
    [{ blockIO: { weight: 9 } }, 'blockIO.weight', /from 10 to 1000/],
    [{ blockIO: { weight: 1001 } }, 'blockIO.weight', /from 10 to 1000/],
    [
      { blockIO: { weightDevice: [{ major: 8, minor: 0, weight: 5 }] } },
      'blockIO.weightDevice[0].weight',
      /from 10 to 1000/,
    ],
    [
      { blockIO: { throttleReadBpsDevice: [{ major: 8, minor: -1, rate: 1 }] } },
      'blockIO.throttleReadBpsDevice[0].minor',
      /must not be negative/,
    ],
    [
      {
        hugepageLimits: [
          { pageSize: '2MB', limit: 1 },
          { pageSize: '2MB', limit: 2 },
        ],
      },
      'hugepageLimits[1].pageSize',
      /there twice/,
    ],
    [{ rdma: { '../x': { hcaHandles: 1 } } }, 'rdma', /no name of a device/],
    [{ rdma: { 'a b': {} } }, 'rdma', /no name of a device/],
    [{ unified: { '../memory.max': '1' } }, 'unified', /must be a file name \(no slashes\)/],
    [{ unified: { 'a/b.c': '1' } }, 'unified', /must be a file name \(no slashes\)/],
    [{ unified: { memory: '1' } }, 'unified', /CONTROLLER.PARAMETER/],
    [{ unified: { '..': '1' } }, 'unified', /CONTROLLER.PARAMETER/],
    [{ unified: { '': '1' } }, 'unified', /CONTROLLER.PARAMETER/],
    [{ unified: { 'cgroup.procs': '1' } }, 'unified', /moves, stops or ends processes/],
    [{ unified: { 'cgroup.kill': '1' } }, 'unified', /moves, stops or ends processes/],
    [{ unified: { 'cgroup.freeze': '1' } }, 'unified', /moves, stops or ends processes/],
    [{ unified: { 'memory.max': ' \n' } }, 'unified', /must have a value/],
  ])('%o', (resources, field, reason) => {
    const [first, ...more] = problems(resources);
    expect(first).toMatch(/^config\.value linux\.resources\./);
    expect(first).toContain(` linux.resources.${field}: `);
    expect(first).toMatch(reason);
    expect(more).toEqual([]);
  });
});

describe('limits that cgroup v2 has nothing for', () => {
  test.each<[Loose, string]>([
    [{ memory: { swappiness: 10 } }, 'memory.swappiness'],
    [{ memory: { disableOOMKiller: true } }, 'memory.disableOOMKiller'],
    [{ cpu: { realtimeRuntime: 950_000 } }, 'cpu.realtimeRuntime'],
    [{ cpu: { realtimePeriod: 1_000_000 } }, 'cpu.realtimePeriod'],
    [{ blockIO: { leafWeight: 10 } }, 'blockIO.leafWeight'],
    [
      { blockIO: { weightDevice: [{ major: 8, minor: 0, leafWeight: 10 }] } },
      'blockIO.weightDevice[0].leafWeight',
    ],
    [{ network: { classID: 1 } }, 'network.classID'],
    [{ network: { priorities: [{ name: 'lo', priority: 1 }] } }, 'network.priorities'],
  ])('%o is refused by name', (resources, field) => {
    expect(problems(resources)).toEqual([
      `config.unsupported linux.resources.${field}: is a limit of cgroup v1, which cgroup v2 does not have`,
    ]);
  });

  test('kernel memory is ignored with a warning, as in runc', () => {
    const { warnings, problems: none } = found({ memory: { kernel: 1, kernelTCP: -1 } });
    expect(none).toEqual([]);
    expect(warnings).toEqual([
      'linux.resources.memory.kernel: no kernel has this limit any more, it is ignored',
      'linux.resources.memory.kernelTCP: no kernel has this limit any more, it is ignored',
    ]);
  });

  test('useHierarchy false is noted: v2 is always so', () => {
    expect(found({ memory: { useHierarchy: false } }).debug).toEqual([
      'linux.resources.memory.useHierarchy: cgroup v2 always counts the groups below',
    ]);
    expect(found({ memory: { useHierarchy: true } }).debug).toEqual([]);
  });
});

describe('accepted', () => {
  test('every field with a value at its edge', () => {
    const resources = {
      memory: { limit: 9223372036854775807n, reservation: -1, swap: -1, checkBeforeUpdate: true },
      cpu: { shares: 262144, quota: 1000, period: 1_000_000, burst: 1000, idle: 1, cpus: '0-1,3' },
      pids: { limit: -1 },
      blockIO: {
        weight: 10,
        weightDevice: [{ major: 8, minor: 0, weight: 1000 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 0 }],
      },
      hugepageLimits: [{ pageSize: '2MB', limit: 18446744073709551615n }],
      rdma: { mlx5_0: { hcaHandles: 1 } },
      unified: {
        'cpuset.cpus': '',
        'memory.high': 'max',
        'hugetlb.2MB.max': '0',
        'io.bfq.weight': '10',
      },
    };
    expect(found(resources)).toEqual({ problems: [], warnings: [], debug: [] });
  });

  test('zeros are no values', () => {
    const zeros = {
      memory: { limit: 0, swap: 0, reservation: 0, swappiness: 0, disableOOMKiller: false },
      cpu: { shares: 0, quota: 0, period: 0, burst: 0, cpus: '', mems: '', realtimeRuntime: 0 },
      blockIO: { weight: 0, leafWeight: 0 },
      network: { classID: 0, priorities: [] },
    };
    expect(problems(zeros)).toEqual([]);
  });
});

describe('findingsOfResources', () => {
  test('throws one error that counts the others', () => {
    const bad = { memory: { limit: -2 }, pids: { limit: -7 } };
    const error = errorOf(() => findingsOfResources(bad, ''));
    expect(error.message).toBe(
      'memory.limit -2: must be -1, for no limit, or more (and 1 more problem)',
    );
  });

  test('gives what is only to be said', () => {
    expect(findingsOfResources({ memory: { kernel: 5 } }, '').warnings).toHaveLength(1);
  });
});
