/**
 * The systemd driver on real systemd, version 257 of Debian 13: where a container's scope is, who has
 * its group, and what is left at the end, which is nothing. runtime-cli.md §6.1, §6.4. Properties are in
 * systemd-properties.test.ts, what is said when systemd refuses or hangs in
 * test/integration/systemd.test.ts.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { descendants, isAlive } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';
import {
  create,
  env,
  file,
  global,
  groupOf,
  inSlice,
  loadState,
  ROOT,
  remove,
  shown,
  systemctl,
  withSlices,
} from '../helpers/scope.ts';
import type { Patch } from '../helpers/spec.ts';

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
