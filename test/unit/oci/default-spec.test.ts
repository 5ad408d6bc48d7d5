/** The document of `spec`: safe defaults, runc's order, and a rootless form without privileges. */

import { explainConfig } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { defaultSpec } from '../../../src/oci/default-spec.ts';
import { parseJson, stringifyJson } from '../../../src/oci/json.ts';

describe.each([false, true])('defaultSpec, rootless %j', (rootless) => {
  const config = defaultSpec({ rootless });

  test('is valid and survives printing', () => {
    expect(explainConfig(config)).toEqual([]);
    const text = stringifyJson(config, '\t');
    expect(
      text.startsWith('{\n\t"ociVersion": "1.3.0",\n\t"process": {\n\t\t"terminal": true,'),
    ).toBe(true);
    expect(parseJson(text, { source: 'config.json' })).toEqual(config);
  });

  test('has the process of runc’s example', () => {
    const three = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];
    expect(config.process).toEqual({
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: three, effective: three, permitted: three },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    });
    expect(config.root).toEqual({ path: 'rootfs', readonly: true });
    expect(config.hostname).toBe('runcell');
  });

  test('hides what runc and Docker hide', () => {
    const wanted = [
      ...['acpi', 'asound', 'interrupts', 'kcore', 'keys', 'latency_stats', 'timer_list'],
      ...['timer_stats', 'sched_debug', 'scsi'],
    ].map((name) => `/proc/${name}`);
    expect(config.linux?.maskedPaths).toEqual(
      expect.arrayContaining([...wanted, '/sys/firmware', '/sys/devices/virtual/powercap']),
    );
    expect(config.linux?.readonlyPaths).toEqual(
      ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`),
    );
  });
});

describe('defaultSpec', () => {
  const destinations = (rootless: boolean) =>
    defaultSpec({ rootless }).mounts?.map(({ destination }) => destination);
  const kinds = (rootless: boolean) =>
    defaultSpec({ rootless }).linux?.namespaces?.map(({ type }) => type);

  test('mounts in runc’s order', () => {
    const common = ['/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue'];
    expect(destinations(false)).toEqual([...common, '/sys', '/sys/fs/cgroup']);
    expect(destinations(true)).toEqual([...common, '/sys']);
  });

  test('makes its own namespaces; rootless a user one and not the network', () => {
    expect(kinds(false)).toEqual(['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup']);
    expect(kinds(true)).toEqual(['pid', 'ipc', 'uts', 'mount', 'cgroup', 'user']);
  });

  test('denies all devices, and leaves cgroups alone when rootless', () => {
    expect(defaultSpec({ rootless: false }).linux?.resources).toEqual({
      devices: [{ allow: false, access: 'rwm' }],
    });
    expect(defaultSpec({ rootless: true }).linux?.resources).toBeUndefined();
  });

  test('rootless maps the caller alone and asks for no other id', () => {
    const { linux, mounts } = defaultSpec({ rootless: true });
    expect(linux?.uidMappings).toEqual([{ containerID: 0, hostID: process.geteuid?.(), size: 1 }]);
    expect(linux?.gidMappings).toEqual([{ containerID: 0, hostID: process.getegid?.(), size: 1 }]);
    expect(JSON.stringify(mounts)).not.toMatch(/[ug]id=/);
    expect(mounts?.at(-1)?.options).toEqual(['rbind', 'nosuid', 'noexec', 'nodev', 'ro']);
  });
});
