/**
 * Limits on any host: values that are refused, controllers that cgroup2 does not have, and huge pages,
 * whose controller is in cgroup2 on a hybrid host too. Every field with every controller is in
 * test/vm. runtime-spec 1.3 config-linux.md#configLinuxControlGroups, runtime-cli.md §6.
 */

import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { cgroup2Root, cgroupsNamed } from '../helpers/proc.ts';
import type { Spec } from '../helpers/spec.ts';

const own = { cgroup2: true, notRunc: 'runc limits on cgroup v1 here' } as const;
const hugetlb = { ...own, controller: 'hugetlb' } as const;

const limited =
  (resources: Record<string, unknown>, path?: string) =>
  (spec: Spec): void => {
    spec.linux.resources = { ...spec.linux.resources, ...resources };
    if (path !== undefined) spec.linux.cgroupsPath = path;
  };

const inUnified = (controller: string): boolean =>
  readFileSync(`${cgroup2Root()}/cgroup.controllers`, 'latin1').split(/\s/).includes(controller);

const content = (file: string): string => readFileSync(file, 'latin1').trim();

const NEEDS: readonly [string, string, Record<string, unknown>][] = [
  ['memory', 'memory.limit', { memory: { limit: 64 << 20 } }],
  ['memory', 'memory.reservation', { memory: { reservation: 64 << 20 } }],
  ['cpu', 'cpu.quota', { cpu: { quota: 50_000, period: 100_000 } }],
  ['cpu', 'cpu.shares', { cpu: { shares: 512 } }],
  ['cpuset', 'cpu.cpus', { cpu: { cpus: '0' } }],
  ['pids', 'pids.limit', { pids: { limit: 10 } }],
  [
    'io',
    'blockIO.throttleReadBpsDevice[0].rate',
    { blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 9 }] } },
  ],
  ['rdma', 'rdma.mlx', { rdma: { mlx: { hcaHandles: 1 } } }],
  ['memory', 'unified["memory.high"]', { unified: { 'memory.high': '100M' } }],
  ['nosuch', 'unified["nosuch.max"]', { unified: { 'nosuch.max': '1' } }],
];

describe('a limit whose controller cgroup2 does not have', () => {
  for (const [controller, field, resources] of NEEDS) {
    check(`${field} names ${controller}`, own, async (box) => {
      if (inUnified(controller)) return; // Carried out there: test/vm.
      const line = refusal(await box.run(box.bundle(['true'], limited(resources))));
      expect(line).toContain(`linux.resources.${field}: controller "${controller}" is not in the`);
      expect(cgroupsNamed(box.tag)).toEqual([]);
    });
  }

  check('lifting limits that nothing sets is fine', own, async (box) => {
    const unlimited = {
      memory: { limit: -1, swap: -1, reservation: -1 },
      cpu: { quota: -1 },
      pids: { limit: -1 },
    };
    expect(await box.sh('echo runs', limited(unlimited))).toBe('runs');
  });
});

const BAD: readonly [string, RegExp, Record<string, unknown>][] = [
  ['a negative limit', /memory\.limit -5: must be -1/, { memory: { limit: -5 } }],
  ['an overflow', /memory\.limit/, { memory: { limit: 2 ** 64 } }],
  ['a fraction', /pids\.limit/, { pids: { limit: 1.5 } }],
  ['an unknown controller', /controller "nosuch"/, { unified: { 'nosuch.max': '1' } }],
  ['a path that leads out', /file name \(no slashes\)/, { unified: { '../cgroup.procs': '0' } }],
  ['a list that is none', /cpu\.cpus/, { cpu: { cpus: '0;1' } }],
  [
    'a page size the kernel lacks',
    /huge pages of that size/,
    { hugepageLimits: [{ pageSize: '3MB', limit: 1 }] },
  ],
  ['a value the kernel refuses', /EINVAL/, { unified: { 'hugetlb.2MB.max': 'many' } }],
  ['a file that is not there', /no such file/, { unified: { 'hugetlb.nosuch': '1' } }],
];

