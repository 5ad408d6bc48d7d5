/**
 * What a container's scope has of its configuration, on real systemd, version 257 of Debian 13: limits,
 * annotations and devices as `systemctl show` has them and as the kernel's files have them, before and
 * after a daemon-reload. runtime-cli.md §6.2.
 */

import { statSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import {
  create,
  env,
  file,
  global,
  inSlice,
  loadState,
  remove,
  resources,
  shown,
  systemctl,
  withSlices,
} from '../helpers/scope.ts';
import type { Patch, Spec } from '../helpers/spec.ts';

describe('limits', () => {
  const LIMITS: Patch = resources({
    memory: { limit: 64 << 20, reservation: 16 << 20, swap: 96 << 20 },
    cpu: { shares: 2048, quota: 33_333, period: 100_000, cpus: '0', mems: '0' },
    pids: { limit: 50 },
    unified: { 'memory.high': String(48 << 20), 'cgroup.max.depth': '5' },
  });
  const FILES: Record<string, string> = {
    'memory.max': String(64 << 20),
    'memory.low': String(16 << 20),
    'memory.swap.max': String(32 << 20),
    'memory.high': String(48 << 20),
    'cpu.weight': '174',
    'cpu.max': '34000 100000',
    'cpuset.cpus': '0',
    'cpuset.mems': '0',
    'pids.max': '50',
    'cgroup.max.depth': '5',
  };
  const inForce = (group: string) =>
    Object.fromEntries(Object.keys(FILES).map((name) => [name, file(group, name)]));

  withSlices('are in the unit and in the files, also after a daemon-reload', async (box) => {
    const made = await create(box, 'limits', LIMITS);
    expect(inForce(made.group)).toEqual(FILES);
    expect(
      shown(
        made.unit,
        ...['MemoryMax', 'MemoryLow', 'MemorySwapMax', 'MemoryHigh', 'CPUWeight', 'TasksMax'],
        ...['CPUQuotaPerSecUSec', 'CPUQuotaPeriodUSec', 'AllowedCPUs', 'AllowedMemoryNodes'],
      ),
    ).toEqual({
      MemoryMax: String(64 << 20),
      MemoryLow: String(16 << 20),
      MemorySwapMax: String(32 << 20),
      MemoryHigh: String(48 << 20),
      CPUWeight: '174',
      TasksMax: '50',
      CPUQuotaPerSecUSec: '340ms',
      CPUQuotaPeriodUSec: '100ms',
      AllowedCPUs: '0',
      AllowedMemoryNodes: '0',
    });
    systemctl('daemon-reload');
    systemctl('set-property', '--runtime', `${box.tag}.slice`, 'TasksMax=1000');
    expect(inForce(made.group)).toEqual(FILES);
    await remove(box, made);
  });

  withSlices('of an update are in both, and the others stay', async (box) => {
    const made = await create(box, 'updated', LIMITS);
    await box.silent(['start', made.id], { env });
    const flags = ['--memory', '96m', '--memory-swap', '96m', '--cpu-quota', '55555'];
    await box.silent(['update', ...flags, '--pids-limit', '60', made.id], { env });
    const now = {
      ...FILES,
      ...{ 'memory.max': String(96 << 20), 'memory.swap.max': '0' },
      ...{ 'cpu.max': '56000 100000', 'pids.max': '60' },
    };
    expect(inForce(made.group)).toEqual(now);
    expect(shown(made.unit, 'MemoryMax', 'TasksMax', 'CPUQuotaPerSecUSec')).toEqual({
      MemoryMax: String(96 << 20),
      TasksMax: '60',
      CPUQuotaPerSecUSec: '560ms',
    });
    systemctl('daemon-reload');
    systemctl('set-property', '--runtime', `${box.tag}.slice`, 'TasksMax=1001');
    expect(inForce(made.group)).toEqual(now);
    await remove(box, made);
  });

  withSlices('an idle CPU is one for both', async (box) => {
    const made = await create(box, 'idle', resources({ cpu: { idle: 1 } }));
    systemctl('daemon-reload');
    expect(file(made.group, 'cpu.idle')).toBe('1');
    expect(shown(made.unit, 'CPUWeight')).toEqual({ CPUWeight: 'idle' });
    await remove(box, made);
  });

  withSlices('what the kernel does with an OOM group systemd knows', async (box) => {
    const made = await create(box, 'oom', resources({ unified: { 'memory.oom.group': '1' } }));
    expect(shown(made.unit, 'OOMPolicy')).toEqual({ OOMPolicy: 'kill' });
    expect(file(made.group, 'memory.oom.group')).toBe('1');
    await remove(box, made);
  });

  withSlices('that systemd has no words for hold', async (box) => {
    const made = await create(
      box,
      'files',
      resources({ hugepageLimits: [{ pageSize: '2MB', limit: 4 << 20 }] }),
    );
    expect(file(made.group, 'hugetlb.2MB.max')).toBe(String(4 << 20));
    systemctl('daemon-reload');
    expect(file(made.group, 'hugetlb.2MB.max')).toBe(String(4 << 20));
    await remove(box, made);
  });
});

describe('annotations', () => {
  withSlices('are what systemd shows', async (box) => {
    const made = await create(box, 'annotated', (spec) => {
      spec['annotations'] = {
        'org.systemd.property.TimeoutStopSec': '7',
        'org.systemd.property.CollectMode': "'inactive-or-failed'",
        'org.systemd.property.After': "['basic.target']",
        'org.systemd.property.KillSignal': '9',
        'org.systemd.property.Description': '\'a "name"\'',
      };
    });
    const properties = shown(
      made.unit,
      ...['TimeoutStopUSec', 'CollectMode', 'After', 'KillSignal', 'Description'],
    );
    expect(properties).toMatchObject({
      TimeoutStopUSec: '7s',
      CollectMode: 'inactive-or-failed',
      KillSignal: '9',
      Description: 'a "name"',
    });
    expect(properties['After']!.split(' ')).toContain('basic.target');
    await remove(box, made);
  });

  for (const name of ['ExecStartPre', 'Wants']) {
    withSlices(`${name} never reaches systemd`, async (box) => {
      const key = `org.systemd.property.${name}`;
      const patch = inSlice(box, 'evil', (spec) => {
        spec['annotations'] = { [key]: "'reboot.target'" };
      });
      const outcome = await box.run(box.bundle(['true'], patch), [], { env, global });
      expect(refusal(outcome)).toContain(`annotations["${key}"]`);
      expect(loadState('rc-evil.scope')).toBe('not-found');
    });
  }
});

describe('devices', () => {
  withSlices('systemd forbids none that the filter allows', async (box) => {
    // The disk of the machine: reading it takes no capability.
    const { rdev } = statSync('/dev/vda');
    const [major, minor] = [rdev >> 8, rdev & 0xff];
    const patch: Patch = (spec: Spec) => {
      const node = { path: '/dev/disk', type: 'b', major, minor, fileMode: 0o666 };
      (spec.linux as Record<string, unknown>)['devices'] = [node];
      resources({
        devices: [
          { allow: false, access: 'rwm' },
          { allow: true, type: 'b', major, minor, access: 'r' },
        ],
      })(spec);
    };
    const made = await create(box, 'devices', patch);
    await box.silent(['start', made.id], { env });
    const properties = shown(made.unit, 'DevicePolicy', 'DeviceAllow');
    expect(properties['DevicePolicy']).toBe('strict');
    expect(properties['DeviceAllow']).toContain(`/dev/block/${major}:${minor} r`);
    for (const when of ['before', 'after']) {
      const open = (how: string) =>
        box.verb(['exec', made.id, 'sh', '-c', `exec 3${how}/dev/disk`], { env });
      expect([when, (await open('<')).status]).toEqual([when, 0]);
      expect([when, (await open('>')).status]).not.toEqual([when, 0]);
      expect((await box.verb(['exec', made.id, 'sh', '-c', ': >/dev/null'], { env })).status).toBe(
        0,
      );
      systemctl('daemon-reload');
    }
    await remove(box, made);
  });
});
