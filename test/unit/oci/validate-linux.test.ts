/** Rules of mounts, namespaces and the rest of the Linux part: a change, and its problems. */

import { describe, expect, test } from 'vitest';
import { validateConfig } from '../../../src/oci/validate.ts';
import { both, changed, joined, type Loose, problemsOf, withoutNamespace } from './helpers.ts';

type Row = [title: string, change: (config: Loose) => void, problems: string[]];

const DOCUMENT: Row[] = [
  ['an older version', (c) => (c.ociVersion = '1.0.2-dev'), []],
  ['a patch of the version', (c) => (c.ociVersion = '1.3.9+build.1'), []],
  [
    'a newer version',
    (c) => (c.ociVersion = '1.4.0-rc.1'),
    ['ociVersion: is newer than 1.3, the newest known'],
  ],
  [
    'another major version',
    (c) => (c.ociVersion = '0.5.0-dev'),
    ['ociVersion: only major version 1 is known'],
  ],
  [
    'no version number',
    (c) => (c.ociVersion = '1.3'),
    ['ociVersion: must be a version in SemVer form, as 1.3.0'],
  ],
  ['no root', (c) => delete c.root, ['root: is required']],
  ['an empty root', (c) => (c.root.path = ''), ['root.path: must not be empty']],
  ['annotations', (c) => (c.annotations = { a: '', 'b.c': 'x' }), []],
  [
    'an annotation without a key',
    (c) => (c.annotations = { '': 'x' }),
    ['annotations: keys must not be empty'],
  ],
  ['another spelling of root', (c) => (c.Root = c.root), ['Root: is spelt root']],
  [
    'another spelling of readonly',
    (c) => (c.root.readOnly = false),
    ['root.readOnly: is spelt readonly'],
  ],
  [
    'another spelling in a mount',
    (c) => (c.mounts[2].Options = ['ro']),
    ['mounts[2].Options: is spelt options'],
  ],
  [
    'another spelling of a hook',
    (c) => (c.hooks = { postStop: [] }),
    ['hooks.postStop: is spelt poststop'],
  ],
  [
    'another spelling in a namespace',
    (c) => (c.linux.namespaces[1].Path = '/n'),
    ['linux.namespaces[1].Path: is spelt path'],
  ],
  [
    'another spelling in a hook',
    (c) => (c.hooks = { poststop: [{ path: '/a', Timeout: 1 }] }),
    ['hooks.poststop[0].Timeout: is spelt timeout'],
  ],
  [
    'extensions',
    (c) => Object.assign(c, { 'x-vendor': 1 }, { linux: { ...c.linux, extra: 1 } }),
    [],
  ],
];

const NAMESPACES: Row[] = [
  [
    'a namespace twice',
    (c) => c.linux.namespaces.push({ type: 'pid' }),
    ['linux.namespaces[6].type: is given twice'],
  ],
  [
    'an unknown namespace',
    (c) => (c.linux.namespaces[0].type = 'net'),
    ['linux.namespaces[0].type: must be one of mount, pid, network, uts, ipc, user, cgroup, time'],
  ],
  ['a joined namespace', joined('pid', '/proc/1/ns/pid'), []],
  ['a namespace with an empty path', joined('pid', ''), []],
  [
    'a relative namespace path',
    joined('pid', 'ns/pid'),
    ['linux.namespaces[5].path: must be an absolute path'],
  ],
  [
    'hostname without a UTS namespace',
    withoutNamespace('uts'),
    ['hostname: unable to set hostname without a private UTS namespace'],
  ],
  ['hostname with a joined one', joined('uts', '/proc/1/ns/uts'), []],
  ['an empty hostname without one', both(withoutNamespace('uts'), (c) => (c.hostname = '')), []],
  [
    'domainname without a UTS namespace',
    both(withoutNamespace('uts'), (c) => Object.assign(c, { hostname: '', domainname: 'd' })),
    ['domainname: unable to set domainname without a private UTS namespace'],
  ],
  ['a hostname of 64 bytes', (c) => (c.hostname = 'é'.repeat(32)), []],
  [
    'a hostname of 65 bytes',
    (c) => (c.hostname = `${'é'.repeat(32)}x`),
    ['hostname: must have 64 bytes or less'],
  ],
  [
    'masks without a mount namespace',
    withoutNamespace('mount'),
    [
      'linux.maskedPaths: needs a mount namespace in linux.namespaces',
      'linux.readonlyPaths: needs a mount namespace in linux.namespaces',
    ],
  ],
  [
    'a relative mask',
    (c) => (c.linux.maskedPaths = ['/a', 'b']),
    ['linux.maskedPaths[1]: must be an absolute path'],
  ],
  [
    'a cgroupsPath that climbs',
    (c) => (c.linux.cgroupsPath = 'a/../../b'),
    ['linux.cgroupsPath: must not contain ..'],
  ],
  ['a cgroupsPath with dots in a name', (c) => (c.linux.cgroupsPath = '/a..b/c'), []],
  ['a personality', (c) => (c.linux.personality = { domain: 'LINUX32', flags: [] }), []],
  [
    'a personality without a domain',
    (c) => (c.linux.personality = {}),
    ['linux.personality.domain: is required'],
  ],
  [
    'a personality flag',
    (c) => (c.linux.personality = { domain: 'LINUX', flags: ['X'] }),
    ['linux.personality.flags: no flag is defined'],
  ],
];