describe('refused, and the tree of groups is as it was', () => {
  for (const [what, expected, resources] of BAD) {
    check(`${what}`, hugetlb, async (box) => {
      const path = `/${box.tag}-a/b/c`;
      const line = refusal(await box.run(box.bundle(['true'], limited(resources, path))));
      expect(line).toMatch(expected);
      expect(cgroupsNamed(box.tag)).toEqual([]);
    });
  }

  check('a cgroupsPath that leads out with ..', own, async (box) => {
    const bundle = box.bundle(['true'], limited({}, `/${box.tag}/../../x`));
    expect(refusal(await box.run(bundle))).toMatch(/cgroupsPath .*\.\./);
    expect(cgroupsNamed(box.tag)).toEqual([]);
  });

  check('a group that was there keeps what was in force in it', hugetlb, async (box) => {
    const name = `${box.tag}-there`;
    const dir = `${cgroup2Root()}/${name}`;
    // The first container of a host turns the controller on.
    await box.printed(box.bundle(['true'], limited(PAGES)));
    mkdirSync(dir);
    writeFileSync(`${dir}/hugetlb.2MB.max`, '4194304');
    const { ino } = statSync(dir);
    const resources = { ...PAGES, unified: { 'hugetlb.nosuch': '1' } };
    refusal(await box.run(box.bundle(['true'], limited(resources, `/${name}`))));
    expect(statSync(dir).ino).toBe(ino);
    expect(content(`${dir}/hugetlb.2MB.max`)).toBe('4194304');
    const later = box.bundle(['nosuchprogram'], limited(PAGES, `/${name}`));
    refusal(await box.run(later));
    expect(content(`${dir}/hugetlb.2MB.max`)).toBe('4194304');
    expect(content(`${dir}/hugetlb.2MB.rsvd.max`)).toBe('max');
    rmdirSync(dir);
  });
});

const PAGES = { hugepageLimits: [{ pageSize: '2MB', limit: 2 << 20 }] };

describe('huge pages', () => {
  check('limit what is used and what is reserved', hugetlb, async (box) => {
    const bundle = box.bundle(['sleep', '100'], limited(PAGES, `/${box.tag}-pages`));
    await box.create(bundle);
    const dir = `${cgroup2Root()}/${box.tag}-pages`;
    expect(content(`${dir}/hugetlb.2MB.max`)).toBe('2097152');
    if (existsSync(`${dir}/hugetlb.2MB.rsvd.max`)) {
      expect(content(`${dir}/hugetlb.2MB.rsvd.max`)).toBe('2097152');
    }
  });

  check('by unified, with the controller turned on along the path', hugetlb, async (box) => {
    const resources = { unified: { 'hugetlb.2MB.max': '4M' } };
    await box.create(box.bundle(['sleep', '100'], limited(resources, `/${box.tag}-u/v/w`)));
    const dir = `${cgroup2Root()}/${box.tag}-u/v/w`;
    expect(content(`${dir}/hugetlb.2MB.max`)).toBe('4194304');
    expect(content(`${cgroup2Root()}/${box.tag}-u/cgroup.subtree_control`)).toContain('hugetlb');
  });

  check('are on where nothing is limited, for statistics', hugetlb, async (box) => {
    await box.create(box.bundle(['sleep', '100'], limited({}, `/${box.tag}-s/t`)));
    expect(existsSync(`${cgroup2Root()}/${box.tag}-s/t/hugetlb.2MB.current`)).toBe(true);
  });

  check('a group with processes is in the way of a limit below it', hugetlb, async (box) => {
    const busy = box.bundle(['sleep', '100'], limited({}, `/${box.tag}-busy`));
    const outer = await box.create(busy);
    const inner = box.bundle(['true'], limited(PAGES, `/${box.tag}-busy/inner`));
    const line = refusal(await box.run(inner));
    expect(line).toMatch(/turn on the hugetlb controller in .*-busy: the cgroup holds 1 process/);
    expect(existsSync(`${cgroup2Root()}/${box.tag}-busy/inner`)).toBe(false);
    expect(await box.status(outer.id)).toBe('created');
  });
});
