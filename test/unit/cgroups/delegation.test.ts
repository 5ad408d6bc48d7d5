/** Whose a container's group is (runtime-spec 1.3 config-linux.md#cgroup-ownership). */

import type { Config } from '@opencontainers-ts/spec';
import { expect, test } from 'vitest';
import { groupOwner } from '../../../src/libcontainer/cgroups/delegation.ts';

const MOUNT = { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup' };

function owner(
  change: {
    uid?: number;
    options?: string[];
    namespaces?: unknown[];
    maps?: unknown[];
    mount?: object;
  } = {},
): number | undefined {
  const { uid = 0, options = ['nosuid'], namespaces = [{ type: 'cgroup' }], maps } = change;
  return groupOwner({
    ociVersion: '1.3.0',
    process: { cwd: '/', user: { uid, gid: 0 } },
    mounts: [{ ...MOUNT, options, ...change.mount }],
    linux: { namespaces, ...(maps === undefined ? {} : { uidMappings: maps }) },
  } as Config);
}

test('with a namespace of its own and a writable mount it is the user of the process', () => {
  expect(owner()).toBe(0);
  expect(owner({ uid: 1000 })).toBe(1000);
  expect(owner({ mount: { destination: '/sys/fs/cgroup/' } })).toBe(0);
  expect(owner({ options: ['ro', 'rw'] })).toBe(0);
});

test('in a user namespace it is the host’s id', () => {
  const namespaces = [{ type: 'cgroup' }, { type: 'user' }];
  const maps = [
    { containerID: 0, hostID: 100000, size: 1000 },
    { containerID: 1000, hostID: 5, size: 1 },
  ];
  expect(owner({ namespaces, maps, uid: 0 })).toBe(100000);
  expect(owner({ namespaces, maps, uid: 999 })).toBe(100999);
  expect(owner({ namespaces, maps, uid: 1000 })).toBe(5);
  expect(owner({ namespaces, maps, uid: 1001 })).toBeUndefined();
  expect(owner({ namespaces })).toBeUndefined();
});

test.each([
  [{ options: ['ro'] }],
  [{ options: ['rw', 'nosuid', 'ro'] }],
  [{ namespaces: [] }],
  [{ namespaces: [{ type: 'cgroup', path: '/proc/1/ns/cgroup' }] }],
  [{ mount: { destination: '/sys/fs/cgroup/x' } }],
  [{ mount: { type: 'bind' } }],
])('otherwise it stays root’s: %j', (change) => {
  expect(owner(change)).toBeUndefined();
});
