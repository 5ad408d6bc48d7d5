/** Allow list of sysctl, and what is refused because runcell does not carry it out yet. */

import { describe, expect, test } from 'vitest';
import { hasLimits } from '../../../src/oci/validate/unsupported.ts';
import { validateConfig } from '../../../src/oci/validate.ts';
import {
  both,
  changed,
  errorOf,
  joined,
  type Loose,
  problemsOf,
  withoutNamespace,
} from './helpers.ts';

describe('sysctl', () => {
  const OWN = [
    'kernel.msgmax',
    'kernel.msg_next_id',
    'kernel.sem',
    'kernel.shmall',
    'kernel.shm_rmid_forced',
    'fs.mqueue.queues_max',
    'net.ipv4.ip_forward',
    'net/ipv4/conf/eno2.100/rp_filter',
    'net.ipv4.conf.eno2/100.rp_filter',
    'kernel.domainname',
    'kernel/domainname',
  ];
  const HOST = [
    'kernel.core_pattern',
    'kernel/core_pattern',
    'kernel.hostname',
    'kernel.semx',
    'kernel.msg.x',
    'net',
    'user',
    'fs.mqueue',
    'fs.file-max',
    'vm.swappiness',
    'kernel',
    'kernelxsem',
    'Net.x',
    'net/../kernel/core_pattern',
    'net.ipv4..x',
    '.net.x',
    'net.',
    '',
    'net.ipv4.a\nb',
    '/net/x',
    'net.ipv4.a b',
    'user.a.b',
    'constructor',
    '..',
    'net.//.//.//kernel.core_pattern',
  ];

  test.each(OWN)('%s belongs to a namespace of the container', (key) => {
    expect(problemsOf((c) => (c.linux.sysctl = { [key]: '1' }))).toEqual([]);
  });

  test.each(HOST)('%j is refused', (key) => {
    const [problem, ...more] = problemsOf((c) => (c.linux.sysctl = { [key]: '1' }));
    expect(problem).toMatch(/^linux\.sysctl\[".*"\]: is (not allowed|no name)/);
    expect(more).toEqual([]);
  });

  test.each([
    ['kernel.sem', 'ipc'],
    ['fs.mqueue.msg_max', 'ipc'],
    ['net.core.somaxconn', 'network'],
    ['user.max_user_namespaces', 'user'],
  ])('%s needs its %s namespace', (key, type) => {
    const change = (c: Loose) => (c.linux.sysctl = { [key]: '1' });
    expect(problemsOf(both(withoutNamespace(type), change))).toEqual([
      `linux.sysctl["${key}"]: is not allowed in the host's ${type} namespace`,
    ]);
    expect(problemsOf(both(joined(type, `/proc/1/ns/x`), change))).toEqual([]);
  });

  test('domainname is set in one way only', () => {
    expect(
      problemsOf((c) =>
        Object.assign(c, {
          domainname: 'd',
          linux: { ...c.linux, sysctl: { 'kernel.domainname': 'e' } },
        }),
      ),
    ).toEqual(['linux.sysctl["kernel.domainname"]: is not allowed beside domainname']);
  });

  test.each(['1\n', '1\nkernel.x=2', '\0'])('the value %j is refused', (value) => {
    expect(problemsOf((c) => (c.linux.sysctl = { 'kernel.sem': value }))).toEqual([
      'linux.sysctl["kernel.sem"]: must be one line',
    ]);
  });

  test('spaces and signs in a value pass', () => {
    expect(problemsOf((c) => (c.linux.sysctl = { 'kernel.sem': '250 32000 +32 128' }))).toEqual([]);
  });
});

describe('whether anything is limited', () => {
  const limited = (resources: Loose, ociVersion = '1.3.0') =>
    hasLimits({ ociVersion, linux: { resources } } as Loose);

  test.each([
    { memory: { limit: 1 } },
    { memory: { limit: -1 } },
    { memory: { swappiness: 10 } },
    { memory: { disableOOMKiller: true } },
    { cpu: { shares: 2 } },
    { cpu: { quota: 2n ** 60n } },
    { cpu: { cpus: '0' } },
    { pids: { limit: 100 } },
    { pids: { limit: 0 } },
    { blockIO: { weight: 10 } },
    { blockIO: { weightDevice: [{ major: 8, minor: 0 }] } },
    { hugepageLimits: [{ pageSize: '2MB', limit: 0 }] },
    { network: { classID: 1 } },
    { rdma: { mlx: {} } },
    { unified: { 'memory.high': '' } },
  ])('%o limits', (resources) => {
    expect(limited(resources)).toBe(true);
  });

  test('what Docker sends for no limit is none', () => {
    const none = {
      devices: [{ allow: false, access: 'rwm' }],
      memory: {
        limit: 0,
        swap: 0,
        swappiness: 0,
        disableOOMKiller: false,
        checkBeforeUpdate: true,
      },
      cpu: { shares: 0, quota: 0, period: 0, cpus: '', mems: '', realtimeRuntime: 0 },
      blockIO: { weight: 0, weightDevice: [], throttleReadBpsDevice: [] },
      hugepageLimits: [],
      network: { classID: 0, priorities: [] },
      rdma: {},
      unified: {},
    };
    expect(limited(none)).toBe(false);
    expect(limited(undefined)).toBe(false);
  });
});

describe('not supported yet', () => {
  const linux = (value: Loose) => (c: Loose) => Object.assign(c.linux, value);

  test.each([
    ['linux.mountLabel', linux({ mountLabel: 'x' })],
    ['process.apparmorProfile', (c: Loose) => (c.process.apparmorProfile = 'x')],
    ['process.selinuxLabel', (c: Loose) => (c.process.selinuxLabel = 'x')],
  ])('%s', (path, change) => {
    const error = errorOf(() => validateConfig(changed(change)));
    expect(error.code).toBe('config.unsupported');
    expect(error.fields.specPath).toBe(path);
    expect(error.message).toContain('is not supported yet');
  });

  test('empty values are none', () => {
    const empty = { mountLabel: '', netDevices: {}, sysctl: {}, devices: [], maskedPaths: [] };
    expect(problemsOf(linux(empty))).toEqual([]);
  });

  test('parts for other platforms are only noted', () => {
    const { debug } = validateConfig(
      changed((c) =>
        Object.assign(c, {
          solaris: {},
          windows: { layerFolders: ['x'] },
          vm: { kernel: { path: '/k' } },
          zos: {},
          freebsd: {},
        }),
      ),
    );
    for (const platform of ['solaris', 'windows', 'vm', 'zos', 'freebsd']) {
      expect(debug).toContain(`${platform}: is not for Linux`);
    }
  });
});
