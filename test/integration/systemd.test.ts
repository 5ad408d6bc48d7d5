/**
 * The systemd driver against a systemd that is not one (test/helpers/fake-systemd.py): what it is
 * asked, and what becomes of a container when it refuses, fails, is silent or is not there.
 * runtime-cli.md §6.1, §6.2; security.md CVE-2024-3154. Real systemd: test/vm/systemd.test.ts.
 */

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect } from 'vitest';
import { Systemd } from '../../src/libcontainer/cgroups/systemd-bus.ts';
import { type Box, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { type FakeOptions, type FakeSystemd, withFakeSystemd } from '../helpers/fake-systemd.ts';
import { cgroup2Root } from '../helpers/proc.ts';
import type { Patch } from '../helpers/spec.ts';

const need = {
  cgroup2: true,
  tool: 'dbus-daemon',
  path: '/usr/lib/python3/dist-packages/dbus/__init__.py',
  notRunc: 'looks for the running systemd before it looks at the bus',
  notVm: 'the real systemd is there',
} as const;

const global = ['--systemd-cgroup'];

const groupOf = (pid: number): string =>
  /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))![1]!;

/** A test with a systemd; its units are in a slice of the box's name. */
function withSystemd(
  title: string,
  body: (box: Box, systemd: FakeSystemd) => Promise<void>,
  options: FakeOptions = {},
): void {
  check(title, need, (box) => withFakeSystemd(box, options, (systemd) => body(box, systemd)));
}

const inSlice =
  (box: Box, name: string, more?: Patch): Patch =>
  (spec) => {
    spec.linux.cgroupsPath = `${box.tag}.slice:rc:${name}`;
    more?.(spec);
  };

async function create(
  box: Box,
  { env }: FakeSystemd,
  patch: Patch,
  args = ['sleep', '100'],
): Promise<Container> {
  return box.create(box.bundle(args, patch), [], { env, global });
}

/** A create that is refused, and nothing of it is left: box.close looks. */
async function refused(box: Box, { env }: FakeSystemd, patch: Patch): Promise<string> {
  const bundle = box.bundle(['true'], patch);
  const outcome = await box.verb(['create', '--bundle', bundle.dir, box.id()], { env, global });
  return refusal(outcome);
}

describe('a scope of systemd', () => {
  withSystemd('is started with the stage, and init is born in it', async (box, systemd) => {
    const { pid, id } = await create(box, systemd, inSlice(box, 'one'));
    expect(groupOf(pid)).toBe(`/${box.tag}.slice/rc-one.scope`);
    const [name, mode, , aux] = systemd.calls('StartTransientUnit')[0]!;
    expect([name, mode, aux]).toEqual(['rc-one.scope', 'replace', []]);
    const { PIDs, ...properties } = systemd.properties();
    expect(properties).toMatchObject({
      Description: 'libcontainer container one',
      Slice: `${box.tag}.slice`,
      Delegate: true,
      MemoryAccounting: true,
      CPUAccounting: true,
      IOAccounting: true,
      TasksAccounting: true,
      DefaultDependencies: false,
    });
    expect(PIDs).toHaveLength(1);
    expect(PIDs).not.toEqual([pid]);
    const state = JSON.parse(readFileSync(`${box.root}/states/${id}/state.json`, 'utf8'));
    expect(state).toMatchObject({ systemd_cgroup: true, systemd_unit: 'rc-one.scope' });
    await box.silent(['delete', '--force', id], { env: systemd.env });
    expect(systemd.calls('StopUnit')).toEqual([['rc-one.scope', 'replace']]);
    expect(existsSync(`${cgroup2Root()}/${box.tag}.slice`)).toBe(false);
  });

  withSystemd('of nested slices is below all of them', async (box, systemd) => {
    const container = await create(box, systemd, (spec) => {
      spec.linux.cgroupsPath = `${box.tag}-a-b.slice:p:n`;
    });
    const slices = [`${box.tag}.slice`, `${box.tag}-a.slice`, `${box.tag}-a-b.slice`];
    expect(groupOf(container.pid)).toBe(`/${slices.join('/')}/p-n.scope`);
    await box.silent(['delete', '--force', container.id], { env: systemd.env });
  });

  withSystemd('is the default one where no path is given', async (box, systemd) => {
    const { id, pid } = await create(box, systemd, () => {});
    expect(groupOf(pid)).toBe(`/system.slice/runcell-${id}.scope`);
    await box.silent(['delete', '--force', id], { env: systemd.env });
  });

  withSystemd(
    'is below the group of the manager',
    async (box, systemd) => {
      const { id, pid } = await create(box, systemd, inSlice(box, 'sub'));
      expect(groupOf(pid)).toBe(`/${box.tag}m/${box.tag}.slice/rc-sub.scope`);
      await box.silent(['delete', '--force', id], { env: systemd.env });
    },
    { nested: true },
  );

  withSystemd('is stopped when a foreground run ends', async (box, systemd) => {
    const bundle = box.bundle(['sh', '-c', 'exit 7'], inSlice(box, 'run'));
    const outcome = await box.run(bundle, [], { env: systemd.env, global });
    expect(outcome).toMatchObject({ status: 7, stderr: '' });
    expect(systemd.calls('StopUnit')).toEqual([['rc-run.scope', 'replace']]);
  });

  withSystemd('has the processes of exec', async (box, systemd) => {
    const { env } = systemd;
    const container = await create(box, systemd, inSlice(box, 'exec'));
    await box.silent(['start', container.id]);
    const outcome = await box.verb(['exec', container.id, 'cat', '/proc/self/cgroup']);
    expect(outcome.stdout).toMatch(new RegExp(`^0::(/|/${box.tag}.slice/rc-exec.scope)$`, 'm'));
    await box.silent(['delete', '--force', container.id], { env });
  });
});

