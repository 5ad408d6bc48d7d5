/** The pure functions of the planner that turn words of config.json into numbers. */

import type { Capabilities } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_SHARED,
} from '../../../src/libcontainer/linux/mount.ts';
import { resolveCapabilities, ungrantable } from '../../../src/libcontainer/plan/capabilities.ts';
import {
  ATTRIBUTES,
  knownMountOptions,
  parseMountOptions,
} from '../../../src/libcontainer/plan/mount-options.ts';
import { buildEnvironment, needsHome } from '../../../src/libcontainer/plan/process.ts';
import { affinityMask } from '../../../src/libcontainer/plan/scheduling.ts';

describe('affinityMask', () => {
  test.each<[string, number[]]>([
    ['0', [1, 0, 0, 0, 0, 0, 0, 0]],
    ['0-3,7', [0x8f, 0, 0, 0, 0, 0, 0, 0]],
    ['7,0-3, 2', [0x8f, 0, 0, 0, 0, 0, 0, 0]],
    ['1,', [2, 0, 0, 0, 0, 0, 0, 0]],
    ['63', [0, 0, 0, 0, 0, 0, 0, 0x80]],
    ['64', [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
    ['62-65', [0, 0, 0, 0, 0, 0, 0, 0xc0, 3, 0, 0, 0, 0, 0, 0, 0]],
    ['0, ', [1, 0, 0, 0, 0, 0, 0, 0]],
  ])('%s', (list, bytes) => {
    expect([...affinityMask(list)!]).toEqual(bytes);
  });
});

test.each(['', ',', ' '])('affinityMask of %j: no CPU is named', (list) => {
  expect(affinityMask(list)).toBeUndefined();
});

describe('parseMountOptions', () => {
  test('attributes: the later word wins, alone and for the tree', () => {
    expect(parseMountOptions(['ro', 'nosuid', 'rw'])).toMatchObject({
      set: MOUNT_ATTR_NOSUID,
      clear: MOUNT_ATTR_RDONLY,
    });
    expect(parseMountOptions(['rrw', 'rro', 'dev'])).toMatchObject({
      set: 0,
      clear: MOUNT_ATTR_NODEV,
      recursiveSet: MOUNT_ATTR_RDONLY,
      recursiveClear: 0,
    });
  });

  test('the time of access is one choice', () => {
    expect(parseMountOptions(['noatime', 'strictatime'])).toMatchObject({
      set: MOUNT_ATTR_STRICTATIME,
      clear: MOUNT_ATTR__ATIME, // all of it, or mount_setattr(2) says EINVAL
    });
    expect(parseMountOptions(['strictatime', 'noatime']).set).toBe(MOUNT_ATTR_NOATIME);
  });

  test('propagation keeps its order', () => {
    expect(parseMountOptions(['rshared', 'private']).propagation).toEqual([
      { flag: MS_SHARED, recursive: true },
      { flag: MS_PRIVATE, recursive: false },
    ]);
  });

  test.each<[string[], object]>([
    [['bind'], { bind: 'bind' }],
    [['rbind', 'bind'], { bind: 'rbind' }],
    [['remount', 'tmpcopyup'], { remount: true, tmpcopyup: true }],
    [['idmap', 'ridmap'], { idmap: 'ridmap' }],
    [['sync', 'lazytime'], { superblock: ['sync', 'lazytime'], data: [] }],
    [['defaults', 'silent', 'loud'], { superblock: [], data: [] }],
    [
      ['mode=755', 'ro=1', 'rfoo', 'r', ''],
      { data: ['mode=755', 'ro=1', 'rfoo', 'r', ''], set: 0 },
    ],
    [
      ['constructor', 'rtoString', '__proto__'],
      { data: ['constructor', 'rtoString', '__proto__'] },
    ],
  ])('%j', (options, expected) => {
    expect(parseMountOptions(options)).toMatchObject(expected);
  });

  test('what `features` lists is known, each word once', () => {
    const words = knownMountOptions();
    expect(new Set(words).size).toBe(words.length);
    expect(words).toEqual([...words].sort());
    for (const word of words.filter((known) => known !== 'iversion')) {
      expect(parseMountOptions([word]).data, word).toEqual([]);
    }
    for (const word of Object.keys(ATTRIBUTES)) expect(words).toContain(`r${word}`);
  });
});

describe('the environment', () => {
  const plain = { listenFds: 0, notify: false };

  test('the last of equal keys, in its place; words without = are as they are', () => {
    const env = ['A=1', 'KEY', 'B=', 'A=2=3', '=x', 'KEY'];
    expect(buildEnvironment(env, plain)).toEqual(['B=', 'A=2=3', '=x', 'KEY']);
    expect(buildEnvironment(undefined, plain)).toEqual([]);
    expect(buildEnvironment(['__proto__=1', 'constructor=2'], plain)).toEqual([
      '__proto__=1',
      'constructor=2',
    ]);
  });

  test('what the runtime adds replaces what is there', () => {
    const given = ['HOME=', 'LISTEN_FDS=9', 'NOTIFY_SOCKET=/host'];
    expect(buildEnvironment(given, { home: '/h', listenFds: 2, notify: true })).toEqual([
      'HOME=/h',
      'LISTEN_FDS=2',
      'LISTEN_PID=1',
      'NOTIFY_SOCKET=/run/notify/notify.sock',
    ]);
  });

  test.each<[string[] | undefined, boolean]>([
    [undefined, true],
    [[], true],
    [['HOME='], true],
    [['HOME=/x', 'HOME='], true],
    [['HOME=', 'HOME=/x'], false],
    [['XHOME=/x', 'HOME'], true],
  ])('%j needs HOME: %s', (env, expected) => {
    expect(needsHome(env)).toBe(expected);
  });
});

describe('capabilities', () => {
  const [CHOWN, KILL, NET_RAW, BPF] = [0, 5, 13, 39];
  const everything = { held: (1n << 41n) - 1n, last: 40 };

  test('absent sets are empty', () => {
    for (const wanted of [undefined, {}]) {
      const sets = Object.values(resolveCapabilities(wanted, everything));
      expect(sets.map((set) => set.size)).toEqual([0, 0, 0, 0, 0]);
    }
  });

  const wanted: Capabilities = {
    bounding: ['CAP_CHOWN', 'CAP_BPF', 'CAP_NOPE', 'CAP_CHOWN'],
    permitted: ['CAP_KILL', 'CAP_NET_RAW'],
    inheritable: ['CAP_NET_RAW', 'CAP_CHOWN'],
    effective: ['constructor'],
    ambient: ['CAP_NET_RAW', 'CAP_KILL', 'CAP_CHOWN'],
  };

  test('names become numbers; ambient needs permitted and inheritable', () => {
    expect(resolveCapabilities(wanted, everything)).toEqual({
      bounding: new Set([CHOWN, BPF]),
      permitted: new Set([KILL, NET_RAW]),
      inheritable: new Set([NET_RAW, CHOWN]),
      effective: new Set(),
      ambient: new Set([NET_RAW]),
    });
    // What is not known is told by the validation.
    expect(ungrantable(wanted, everything)).toEqual([]);
  });

  test('what is not held, or the kernel does not have, is told once and left out', () => {
    const little = { held: 1n << BigInt(KILL), last: 37 };
    const sets = resolveCapabilities(wanted, little);
    expect([...sets.bounding, ...sets.permitted, ...sets.inheritable, ...sets.ambient]).toEqual([
      KILL,
    ]);
    expect(ungrantable(wanted, little)).toEqual(['CAP_CHOWN', 'CAP_BPF', 'CAP_NET_RAW']);
    const newer = { held: (1n << 64n) - 1n, last: 37 };
    expect(resolveCapabilities(wanted, newer).bounding).toEqual(new Set([CHOWN]));
  });
});
