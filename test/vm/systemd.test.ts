/**
 * The systemd driver on real systemd, version 257 of Debian 13: the unit as `systemctl show` has it,
 * the kernel's files before and after a daemon-reload, and what is left at the end, which is nothing.
 * runtime-cli.md §6.1, §6.2, §6.4. What it says when systemd refuses or hangs:
 * test/integration/systemd.test.ts.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { descendants, isAlive } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';
import type { Patch, Spec } from '../helpers/spec.ts';

const ROOT = '/sys/fs/cgroup';
const env = { PATH: process.env['PATH']! };
const global = ['--systemd-cgroup'];

function systemctl(...args: string[]): string {
  return execFileSync('systemctl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Properties of a unit as systemd shows them. */
function shown(unit: string, ...names: string[]): Record<string, string> {
  const lines = systemctl('show', unit, ...names.map((name) => `--property=${name}`)).split('\n');
  const pairs = lines.filter(Boolean).map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

const loadState = (unit: string): string => shown(unit, 'LoadState')['LoadState']!;

const groupOf = (pid: number | string): string =>
  /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))![1]!;

/** Units of a box are in slices of its name, which are stopped at the end. */
function withSlices(title: string, body: (box: Box) => Promise<void>, timeoutMs = 120_000): void {
  check(title, { notRunc: 'systemd is asked about runcell’s units', timeoutMs }, async (box) => {
    try {
      await body(box);
    } finally {
      for (const slice of slicesOf(box)) systemctl('stop', slice);
    }
  });
}

/** Innermost last, so that stopping the first takes all. */
function slicesOf(box: Box): string[] {
  const lines = systemctl('list-units', '--plain', '--no-legend', '--type=slice', `${box.tag}*`);
  return lines
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter(Boolean)
    .sort();
}

interface Made extends Container {
  readonly unit: string;
  readonly group: string;
}

async function create(box: Box, name: string, patch?: Patch, args?: string[]): Promise<Made> {
  const bundle = box.bundle(args ?? ['sleep', '100'], inSlice(box, name, patch));
  const container = await box.create(bundle, [], { env, global });
  return { ...container, unit: `rc-${name}.scope`, group: `${ROOT}${groupOf(container.pid)}` };
}

const inSlice =
  (box: Box, name: string, more?: Patch): Patch =>
  (spec) => {
    spec.linux.cgroupsPath = `${box.tag}.slice:rc:${name}`;
    more?.(spec);
  };

async function remove(box: Box, { id, unit, group }: Made): Promise<void> {
  await box.silent(['delete', '--force', id], { env });
  expect(loadState(unit)).toBe('not-found');
  expect(existsSync(group)).toBe(false);
}

const file = (group: string, name: string): string =>
  readFileSync(`${group}/${name}`, 'latin1').trim();

const resources =
  (value: Record<string, unknown>): Patch =>
  (spec) => {
    const own = (spec.linux as Record<string, unknown>)['resources'] as object | undefined;
    (spec.linux as Record<string, unknown>)['resources'] = { ...own, ...value };
  };

describe('a scope', () => {
  withSlices('has its place, its delegation and its process', async (box) => {
    const made = await create(box, 'place');
    expect(made.group).toBe(`${ROOT}/${box.tag}.slice/rc-place.scope`);
    const names = ['Description', 'Slice', 'Delegate', 'ControlGroup', 'ActiveState'] as const;
    expect(shown(made.unit, ...names, 'DefaultDependencies', 'Transient')).toEqual({
      Description: 'libcontainer container place',
      Slice: `${box.tag}.slice`,
      Delegate: 'yes',
      ControlGroup: `/${box.tag}.slice/rc-place.scope`,
      ActiveState: 'active',
      DefaultDependencies: 'no',
      Transient: 'yes',
    });
    expect(file(made.group, 'cgroup.procs')).toBe(String(made.pid));
    await remove(box, made);
  });

  withSlices('of nested slices is in the innermost', async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `${box.tag}-a-b.slice:rc:nested`;
    });
    const { id, pid } = await box.create(bundle, [], { env, global });
    const slices = `${box.tag}.slice/${box.tag}-a.slice/${box.tag}-a-b.slice`;
    expect(groupOf(pid)).toBe(`/${slices}/rc-nested.scope`);
    await box.silent(['delete', '--force', id], { env });
    expect(loadState('rc-nested.scope')).toBe('not-found');
  });

  withSlices('without a path is one of system.slice, and a plus is written for it', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = `${box.id()}+x`;
    const { pid } = await box.create(bundle, [], { env, global, id });
    expect(groupOf(pid)).toBe(`/system.slice/runcell-${id.replace('+', '\\x2b')}.scope`);
    await box.silent(['delete', '--force', id], { env });
  });

  withSlices('whose name looks like a file of the group above is found', async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `${box.tag}.slice:memory.${box.tag}:x`;
    });
    const { id, pid } = await box.create(bundle, [], { env, global });
    expect(groupOf(pid)).toBe(`/${box.tag}.slice/_memory.${box.tag}-x.scope`);
    await box.silent(['delete', '--force', id], { env });
  });

  withSlices('is gone when its run has ended', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'cat /proc/self/cgroup; exit 3'], inSlice(box, 'run'));
    const outcome = await box.run(bundle, [], { env, global });
    expect(outcome).toMatchObject({ status: 3, stderr: '' });
    expect(loadState('rc-run.scope')).toBe('not-found');
  });

  withSlices('that has stopped by itself is deleted as well', async (box) => {
    const made = await create(box, 'stopped', undefined, ['true']);
    await box.silent(['start', made.id], { env });
    await eventually('init has ended', () => !isAlive(made.pid));
    await box.silent(['delete', made.id], { env });
    expect(loadState(made.unit)).toBe('not-found');
  });

  withSlices('has the processes of exec', async (box) => {
    const made = await create(box, 'exec');
    await box.silent(['start', made.id], { env });
    const exec = await box.verb(
      ['exec', '--detach', '--pid-file', box.path('p'), made.id, 'sleep', '9'],
      { env, detached: true },
    );
    expect(exec.status).toBe(0);
    expect(groupOf(readFileSync(box.path('p'), 'utf8'))).toBe(`/${box.tag}.slice/rc-exec.scope`);
    await remove(box, made);
  });
});

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