const newTime = (c: Loose) => c.linux.namespaces.push({ type: 'time' });
const offsets = (value: Loose) => (c: Loose) => (c.linux.timeOffsets = value);
const TIME: Row[] = [
  [
    'offsets of a new time namespace',
    both(newTime, offsets({ boottime: { secs: -5, nanosecs: 999999999 } })),
    [],
  ],
  ['empty offsets without one', offsets({}), []],
  [
    'offsets without one',
    offsets({ monotonic: { secs: 1 } }),
    ['linux.timeOffsets: needs a new time namespace in linux.namespaces'],
  ],
  [
    'offsets of a joined one',
    both(joined('time', '/proc/1/ns/time'), offsets({ monotonic: {} })),
    ['linux.timeOffsets: needs a new time namespace in linux.namespaces'],
  ],
  [
    'an unknown clock',
    both(newTime, offsets({ realtime: { secs: 1 } })),
    ['linux.timeOffsets: is no clock with an offset; boottime and monotonic are'],
  ],
  [
    'a whole second of nanoseconds',
    both(newTime, offsets({ boottime: { nanosecs: 1000000000 } })),
    ['linux.timeOffsets.boottime.nanosecs: must be at most 999999999'],
  ],
];

const extent = (containerID: number, hostID: number, size: number) => ({
  containerID,
  hostID,
  size,
});
const user = (uids: Loose, gids: Loose, path?: string) => (c: Loose) => {
  c.linux.namespaces.push(path === undefined ? { type: 'user' } : { type: 'user', path });
  c.linux.uidMappings = uids;
  c.linux.gidMappings = gids;
};
const one = [extent(0, 1000, 1)];
const MAPPINGS: Row[] = [
  ['a user namespace', user(one, one), []],
  [
    'a user namespace without mappings',
    user([], undefined),
    [
      'linux.uidMappings: is required for a new user namespace',
      'linux.gidMappings: is required for a new user namespace',
    ],
  ],
  [
    'a user namespace with one kind',
    user(one, []),
    ['linux.gidMappings: is required for a new user namespace'],
  ],
  [
    'mappings without a user namespace',
    (c) => (c.linux.uidMappings = one),
    ['linux.uidMappings: needs a user namespace in linux.namespaces'],
  ],
  [
    'an extent of no ids',
    user([extent(0, 0, 0)], one),
    ['linux.uidMappings[0].size: must not be 0'],
  ],
  ['an extent up to the last id', user([extent(0, 0, 4294967295)], one), []],
  [
    'an extent beyond it',
    user([extent(0, 0, 1), extent(2, 1, 4294967295)], one),
    [
      'linux.uidMappings[1].containerID: the extent must end at 4294967294 or below',
      'linux.uidMappings[1].hostID: the extent must end at 4294967294 or below',
    ],
  ],
  [
    'no extent for the root',
    user([extent(1, 100000, 65536)], one),
    ['linux.uidMappings: container id 0 is not mapped, as which the container is set up'],
  ],
  [
    'overlapping extents in the container',
    user([extent(0, 0, 10), extent(9, 100, 1)], one),
    ['linux.uidMappings[1].containerID: overlaps with linux.uidMappings[0]'],
  ],
  [
    'overlapping extents on the host',
    user(one, [extent(5, 9, 1), extent(0, 0, 5), extent(6, 4, 1)]),
    ['linux.gidMappings[2].hostID: overlaps with linux.gidMappings[1]'],
  ],
  [
    '340 extents',
    user(
      Array.from({ length: 340 }, (_, i) => extent(i, i, 1)),
      one,
    ),
    [],
  ],
  [
    '341 extents',
    user(
      Array.from({ length: 341 }, (_, i) => extent(i, i, 1)),
      one,
    ),
    ['linux.uidMappings: has more than 340 extents'],
  ],
];

