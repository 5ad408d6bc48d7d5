/** Which filter a container gets and who attaches it; what the kernel makes of it is an integration test. */

import type { Linux, Mount } from '@opencontainers-ts/spec';
import { beforeEach, describe, expect, test } from 'vitest';
import { compileDeviceFilter } from '../../../src/libcontainer/cgroups/device-filter.ts';
import {
  deviceFilterFor,
  type FilterRequest,
} from '../../../src/libcontainer/container/device-filter.ts';
import { inInitialUserNamespace } from '../../../src/libcontainer/host/probe.ts';
import { facts } from '../../golden/plan.ts';

let warnings: string[] = [];
beforeEach(() => {
  warnings = [];
});

const GROUP = '/sys/fs/cgroup/runcell/c1';

function plan(linux: Linux, mounts: Mount[] = [], privileges = facts()) {
  const log = { warn: (text: string) => warnings.push(text) } as unknown as FilterRequest['log'];
  const config = { linux, mounts };
  const state = { cgroup_path: GROUP, cgroup_made: [GROUP] };
  return deviceFilterFor({ state, config, facts: privileges, log });
}

const DENY_ALL = { allow: false, access: 'rwm' };
const FUSE = { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' };

// In a user namespace, where CI may run, there is no filter for anybody.
describe.runIf(inInitialUserNamespace())('the filter', () => {
  test('of rules that allow nothing is at hand, for the stage', async () => {
    const early = Buffer.from(compileDeviceFilter({}));
    expect(await plan({})).toEqual({ early });
    expect(await plan({ resources: { devices: [DENY_ALL] } })).toEqual({ early });
  });

  test('of other rules, or beside devices of its own, is compiled', async () => {
    const linux: Linux = { resources: { devices: [DENY_ALL, FUSE] } };
    expect(await plan(linux)).toEqual({ early: compileDeviceFilter(linux) });
    const own: Linux = { devices: [{ path: '/dev/null', type: 'c', major: 1, minor: 3 }] };
    expect(await plan(own)).toEqual({ early: compileDeviceFilter(own) });
    expect(warnings).toEqual([]);
  });

  test('waits for the mounts where one may be of a block device', async () => {
    const source = '/dev/vda';
    const late = { late: expect.any(Function) };
    expect(await plan({}, [{ destination: '/a', type: 'ext4', source }])).toEqual(late);
    for (const mount of [
      { destination: '/a', type: 'bind', source },
      { destination: '/a', type: 'none', source, options: ['rbind', 'ro'] },
      { destination: '/a', type: 'tmpfs', source: 'tmpfs' },
    ]) {
      expect(await plan({}, [mount])).toEqual({ early: expect.any(Uint8Array) });
    }
  });

  test('of a rule for all types is for all numbers and letters, with a warning', async () => {
    const partial = { allow: false, type: 'a', major: 1, access: 'rwm' };
    await plan({ resources: { devices: [DENY_ALL, partial] } });
    expect(warnings).toEqual([
      expect.stringMatching(/^linux\.resources\.devices\[1\]: a rule for all/),
    ]);
    await plan({ resources: { devices: [{ allow: true, access: 'r' }] } });
    expect(warnings[1]).toMatch(/devices\[0\]/);
  });

  test('is none without a group to attach it to, with a warning', async () => {
    const log = { warn: (text: string) => warnings.push(text) } as unknown as FilterRequest['log'];
    const state = { cgroup_path: '', cgroup_made: [] };
    const alone = facts({ cgroupDir: undefined });
    expect(await deviceFilterFor({ state, config: { linux: {} }, facts: alone, log })).toEqual({});
    expect(warnings).toEqual([expect.stringMatching(/not enforced, the container has no cgroup/)]);
  });

  test('is there for a user that may load one, and for no other', async () => {
    const bpf = (1n << 39n) | (1n << 12n);
    const caller = (permittedCapabilities: bigint) => facts({ euid: 1000, permittedCapabilities });
    expect(await plan({}, [], caller(bpf))).toEqual({ early: expect.any(Uint8Array) });
    expect(warnings).toEqual([]);
    for (const too of [0n, 1n << 39n]) expect(await plan({}, [], caller(too))).toEqual({});
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/^linux\.resources\.devices: not enforced/);
  });
});