describe('a unit in the way', () => {
  withSlices('that failed is reset', async (box) => {
    const unit = 'rc-failed.scope';
    // Its time is over after a second, which is a failure that systemd remembers.
    spawnSync('systemd-run', [
      ...['--scope', '--quiet', `--unit=${unit}`, `--slice=${box.tag}.slice`],
      ...['--property=RuntimeMaxSec=1s', 'sleep', '100'],
    ]);
    await eventually(
      'it failed',
      () => shown(unit, 'ActiveState')['ActiveState'] === 'failed',
      20_000,
    );
    const made = await create(box, 'failed');
    expect(shown(unit, 'ActiveState')).toEqual({ ActiveState: 'active' });
    await remove(box, made);
  });

  withSlices('that runs is a conflict, and goes on', async (box) => {
    const made = await create(box, 'twice');
    const again = await box.run(box.bundle(['true'], inSlice(box, 'twice')), [], { env, global });
    expect(refusal(again)).toContain("container's cgroup is not empty");
    expect(isAlive(made.pid)).toBe(true);
    expect(shown(made.unit, 'ActiveState')).toEqual({ ActiveState: 'active' });
    await remove(box, made);
  });
});

describe('the group of a container', () => {
  const delegated: Patch = (spec) => {
    const linux = spec.linux as unknown as { namespaces: { type: string }[] };
    linux.namespaces.push({ type: 'cgroup' }, { type: 'user' });
    Object.assign(spec.linux, {
      uidMappings: [{ containerID: 0, hostID: 100_000, size: 1000 }],
      gidMappings: [{ containerID: 0, hostID: 100_000, size: 1000 }],
    });
    spec.mounts.push({
      ...{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup' },
      options: ['nosuid', 'noexec', 'nodev'],
    });
  };

  withSlices('belongs to its root where it can be written', async (box) => {
    const made = await create(box, 'owned', delegated);
    const owner = (name: string) => statSync(`${made.group}/${name}`).uid;
    for (const name of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads']) {
      expect([name, owner(name)]).toEqual([name, 100_000]);
    }
    expect(owner('memory.max')).toBe(0);
    await box.silent(['start', made.id], { env });
    const mkdir = await box.verb(['exec', made.id, 'mkdir', '/sys/fs/cgroup/own'], { env });
    expect(mkdir).toMatchObject({ status: 0, stderr: '' });
    await remove(box, made);
  });

  withSlices('stays root’s where it is mounted read-only', async (box) => {
    const made = await create(box, 'rootly', (spec) => {
      delegated(spec);
      spec.mounts.at(-1)!.options!.push('ro');
    });
    expect(statSync(made.group).uid).toBe(0);
    await remove(box, made);
  });
});

describe('the manager of a user', () => {
  const user = ['setpriv', '--reuid', '1000', '--regid', '1000', '--clear-groups'];
  const session = { PATH: env.PATH, XDG_RUNTIME_DIR: '/run/user/1000' };
  const slice = '/user.slice/user-1000.slice/user@1000.service/user.slice';

  /** What an engine without root does: ids of its own, and in them a namespace for the container. */
  const patch: Patch = (spec) => {
    const own = [{ containerID: 0, hostID: 0, size: 1 }];
    const kinds = ['user', 'mount', 'pid', 'ipc', 'uts', 'cgroup'];
    Object.assign(spec.linux, {
      ...{ uidMappings: own, gidMappings: own },
      namespaces: kinds.map((type) => ({ type })),
      resources: { pids: { limit: 20 }, memory: { limit: 64 << 20 } },
    });
    spec.mounts = [{ destination: '/proc', type: 'proc', source: 'proc' }];
  };

  /** The state root has to be below directories of the user's: /run is one here, the bus stays. */
  const script = (bundle: string, id: string): string => `
    set -eu
    mkdir xdg && mount --bind /run/user/1000 xdg && mount -t tmpfs t /run
    export XDG_RUNTIME_DIR=$PWD/xdg
    runcell() { ${runtime.path} --root /run/rc "$@" 2>>errors; }
    show() { systemctl --user show runcell-${id}.scope "$@"; }
    runcell --systemd-cgroup create --bundle ${bundle} --pid-file pid ${id}
    cat /proc/$(cat pid)/cgroup
    show -p TasksMax -p MemoryMax -p ActiveState
    runcell start ${id}
    runcell exec --detach --pid-file exec ${id} sleep 50
    cat /proc/$(cat exec)/cgroup
    runcell update --pids-limit 30 ${id}
    cat /sys/fs/cgroup${slice}/runcell-${id}.scope/pids.max
    runcell pause ${id}
    runcell resume ${id}
    runcell delete --force ${id}
    show -p LoadState`;

  check(
    'has the scopes of its user, from create to delete',
    { timeoutMs: 240_000 },
    async (box) => {
      systemctl('start', 'user@1000.service');
      await eventually('the user has a bus', () => existsSync('/run/user/1000/bus'), 30_000);
      try {
        const bundle = box.bundle(['sleep', '100'], patch);
        const id = box.id();
        await box.command('chown', ['-R', '1000:1000', box.dir]);
        const words = [...user.slice(1), 'unshare', '-Um', '--map-auto', '--map-root-user'];
        const args = [...words, 'sh', '-c', script(bundle.dir, id)];
        const outcome = await box.command('setpriv', args, { env: session, timeoutMs: 200_000 });
        const group = `0::${slice}/runcell-${id}.scope`;
        const limits = ['MemoryMax=67108864', 'TasksMax=20', 'ActiveState=active'];
        expect(outcome).toMatchObject({ status: 0, stderr: '' });
        const lines = outcome.stdout.trim().split('\n');
        expect(lines[0]).toBe(group);
        expect(lines.slice(1, 4).sort()).toEqual(limits.sort());
        expect(lines.slice(4)).toEqual([group, '30', 'LoadState=not-found']);
      } finally {
        systemctl('stop', 'user@1000.service', 'user-runtime-dir@1000.service');
      }
    },
  );
});

describe('placement', () => {
  withSlices('no process of the container is ever outside its scope', async (box) => {
    const own = readlinkSync('/proc/self/ns/pid');
    let looked = 0;
    const strays: string[] = [];
    for (let round = 0; round < 3; round++) {
      const bundle = box.bundle(['sleep', '100'], inSlice(box, 'watched'));
      const id = box.id();
      let over = false;
      const created = box
        .verb(['create', '--bundle', bundle.dir, id], { env, global, detached: true })
        .finally(() => {
          over = true;
        });
      while (!over) {
        for (const pid of containerProcesses(own)) {
          looked++;
          const group = groupIfThere(pid);
          if (group !== undefined && !group.endsWith('/rc-watched.scope')) strays.push(group);
        }
        await new Promise((done) => setImmediate(done));
      }
      expect((await created).status).toBe(0);
      await box.silent(['delete', '--force', id], { env });
    }
    expect(strays).toEqual([]);
    expect(looked).toBeGreaterThan(0);
  });
});

/** Descendants of ours in another pid namespace. */
function containerProcesses(ownNamespace: string): number[] {
  return descendants(process.pid)
    .map(({ pid }) => pid)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) !== ownNamespace;
      } catch {
        return false;
      }
    });
}

function groupIfThere(pid: number): string | undefined {
  try {
    return groupOf(pid);
  } catch {
    return undefined;
  }
}

describe('a create that is killed', () => {
  withSlices(
    'at any moment leaves no unit after delete --force',
    async (box) => {
      const bundle = box.bundle(['sleep', '1000'], inSlice(box, 'killed'));
      for (let round = 0; round < 10; round++) {
        const id = box.id();
        const begun = await box.verb(['create', '--bundle', bundle.dir, id], {
          ...{ env, global, detached: true },
          onSpawn: (child) => setTimeout(() => child.kill('SIGKILL'), Math.random() * 1500),
        });
        expect([0, null]).toContain(begun.status);
        const deleted = await box.verb(['delete', '--force', id], { env });
        expect(deleted).toMatchObject({ status: 0, stdout: '', stderr: '' });
        expect(loadState('rc-killed.scope')).toBe('not-found');
      }
      const slice = `${ROOT}/${box.tag}.slice`;
      if (existsSync(slice)) {
        const groups = readdirSync(slice, { withFileTypes: true });
        expect(groups.filter((entry) => entry.isDirectory())).toEqual([]);
      }
    },
    300_000,
  );
});