const mount = (value: Loose) => (c: Loose) => (c.mounts = [{ destination: '/m', ...value }]);
const bind = { type: 'none', source: '/', options: ['rbind'] };
const MOUNTS: Row[] = [
  [
    'a mount without a destination',
    (c) => delete c.mounts[0].destination,
    ['mounts[0].destination: is required'],
  ],
  [
    'an empty destination',
    (c) => (c.mounts[0].destination = ''),
    ['mounts[0].destination: must not be empty'],
  ],
  ['a bind mount without a type', mount({ source: '/', options: ['bind', 'ro'] }), []],
  ['a bind mount by its type', mount({ source: '/', type: 'bind' }), []],
  [
    'another mount without a type',
    mount({ options: ['ro'] }),
    ['mounts[0].type: is required for anything but a bind mount'],
  ],
  ['a remount without a type', mount({ options: ['remount', 'ro'] }), []],
  [
    'id mappings of a bind mount',
    mount({ ...bind, options: ['bind', 'idmap'], uidMappings: one, gidMappings: one }),
    [],
  ],
  ['id mappings without the option', mount({ ...bind, uidMappings: one, gidMappings: one }), []],
  [
    'uid mappings alone',
    mount({ ...bind, uidMappings: one }),
    ['mounts[0].gidMappings: uidMappings and gidMappings must be given together'],
  ],
  [
    'gid mappings alone',
    mount({ ...bind, uidMappings: [], gidMappings: one }),
    ['mounts[0].uidMappings: uidMappings and gidMappings must be given together'],
  ],
  [
    'id mappings of a tmpfs',
    mount({ type: 'tmpfs', options: ['idmap'], uidMappings: one, gidMappings: one }),
    ['mounts[0].type: only a bind mount can have id mappings'],
  ],
  [
    'idmap without any mapping',
    mount({ ...bind, options: ['bind', 'idmap'] }),
    ['mounts[0].options: needs uidMappings and gidMappings'],
  ],
  [
    'ridmap with the container’s',
    both(user(one, one), mount({ ...bind, options: ['rbind', 'ridmap'] })),
    [],
  ],
  [
    'ridmap in a joined user namespace without',
    both(user([], [], '/ns'), mount({ ...bind, options: ['rbind', 'ridmap'] })),
    ['mounts[0].options: needs uidMappings and gidMappings'],
  ],
  [
    'overlapping mappings of a mount',
    mount({ ...bind, uidMappings: [extent(0, 0, 2), extent(1, 9, 1)], gidMappings: one }),
    ['mounts[0].uidMappings[1].containerID: overlaps with mounts[0].uidMappings[0]'],
  ],
];

const device = (value: Loose) => (c: Loose) =>
  (c.linux.devices = [{ type: 'c', path: '/dev/d', major: 10, minor: 229, ...value }]);