describe('a unit in the way', () => {
  withSystemd('that failed earlier is reset, once', async (box, systemd) => {
    const { id } = await create(box, systemd, inSlice(box, 'once'));
    expect(systemd.calls('ResetFailedUnit')).toEqual([['rc-once.scope']]);
    expect(systemd.calls('StartTransientUnit')).toHaveLength(2);
    await box.silent(['delete', '--force', id], { env: systemd.env });
  });

  withSystemd('that runs is a conflict', async (box, systemd) => {
    const { id } = await create(box, systemd, inSlice(box, 'same'));
    expect(await refused(box, systemd, inSlice(box, 'same'))).toContain(
      "container's cgroup is not empty: 1 process(es) found",
    );
    expect(systemd.calls('StartTransientUnit')).toHaveLength(1);
    await box.silent(['delete', '--force', id], { env: systemd.env });
  });

  withSystemd('that fails at its stop is forgotten', async (box, systemd) => {
    const { id } = await create(box, systemd, inSlice(box, 'lingering'));
    await box.silent(['delete', '--force', id], { env: systemd.env });
    expect(systemd.calls('ResetFailedUnit')).toEqual([['rc-lingering.scope']]);
  });
});

describe('systemd that does not do it', () => {
  withSystemd('by refusing the unit', async (box, systemd) => {
    expect(await refused(box, systemd, inSlice(box, 'refused'))).toContain(
      'StartTransientUnit rc-refused.scope: systemd says: Cannot set property Bogus',
    );
  });

  withSystemd('by failing the job, which undoes the create', async (box, systemd) => {
    expect(await refused(box, systemd, inSlice(box, 'failing'))).toContain(
      "start the unit rc-failing.scope: systemd's job ended as failed",
    );
    expect(systemd.calls('ResetFailedUnit').length).toBeGreaterThan(0);
  });

  withSystemd('by putting it somewhere else', async (box, systemd) => {
    expect(await refused(box, systemd, inSlice(box, 'elsewhere'))).toContain(
      `systemd put it at /elsewhere.scope, not at /${box.tag}.slice/rc-elsewhere.scope`,
    );
  });

  withSystemd('by silence has a deadline for calls and for jobs', async (_box, systemd) => {
    const place = { user: false, address: systemd.address };
    using bus = new Systemd(place, 300);
    const begun = performance.now();
    expect(() => bus.startScope('rc-stuck.scope', [])).toThrow('no answer in time from systemd');
    expect(() => bus.startScope('rc-silent.scope', [])).toThrow('did not start it within 0.3 s');
    bus.stop('rc-silent.scope');
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  withSystemd(
    'by not being on the bus',
    async (box, systemd) => {
      expect(await refused(box, systemd, inSlice(box, 'x'))).toContain('is systemd');
    },
    { deserted: true },
  );

  check('because there is no bus', need, async (box) => {
    const env = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${box.path('none')}` };
    const outcome = await box.run(box.bundle(['true']), [], { env, global });
    expect(refusal(outcome)).toContain(
      'no such file or directory (ENOENT) - is systemd running here?',
    );
  });

  check('because the bus takes the connection and says nothing', need, async (box) => {
    const server = createServer(() => {});
    const path = box.path('mute');
    await new Promise<void>((done) => server.listen(path, done));
    const place = { user: false, address: `unix:path=${path}` };
    const begun = performance.now();
    expect(() => new Systemd(place, 300)).toThrow('no answer from the bus in time');
    expect(performance.now() - begun).toBeLessThan(3000);
    await new Promise((done) => server.close(done));
  });

  check('because the bus is a program to run', need, async (box) => {
    const env = { DBUS_SYSTEM_BUS_ADDRESS: `unixexec:path=/bin/touch,argv1=${box.path('ran')}` };
    const outcome = await box.run(box.bundle(['true']), [], { env, global });
    expect(refusal(outcome)).toContain('only unix: addresses are taken');
    expect(existsSync(box.path('ran'))).toBe(false);
  });
});

describe('a name that is none', () => {
  for (const [path, reason] of [
    ['/abs/path', 'expected cgroupsPath to be of format "slice:prefix:name"'],
    ['a.slice:b', 'expected cgroupsPath to be of format "slice:prefix:name"'],
    ['a.slice:b:c:d', 'expected cgroupsPath to be of format "slice:prefix:name"'],
    ['a--b.slice:p:n', 'invalid slice name: a--b.slice'],
    ['-a.slice:p:n', 'invalid slice name: -a.slice'],
    ['a/b.slice:p:n', 'invalid slice name: a/b.slice'],
    ['a/../b.slice:p:n', 'must not contain ..'],
    ['a.slice:p:../n', 'is no name of a unit'],
    ['a.slice:p:b.slice', 'is a slice, and systemd puts processes into scopes only'],
  ] as const) {
    withSystemd(`${path} is refused before systemd is asked`, async (box, systemd) => {
      const line = await refused(box, systemd, (spec) => {
        spec.linux.cgroupsPath = path;
      });
      expect(line).toContain(reason);
      expect(systemd.calls('StartTransientUnit')).toEqual([]);
    });
  }
});

describe('limits', () => {
  const limits =
    (resources: object): Patch =>
    (spec) => {
      Object.assign(spec.linux, { resources });
    };

  withSystemd('of a controller that no host has are refused before', async (box, systemd) => {
    const patch = limits({ unified: { 'nothing.max': '1' } });
    const line = await refused(box, systemd, inSlice(box, 'limited', patch));
    expect(line).toContain('controller "nothing" is not');
    expect(systemd.calls('StartTransientUnit')).toEqual([]);
  });

  withSystemd('that systemd has no words for are a matter of the files', async (box, systemd) => {
    const { id } = await create(box, systemd, inSlice(box, 'updated'));
    const { env } = systemd;
    const input = JSON.stringify({ unified: { 'cgroup.max.depth': '3' } });
    await box.silent(['update', '--resources', '-', id], { env, input });
    expect(systemd.calls('SetUnitProperties')).toEqual([]);
    await box.silent(['delete', '--force', id], { env });
  });
});

describe('devices', () => {
  withSystemd('are at least those of the filter', async (box, systemd) => {
    const { id } = await create(box, systemd, inSlice(box, 'devices'));
    const { DevicePolicy, DeviceAllow } = systemd.properties();
    expect(DevicePolicy).toBe('strict');
    expect(DeviceAllow).toContainEqual(['/dev/char/1:3', 'rwm']);
    await box.silent(['delete', '--force', id], { env: systemd.env });
  });
});

describe('annotations', () => {
  withSystemd('are properties of the scope', async (box, systemd) => {
    const patch = inSlice(box, 'annotated', (spec) => {
      spec['annotations'] = {
        'org.systemd.property.TimeoutStopSec': 'uint64 5',
        'org.systemd.property.CollectMode': "'inactive-or-failed'",
        'org.systemd.property.After': "['crio.service']",
        'org.systemd.property.DefaultDependencies': 'true',
        'io.other': 'x',
      };
    });
    const { id } = await create(box, systemd, patch);
    expect(systemd.properties()).toMatchObject({
      TimeoutStopUSec: 5_000_000,
      CollectMode: 'inactive-or-failed',
      After: ['crio.service'],
      DefaultDependencies: true,
    });
    await box.silent(['delete', '--force', id], { env: systemd.env });
  });

  withSystemd('that would run a program are refused by name', async (box, systemd) => {
    const key = 'org.systemd.property.ExecStartPre';
    const patch = inSlice(box, 'evil', (spec) => {
      spec['annotations'] = { [key]: "[('/bin/sh', ['sh', '-c', 'id'], false)]" };
    });
    expect(await refused(box, systemd, patch)).toContain(`annotations["${key}"] ExecStartPre:`);
    expect(systemd.calls('StartTransientUnit')).toEqual([]);
  });
});

describe('delete', () => {
  withSystemd('says when systemd is gone, and --force goes on without', async (box, systemd) => {
    const { id, pid } = await create(box, systemd, inSlice(box, 'orphan'));
    const env = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${box.path('none')}` };
    const refusedOutcome = await box.verb(['delete', id], { env });
    expect(refusal(refusedOutcome)).toContain('connect to the bus of systemd');
    const outcome = await box.verb(['delete', '--force', id], { env });
    expect(outcome.status).toBe(0);
    expect(outcome.stderr).toContain('connect to the bus of systemd');
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    // Its slice is systemd's, which learns nothing of all this.
    expect(existsSync(`${cgroup2Root()}/${box.tag}.slice/rc-orphan.scope`)).toBe(false);
    await box.command('rmdir', [`${cgroup2Root()}/${box.tag}.slice`]);
  });

  withSystemd('--force stops the unit of a container whose state is lost', async (box, systemd) => {
    const { id, pid } = await create(box, systemd, inSlice(box, 'lost'));
    await box.command('sh', ['-c', `echo '{' > ${box.root}/states/${id}/state.json`]);
    await box.silent(['delete', '--force', id], { env: systemd.env });
    expect(systemd.calls('StopUnit')).toEqual([['rc-lost.scope', 'replace']]);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});

describe('a create that is killed', () => {
  const patient = { ...need, timeoutMs: 240_000 };

  check('at any moment leaves nothing after delete --force', patient, (box) =>
    withFakeSystemd(box, {}, async ({ env }) => {
      const bundle = box.bundle(['sleep', '1000'], inSlice(box, 'killed'));
      for (let round = 0; round < 30; round++) {
        const id = box.id();
        await box.verb(['create', '--bundle', bundle.dir, id], {
          ...{ env, global, detached: true },
          onSpawn: (child) => setTimeout(() => child.kill('SIGKILL'), 20 + Math.random() * 80),
        });
        const deleted = await box.verb(['delete', '--force', id], { env });
        expect(deleted).toMatchObject({ status: 0, stdout: '', stderr: '' });
        const group = `${cgroup2Root()}/${box.tag}.slice/rc-killed.scope`;
        await eventually('the group is gone', () => !existsSync(group));
      }
    }),
  );
});

describe('no group at all', () => {
  const disabled = ['--cgroup-manager', 'disabled'];
  const own = { notRunc: "is crun's flag" } as const;

  check('leaves the container in the group of the caller', own, async (box) => {
    // A device filter is a group's too: the log says that there is none.
    const log = box.path('log');
    const global = [...disabled, '--log', log];
    const bundle = box.bundle(['sleep', '100']);
    const container = await box.create(bundle, [], { global });
    expect(readFileSync(log, 'utf8')).toMatch(/warning.*linux\.resources\.devices: not enforced/);
    expect(groupOf(container.pid)).toBe(groupOf(process.pid));
    await box.silent(['start', container.id]);
    expect((await box.verb(['exec', container.id, 'true'])).status).toBe(0);
    await box.silent(['delete', '--force', container.id]);
    expect(await box.run(box.bundle(['true']), [], { global })).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  check('goes with no limit and no path', own, async (box) => {
    const refusedWith = async (patch: Patch) =>
      refusal(await box.run(box.bundle(['true'], patch), [], { global: disabled }));
    const path = await refusedWith((spec) => {
      spec.linux.cgroupsPath = '/x';
    });
    expect(path).toContain('linux.cgroupsPath /x: needs a cgroup');
  });
});
