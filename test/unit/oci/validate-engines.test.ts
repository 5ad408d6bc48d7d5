/**
 * Documents as Docker, containerd and Podman send them: the small validator knows them, and what it
 * does not know is judged by the complete one, with the same result.
 */

import { isCommonConfig } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../../src/oci/json.ts';
import { validateConfig, validateProcess } from '../../../src/oci/validate.ts';
import { changed, type Loose, problemsOf } from './helpers.ts';

const DENY = { allow: false, access: 'rwm' };
const DEVICES = [
  DENY,
  { allow: true, type: 'c', major: 1, minor: 5, access: 'rwm' },
  { allow: true, type: 'c', major: 136, access: 'rwm' },
];
const HOOK = {
  path: '/proc/1234/exe',
  args: ['libnetwork-setkey', '-exec-root=/var/run/docker', 'f00d', '1f2e'],
};
const NAMES = ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];
const CAPABILITIES = { bounding: NAMES, effective: NAMES, permitted: NAMES };
const NOFILE = { type: 'RLIMIT_NOFILE', hard: 1048576, soft: 1024 };

/** What each engine adds to a document like that of `spec`. */
const ENGINES: { [name: string]: (config: Loose) => void } = {
  docker: (c) => {
    c.ociVersion = '1.2.1';
    c.process.consoleSize = { height: 0, width: 0 };
    c.process.user = { uid: 0, gid: 0, additionalGids: [0, 10] };
    c.process.oomScoreAdj = 0;
    c.process.capabilities = CAPABILITIES;
    c.hostname = '0123456789ab';
    c.hooks = { prestart: [HOOK] };
    c.linux.cgroupsPath = '/docker/0123456789ab';
    c.linux.sysctl = {
      'net.ipv4.ip_unprivileged_port_start': '0',
      'net.ipv4.ping_group_range': '0 2147483647',
    };
    c.linux.resources = {
      devices: DEVICES,
      memory: {},
      cpu: { shares: 0 },
      pids: { limit: 0 },
      blockIO: { weight: 0 },
    };
  },
  containerd: (c) => {
    c.ociVersion = '1.1.0';
    c.process.rlimits = [NOFILE];
    c.process.oomScoreAdj = 999;
    c.annotations = {
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.sandbox-id': 'abc',
    };
    c.linux.cgroupsPath = '/k8s.io/abc';
    c.linux.namespaces = [
      { type: 'pid' },
      { type: 'ipc', path: '/proc/4242/ns/ipc' },
      { type: 'uts', path: '/proc/4242/ns/uts' },
      { type: 'mount' },
      { type: 'network', path: '/proc/4242/ns/net' },
      { type: 'cgroup' },
    ];
    c.linux.resources = {
      devices: DEVICES,
      memory: { limit: 134217728, swap: 134217728 },
      cpu: { shares: 102, quota: 10000, period: 100000, cpus: '0-1', mems: '' },
      hugepageLimits: [{ pageSize: '2MB', limit: 0 }],
      unified: { 'memory.oom.group': '1' },
    };
    delete c.hostname;
  },
  podman: (c) => {
    c.process.user = { uid: 1000, gid: 1000, umask: 18, additionalGids: [1000] };
    c.process.rlimits = [NOFILE, { type: 'RLIMIT_NPROC', hard: 4194304, soft: 4194304 }];
    c.process.oomScoreAdj = 200;
    c.hooks = { poststop: [{ path: '/usr/bin/podman', args: ['a'], env: ['A=b'], timeout: 10 }] };
    c.annotations = { 'io.container.manager': 'libpod', 'org.systemd.property.KillSignal': '15' };
    c.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    c.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    c.linux.sysctl = { 'net.ipv4.ping_group_range': '0 0' };
    c.linux.rootfsPropagation = 'slave';
    c.linux.devices = [{ type: 'c', path: '/dev/fuse', major: 10, minor: 229, fileMode: 438 }];
    c.linux.resources = { devices: DEVICES, pids: { limit: 2048 } };
  },
};

describe.each(Object.entries(ENGINES))('%s', (_name, change) => {
  test('takes the fast way', () => {
    expect(isCommonConfig(changed(change))).toBe(true);
  });

  test('takes it with a filter of system calls too', () => {
    const filter = {
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      architectures: ['SCMP_ARCH_X86_64'],
      syscalls: [
        { names: ['read'], action: 'SCMP_ACT_ALLOW' },
        {
          names: ['personality'],
          action: 'SCMP_ACT_ALLOW',
          args: [{ index: 0, value: 8, op: 'SCMP_CMP_EQ' }],
        },
      ],
    };
    const config = changed(change);
    config.linux.seccomp = filter;
    expect(isCommonConfig(config)).toBe(true);
  });
});

describe('what the small validator does not know', () => {
  const PLATFORMS: { [name: string]: unknown } = {
    solaris: { milestone: 'svc:/milestone/container:default' },
    windows: { layerFolders: ['C:\\layer'] },
    vm: { kernel: { path: '/kernel' } },
    zos: { namespaces: [{ type: 'pid' }] },
    freebsd: { devices: [{ path: 'null', mode: 438 }] },
  };

  test.each(Object.entries(PLATFORMS))('%s: a good one is accepted as it is', (name, part) => {
    const config = changed((c) => (c[name] = part));
    expect(isCommonConfig(config)).toBe(false);
    expect(validateConfig(config).config).toBe(config);
  });

  test.each(Object.keys(PLATFORMS))('%s: a wrong one is told', (name) => {
    expect(problemsOf((c) => (c[name] = 1))).toEqual([`${name}: must be an object`]);
  });

  test('fields that runcell carries out', () => {
    const config = changed((c) => {
      c.process.scheduler = { policy: 'SCHED_BATCH', nice: 5 };
      c.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 4 };
      c.process.execCPUAffinity = { initial: '0', final: '0-1' };
      c.linux.timeOffsets = { boottime: { secs: 1 } };
      c.linux.namespaces.push({ type: 'time' });
    });
    expect(isCommonConfig(config)).toBe(false);
    expect(validateConfig(config).config).toBe(config);
    expect(problemsOf((c) => (c.process.scheduler = { policy: 'SCHED_FAST' }))[0]).toMatch(
      /^process\.scheduler\.policy: must be one of /,
    );
  });

  test('nulls beside it are taken as absent', () => {
    const config = changed((c) => {
      c.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 4 };
      c.hooks = null;
    });
    const { config: valid, debug } = validateConfig(config);
    expect(valid.hooks).toBeUndefined();
    expect(valid.process.ioPriority).toEqual(config.process.ioPriority);
    expect(debug[0]).toBe('null is taken as absent, 1 times');
  });

  test('a null that the schema allows stays', () => {
    const config = parseJson(
      JSON.stringify(
        changed((c) => {
          c.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 4 };
          c.unknown = null;
        }),
      ),
      { source: 'config.json' },
    ) as Loose;
    const result = validateConfig(config);
    expect(result.config).toBe(config);
    expect(result.debug).not.toContain('null is taken as absent, 1 times');
  });

  test('exec takes a process with it', () => {
    const process = { cwd: '/', args: ['true'], ioPriority: { class: 'IOPRIO_CLASS_IDLE' } };
    expect(validateProcess(process, 'process').config).toBe(process);
  });
});