const DEVICES: Row[] = [
  ['a device', device({ fileMode: 0o666, uid: 0, gid: 4294967294 }), []],
  ['an unbuffered device', device({ type: 'u' }), []],
  ['a FIFO without numbers', device({ type: 'p', major: undefined, minor: undefined }), []],
  ['an unknown type', device({ type: 'd' }), ['linux.devices[0].type: must be one of c, b, u, p']],
  [
    'a relative path',
    device({ path: 'dev/d' }),
    ['linux.devices[0].path: must be an absolute path'],
  ],
  ['no major number', device({ major: undefined }), ['linux.devices[0].major: is required']],
  [
    'a minor number beyond 20 bits',
    device({ minor: 1048576 }),
    ['linux.devices[0].minor: must be from 0 to 1048575'],
  ],
  [
    'a negative major number',
    device({ major: -1 }),
    ['linux.devices[0].major: must be from 0 to 4095'],
  ],
  [
    'an owner of -1',
    device({ uid: 4294967295 }),
    ['linux.devices[0].uid: must be at most 4294967294'],
  ],
  [
    'a mode with more than permissions',
    device({ fileMode: 0o1000 }),
    ['linux.devices[0].fileMode: must be an integer from 0 to 511'],
  ],
  [
    'the same device twice',
    (c) => {
      device({})(c);
      c.linux.devices.push({ ...c.linux.devices[0], uid: 5 });
    },
    [],
  ],
  [
    'another device at the same path',
    (c) => {
      device({})(c);
      c.linux.devices.push({ ...c.linux.devices[0], minor: 1 });
    },
    ['linux.devices[1].path: is also the path of another device'],
  ],
];

const rule = (value: Loose) => (c: Loose) =>
  (c.linux.resources = {
    devices: [
      { allow: false, access: 'rwm' },
      { allow: true, access: 'rw', ...value },
    ],
  });
const NUMBERS = { type: 'c', major: 10, minor: 229 };
const DEVICE_RULES: Row[] = [
  ['a rule', rule(NUMBERS), []],
  ['a rule without numbers', rule({ type: 'b' }), []],
  ['a rule with -1 for any number', rule({ type: 'c', major: -1, minor: -1 }), []],
  ['a rule for all types', rule({ type: 'a' }), []],
  ['an empty type, which is all of them', rule({ type: '' }), []],
  ['the largest numbers', rule({ type: 'c', major: 4095, minor: 1048575 }), []],
  [
    'a type that is no device',
    rule({ ...NUMBERS, type: 'p' }),
    ['linux.resources.devices[1].type: must be a, b or c'],
  ],
  [
    'several types',
    rule({ ...NUMBERS, type: 'bc' }),
    ['linux.resources.devices[1].type: must be a, b or c'],
  ],
  [
    'no access',
    rule({ ...NUMBERS, access: undefined }),
    ['linux.resources.devices[1].access: must be one or more of r, w and m'],
  ],
  [
    'another letter',
    rule({ ...NUMBERS, access: 'rx' }),
    ['linux.resources.devices[1].access: must be one or more of r, w and m'],
  ],
  [
    'a major number beyond 12 bits',
    rule({ ...NUMBERS, major: 4096 }),
    ['linux.resources.devices[1].major: must be from -1 to 4095'],
  ],
  [
    'a negative minor number',
    rule({ ...NUMBERS, minor: -2 }),
    ['linux.resources.devices[1].minor: must be from -1 to 1048575'],
  ],
];

describe.each([
  ['document', DOCUMENT],
  ['namespaces', NAMESPACES],
  ['time offsets', TIME],
  ['id mappings', MAPPINGS],
  ['mounts', MOUNTS],
  ['devices', DEVICES],
  ['device rules', DEVICE_RULES],
] as [string, Row[]][])('%s', (_name, rows) => {
  test.each(rows)('%s', (_title, change, problems) => {
    expect(problemsOf(change)).toEqual(problems);
  });
});

test('warnings and debug lines name the field', () => {
  const { warnings, debug } = validateConfig(
    changed((c) => {
      user(one, one, '/proc/1/ns/user')(c);
      c.mounts[0].destination = 'proc';
    }),
  );
  expect(warnings).toEqual([
    'mounts[0].destination: relative paths are deprecated, "proc" means "/proc"',
  ]);
  // containerd and CRI-O always send both: no warning for what is ordinary
  expect(debug).toEqual(
    expect.arrayContaining([
      'linux.uidMappings: the user namespace /proc/1/ns/user has its own mappings already',
      'linux.gidMappings: the user namespace /proc/1/ns/user has its own mappings already',
    ]),
  );
});
