/** config.mounts, root, masked and read-only paths: fragment → program. */

import type { Mount } from '@opencontainers-ts/spec';
import { describe, test } from 'vitest';
import { goldenCreate } from './golden.ts';

const MOUNTS = /^mounts\[/;
const ROOT = /^root\./;

describe('mounts', () => {
  test('filesystems with attributes and data', () => {
    goldenCreate('mounts', {
      only: MOUNTS,
      config: {
        mounts: [
          { destination: '/proc', type: 'proc', source: 'proc' },
          {
            destination: '/dev/shm',
            type: 'tmpfs',
            source: 'shm',
            options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
          },
          { destination: '/sys', type: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
          { destination: '/sys/fs/cgroup', type: 'cgroup', options: ['ro', 'relatime'] },
        ],
      },
    });
  });

  test('bind mounts of a directory and of a file', () => {
    goldenCreate('mounts-bind', {
      only: MOUNTS,
      config: {
        mounts: [
          { destination: '/data', source: '/srv/data', options: ['rbind', 'ro', 'nosuid'] },
          { destination: '/etc/hosts', type: 'bind', source: '/srv/hosts', options: ['bind'] },
          { destination: '/rec', source: '/srv/rec', options: ['rbind', 'rro', 'rnoexec'] },
        ],
      },
      facts: { sourceIsDirectory: [true, false, true] },
    });
  });

  test('propagation and atime', () => {
    goldenCreate('mounts-options', {
      only: MOUNTS,
      config: {
        mounts: [
          { destination: '/a', source: '/a', options: ['rbind', 'rshared', 'noatime'] },
          { destination: '/b', source: '/b', options: ['bind', 'private', 'strictatime'] },
          { destination: '/c', type: 'tmpfs', options: ['unbindable', 'nodiratime', 'sync'] },
        ],
      },
      facts: { sourceIsDirectory: [true, true] },
    });
  });

  test('id-mapped, with a mapping of their own', () => {
    goldenCreate('mounts-idmap', {
      only: /^mounts/,
      config: {
        mounts: [
          {
            destination: '/home',
            source: '/srv/home',
            options: ['bind', 'idmap'],
            uidMappings: [{ containerID: 0, hostID: 1000, size: 10 }],
            gidMappings: [{ containerID: 0, hostID: 1000, size: 10 }],
          },
        ],
      },
      facts: { sourceIsDirectory: [true] },
    });
  });

  test('id-mapped: a holder for each distinct mapping, the container’s own by default', () => {
    const own = [{ containerID: 0, hostID: 1000, size: 10 }];
    const bind = (destination: string, options: string[], mappings = {}): Mount => ({
      destination,
      source: `/srv${destination}`,
      options: ['rbind', ...options],
      ...mappings,
    });
    goldenCreate('mounts-idmap-holders', {
      only: /^mounts/,
      config: {
        mounts: [
          bind('/a', ['ridmap', 'ro'], { uidMappings: own, gidMappings: own }),
          bind('/b', ['idmap']),
          bind('/c', [], { uidMappings: own, gidMappings: own }),
        ],
        linux: {
          namespaces: [{ type: 'mount' }],
          uidMappings: [{ containerID: 0, hostID: 5000, size: 100 }],
          gidMappings: [{ containerID: 0, hostID: 5000, size: 100 }],
        },
      },
      facts: { sourceIsDirectory: [true, true, true] },
      options: { keepFds: 2 },
    });
  });

  test('remount changes attributes, in its place among the others', () => {
    goldenCreate('mounts-remount', {
      only: MOUNTS,
      config: {
        mounts: [
          { destination: '/data', source: '/srv/data', options: ['bind'] },
          { destination: '/data', options: ['bind', 'remount', 'ro', 'nosuid', 'private'] },
        ],
      },
      facts: { sourceIsDirectory: [true, true] },
    });
  });

  test('a tmpfs that begins with what it covers', () => {
    goldenCreate('mounts-tmpcopyup', {
      only: MOUNTS,
      config: { mounts: [{ destination: '/var', type: 'tmpfs', options: ['tmpcopyup', 'ro'] }] },
      facts: {
        copyUp: new Map([
          [
            0,
            [
              { path: 'lib', kind: 'directory', mode: 0o2775, uid: 0, gid: 0 },
              { path: 'lib/db', kind: 'file', mode: 0o640, size: 12, uid: 5, gid: 6 },
              { path: 'run', kind: 'link', target: '/run', uid: 0, gid: 0 },
            ],
          ],
        ]),
      },
    });
  });

  test('the notify socket’s directory', () => {
    goldenCreate('mounts-notify', {
      only: /^NOTIFY_SOCKET/,
      options: { notifyDir: '/run/runcell/states/c1/notify' },
    });
  });
});

describe('root', () => {
  test('taken, attached, entered', () => {
    goldenCreate('root', { only: ROOT });
  });

  test('read-only and shared', () => {
    goldenCreate('root-readonly', {
      only: /^(root\.readonly|linux\.rootfsPropagation)/,
      config: {
        root: { path: 'rootfs', readonly: true },
        linux: { namespaces: [{ type: 'mount' }], rootfsPropagation: 'rshared' },
      },
    });
  });

  test('without pivot_root', () => {
    goldenCreate('root-no-pivot', { only: ROOT, options: { noPivot: true } });
  });

  test('without a mount namespace', () => {
    goldenCreate('root-no-mount-namespace', { only: ROOT, config: { linux: { namespaces: [] } } });
  });
});

describe('paths', () => {
  test('masked', () => {
    goldenCreate('masked-paths', {
      only: /^linux\.maskedPaths/,
      config: { linux: { maskedPaths: ['/proc/kcore', '/sys/firmware', '/proc/kcore'] } },
    });
  });

  test('read-only', () => {
    goldenCreate('readonly-paths', {
      only: /^linux\.readonlyPaths/,
      config: { linux: { readonlyPaths: ['/proc/sys', '/proc/bus'] } },
    });
  });
});
