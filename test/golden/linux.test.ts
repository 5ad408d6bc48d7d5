/** config.linux: namespaces, user namespaces, devices, sysctl, cgroup: fragment → program. */

import { describe, test } from 'vitest';
import { goldenCreate } from './golden.ts';

const NAMESPACES = /^(linux\.(namespaces|uidMappings|timeOffsets|cgroupsPath)|become)/;
const MAPPINGS = [{ containerID: 0, hostID: 100000, size: 65536 }];

describe('linux.namespaces', () => {
  test('all of them new', () => {
    const types = ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'time'] as const;
    goldenCreate('namespaces', {
      only: NAMESPACES,
      config: {
        linux: {
          namespaces: types.map((type) => ({ type })),
          timeOffsets: { monotonic: { secs: -5, nanosecs: 7 }, boottime: { secs: 3600 } },
        },
      },
    });
  });

  test('joined by path', () => {
    const types = ['network', 'ipc', 'uts', 'cgroup', 'pid'] as const;
    goldenCreate('namespaces-joined', {
      only: NAMESPACES,
      config: {
        linux: {
          namespaces: [
            { type: 'mount' },
            ...types.map((type) => ({ type, path: `/run/ns/${type}` })),
          ],
        },
      },
    });
  });

  test('a pid namespace by path: proc and its masks by the final init', () => {
    goldenCreate('pid-namespace-joined', {
      only: /^(linux\.(namespaces|maskedPaths|readonlyPaths|sysctl)|become|mounts|root|close the|--pidfd)/,
      config: {
        mounts: [
          { destination: '/proc', type: 'proc', source: 'proc' },
          { destination: '/run', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
          { destination: '/proc/cpuinfo', source: '/var/lib/lxcfs/cpuinfo', options: ['bind'] },
        ],
        linux: {
          namespaces: [{ type: 'mount' }, { type: 'pid', path: '/run/ns/pid' }],
          maskedPaths: ['/proc/kcore'],
          readonlyPaths: ['/proc/sys'],
          sysctl: { 'kernel.shmmni': '4096' },
        },
      },
      facts: { sourceIsDirectory: [true, true, false] },
      options: { pidfdSocket: '/run/pidfd.sock' },
    });
  });

  test('user and pid namespace by path: both are joined by the intermediate', () => {
    goldenCreate('user-and-pid-namespace-joined', {
      only: NAMESPACES,
      config: {
        linux: {
          namespaces: [
            { type: 'mount' },
            { type: 'user', path: '/n/user' },
            { type: 'pid', path: '/n/pid' },
            { type: 'time' },
          ],
          timeOffsets: { boottime: { secs: 1 } },
        },
      },
      options: { pidfdSocket: '/run/pidfd.sock' },
    });
  });

  test('a path that is the caller’s own is not joined', () => {
    goldenCreate('namespaces-same', {
      only: NAMESPACES,
      config: { linux: { namespaces: [{ type: 'mount' }, { type: 'network', path: '/n' }] } },
      facts: { sameNamespaces: new Set(['network']) },
    });
  });

  test('a new user namespace', () => {
    goldenCreate('user-namespace', {
      only: NAMESPACES,
      config: {
        linux: {
          namespaces: (['user', 'mount', 'pid', 'ipc', 'network', 'time'] as const).map((type) => ({
            type,
          })),
          timeOffsets: { boottime: { secs: 1 } },
          uidMappings: MAPPINGS,
          gidMappings: MAPPINGS,
        },
      },
    });
  });

  test('a user namespace by path', () => {
    goldenCreate('user-namespace-joined', {
      only: NAMESPACES,
      config: {
        linux: { namespaces: [{ type: 'mount' }, { type: 'user', path: '/n/user' }] },
      },
    });
  });
});

describe('linux.devices', () => {
  const devices = [
    { path: '/dev/net/tun', type: 'c', major: 10, minor: 200, fileMode: 0o600, uid: 1, gid: 2 },
    { path: '/dev/loop9', type: 'b', major: 7, minor: 9 },
    { path: '/dev/pipe', type: 'p' },
    { path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o644 },
  ] as const;

  test('made', () => {
    goldenCreate('devices', {
      only: /^linux\.devices/,
      config: { linux: { namespaces: [{ type: 'mount' }], devices: [...devices] } },
    });
  });

  test('bound in a user namespace', () => {
    goldenCreate('devices-user-namespace', {
      only: /^linux\.devices/,
      config: {
        linux: {
          namespaces: [{ type: 'mount' }, { type: 'user' }],
          uidMappings: MAPPINGS,
          gidMappings: MAPPINGS,
          devices: [devices[0]],
        },
      },
    });
  });
});

describe('linux, the rest', () => {
  test('sysctl', () => {
    goldenCreate('sysctl', {
      only: /^linux\.sysctl/,
      config: {
        linux: {
          namespaces: [{ type: 'mount' }, { type: 'network' }],
          sysctl: { 'net.ipv4.ip_forward': '1', 'net/ipv4/conf/eth0.1/forwarding': '0' },
        },
      },
    });
  });

  test('host name and domain name', () => {
    goldenCreate('hostname', {
      only: /^(hostname|domainname)/,
      config: {
        hostname: 'böx',
        domainname: 'example',
        linux: { namespaces: [{ type: 'mount' }, { type: 'uts' }] },
      },
    });
  });

  test('memory policy', () => {
    goldenCreate('memory-policy', {
      only: /^linux\.memoryPolicy/,
      config: {
        linux: {
          namespaces: [],
          memoryPolicy: {
            mode: 'MPOL_BIND',
            nodes: '0-1,64',
            flags: ['MPOL_F_NUMA_BALANCING', 'MPOL_F_STATIC_NODES'],
          },
        },
      },
    });
  });

  test('a memory policy without nodes', () => {
    goldenCreate('memory-policy-local', {
      only: /^linux\.memoryPolicy/,
      config: { linux: { namespaces: [], memoryPolicy: { mode: 'MPOL_LOCAL' } } },
    });
  });

  test('personality', () => {
    goldenCreate('personality', {
      only: /^linux\.personality/,
      config: { linux: { namespaces: [], personality: { domain: 'LINUX32' } } },
    });
  });
});
