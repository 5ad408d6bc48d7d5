/**
 * What later issues bring is refused by its name and never ignored; what engines send without
 * meaning a limit is accepted. Issue 2, items 3 and 4.
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import type { Spec } from '../helpers/spec.ts';

const own = { notRunc: 'runc carries it out' };

const resources = (value: Record<string, unknown>) => (spec: Spec) => {
  spec.linux.resources = { ...spec.linux.resources, ...value };
};
const linux = (value: Record<string, unknown>) => (spec: Spec) => {
  Object.assign(spec.linux, value);
};

const REFUSED: readonly [string, (spec: Spec) => void][] = [
  ['linux.resources.memory.swappiness', resources({ memory: { swappiness: 10 } })],
  ['linux.resources.cpu.realtimeRuntime', resources({ cpu: { realtimeRuntime: 950_000 } })],
  ['linux.resources.network.classID', resources({ network: { classID: 1 } })],
  ['linux.mountLabel', linux({ mountLabel: 'system_u:object_r:x_t:s0' })],
  [
    'process.apparmorProfile',
    (spec) => {
      spec.process['apparmorProfile'] = 'profile';
    },
  ],
  [
    'process.selinuxLabel',
    (spec) => {
      spec.process['selinuxLabel'] = 'system_u:system_r:x_t:s0';
    },
  ],
];

const ACCEPTED: readonly [string, (spec: Spec) => void][] = [
  [
    "docker's zeros",
    resources({
      memory: { limit: 0, reservation: 0, swap: 0, disableOOMKiller: false },
      cpu: { shares: 0, quota: 0, period: 0, cpus: '', mems: '' },
      pids: { limit: 0 },
      blockIO: { weight: 0, weightDevice: [] },
      hugepageLimits: [],
      rdma: {},
      unified: {},
    }),
  ],
  ['no limits written out', resources({ memory: { limit: -1, swap: -1 }, pids: { limit: -1 } })],
  ['empty objects', linux({ resources: {}, netDevices: {}, sysctl: {} })],
  [
    'an empty label and profile',
    (spec) => Object.assign(spec.process, { apparmorProfile: '', selinuxLabel: '' }),
  ],
];

describe('refused by name', () => {
  for (const [field, patch] of REFUSED) {
    check(`${field}`, own, async (box) => {
      const log = box.path('log');
      const global = ['--log', log, '--log-format', 'json'];
      const line = refusal(await box.run(box.bundle(['true'], patch), [], { global }));
      expect(line).toContain(field);
      const record = JSON.parse(readFileSync(log, 'utf8').trimEnd().split('\n').at(-1)!) as Record<
        string,
        string
      >;
      expect(record['code']).toBe('RC2005');
    });
  }

  check('--rootless true', own, async (box) => {
    const global = ['--rootless', 'true'];
    expect(refusal(await box.run(box.bundle(['true']), [], { global }))).toContain('rootless');
  });
});

describe('accepted', () => {
  for (const [what, patch] of ACCEPTED) {
    check(`${what}`, async (box) => {
      expect(await box.sh('echo runs', patch)).toBe('runs');
    });
  }

  for (const global of [['--rootless', 'auto'], ['--rootless=false'], ['--systemd-cgroup=false']]) {
    check(`${global.join(' ')}`, async (box) => {
      const outcome = await box.run(box.bundle(['true']), [], { global });
      expect(outcome).toMatchObject({ status: 0, stderr: '' });
    });
  }

  check('--cgroup-manager cgroupfs', { notRunc: "is crun's flag" }, async (box) => {
    const global = ['--cgroup-manager', 'cgroupfs'];
    expect(await box.run(box.bundle(['true']), [], { global })).toMatchObject({ status: 0 });
  });

  check('sections of other platforms', async (box) => {
    const out = await box.sh('echo runs', (spec) => {
      spec['annotations'] = { a: 'b' };
      spec['vm'] = { kernel: { path: '/k' } };
    });
    expect(out).toBe('runs');
  });
});
