/**
 * The life of one container, verb by verb, as an engine lives it: runtime-cli.md §0 (the
 * invariants), §3.1, §4.1 and §7; runtime-spec 1.3 runtime.md#lifecycle.
 */

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive, procStat } from '../helpers/proc.ts';
import { exitOf } from '../helpers/reaper.ts';
import { isRuncell } from '../helpers/runtime.ts';

describe('lifecycle', () => {
  check('create, start, kill, delete are silent and change the status', async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    expect(await box.status(container.id)).toBe('created');
    await box.silent(['start', container.id]);
    expect(await box.status(container.id)).toBe('running');
    await box.silent(['kill', container.id, 'KILL']);
    await box.until(container.id, 'stopped');
    await box.silent(['delete', container.id]);
    expect((await box.verb(['state', container.id])).status).toBe(1);
    expect(existsSync(box.stateDir(container.id))).toBe(false);
  });

  check('the user program runs at start, not at create', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'echo started; sleep 100']);
    const container = await box.create(bundle);
    expect(container.out()).toBe('');
    await box.silent(['start', container.id]);
    await eventually('the program printed', () => container.out() === 'started\n');
  });

  check('init is re-parented to the subreaper, which learns its exit status', async (box) => {
    const container = await box.create(box.bundle(['sh', '-c', 'exit 7']));
    expect(procStat(container.pid)?.ppid).toBe(process.pid);
    await box.silent(['start', container.id]);
    expect(await exitOf(container.pid)).toEqual({ exited: 7 });
  });

  check('a created container waits with its final namespaces and cgroup', async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const before = namespaces(container.pid);
    const cgroup = readFileSync(`/proc/${container.pid}/cgroup`, 'utf8');
    await box.silent(['start', container.id]);
    await eventually('exec', () => procStat(container.pid)?.comm === 'sleep');
    expect(namespaces(container.pid)).toEqual(before);
    expect(readFileSync(`/proc/${container.pid}/cgroup`, 'utf8')).toBe(cgroup);
  });

  check('a created container ends on TERM', async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    await box.silent(['kill', container.id]);
    await eventually('init ended', () => !isAlive(container.pid));
    expect(await box.status(container.id)).toBe('stopped');
  });

  check('delete kills a created container', async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    await box.silent(['delete', container.id]);
    expect(isAlive(container.pid)).toBe(false);
  });

  check('delete --force ends a running container', async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    await box.silent(['delete', '--force', container.id]);
    expect(isAlive(container.pid)).toBe(false);
  });

  check('delete -f of an id that never was is silent', async (box) => {
    await box.silent(['delete', '-f', 'never-was']);
  });

  check('a container whose program ended is stopped, its pid 0', async (box) => {
    const container = await box.start(box.bundle(['true']));
    await box.until(container.id, 'stopped');
    expect((await box.state(container.id))['pid'] ?? 0).toBe(0);
  });

  check('kill takes a name, a name without SIG, any case, a number', async (box) => {
    for (const signal of ['KILL', 'sigkill', 'SIGKILL', '9']) {
      const container = await box.start(box.bundle(['sleep', '100']));
      await box.silent(['kill', container.id, signal]);
      expect(await exitOf(container.pid)).toEqual({ signalled: 9 });
      await box.silent(['delete', container.id]);
    }
  });

  check('kill sends TERM by default and the program may handle it', async (box) => {
    const script = 'trap "exit 33" TERM; echo ready; while :; do sleep 0.01; done';
    const container = await box.start(box.bundle(['sh', '-c', script]));
    await eventually('ready', () => container.out() === 'ready\n');
    await box.silent(['kill', container.id]);
    expect(await exitOf(container.pid)).toEqual({ exited: 33 });
  });

  check('kill of an unknown signal names it', async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const outcome = await box.verb(['kill', container.id, 'NOPE']);
    expect(refusal(outcome)).toMatch(/unknown signal "NOPE"/);
  });

  check('kill --all is accepted for running and stopped containers', async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    await box.silent(['kill', '--all', container.id, '9']);
    await box.until(container.id, 'stopped');
    await box.silent(['kill', '--all', container.id, '9']);
  });

  check(
    'kill KILL without a private pid namespace ends every process of the group',
    async (box) => {
      const bundle = box.bundle(['sh', '-c', 'sleep 100 & echo $!; sleep 200'], (spec) => {
        spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
      });
      const container = await box.start(bundle);
      await eventually('the child is there', () => container.out() !== '');
      const child = Number(container.out());
      expect(isAlive(child)).toBe(true);
      await box.silent(['kill', '--all', container.id, 'KILL']);
      await eventually('both ended', () => !isAlive(container.pid) && !isAlive(child));
    },
  );

  check('delete removes what init left behind in a shared pid namespace', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'sleep 100 & echo $!'], (spec) => {
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
    });
    const container = await box.start(bundle);
    await box.until(container.id, 'stopped');
    const child = Number(container.out());
    // runc retries the removal aloud while the killed child is still exiting.
    const { status, stderr } = await box.verb(['delete', container.id]);
    expect({ status, stderr: isRuncell ? stderr : '' }).toEqual({ status: 0, stderr: '' });
    await eventually('the child ended', () => !isAlive(child), 500);
  });

  check('the bundle and the rootfs stay as they were', async (box) => {
    const bundle = box.bundle(['true']);
    const config = readFileSync(`${bundle.dir}/config.json`);
    const inode = statSync(bundle.rootfs).ino;
    const container = await box.start(bundle);
    await box.until(container.id, 'stopped');
    await box.silent(['delete', container.id]);
    expect(readFileSync(`${bundle.dir}/config.json`)).toEqual(config);
    expect(statSync(bundle.rootfs).ino).toBe(inode);
    expect(existsSync(`${bundle.rootfs}/bin/busybox`)).toBe(true);
  });

  check('one bundle serves many containers and an id serves again', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const first = await box.start(bundle);
    const second = await box.start(bundle);
    expect(second.pid).not.toBe(first.pid);
    await box.silent(['delete', '--force', first.id]);
    const third = await box.create(bundle, [], { id: first.id });
    expect(await box.status(third.id)).toBe('created');
    expect(await box.status(second.id)).toBe('running');
  });
});

describe('create', () => {
  check('refuses an id in use in every state', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const { id, pid } = await box.create(bundle);
    const again = async () => {
      const outcome = await box.verb(['create', '--bundle', bundle.dir, id]);
      expect(refusal(outcome)).toContain('container with given ID already exists');
    };
    await again();
    await box.silent(['start', id]);
    await again();
    process.kill(pid, 'SIGKILL');
    await box.until(id, 'stopped');
    await again();
  });

  check('takes the bundle from the current directory', async (box) => {
    const bundle = box.bundle(['true']);
    const id = box.id();
    await box.silent(['create', id], { cwd: bundle.dir, detached: true });
    expect((await box.state(id))['bundle']).toBe(bundle.dir);
  });

  check('takes a relative --bundle and a relative --pid-file', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    const name = bundle.dir.slice(bundle.dir.lastIndexOf('/') + 1);
    const args = ['create', '--bundle', name, '--pid-file', 'here.pid', id];
    await box.silent(args, { detached: true });
    const { pid, bundle: recorded } = await box.state(id);
    expect(readFileSync(box.path('here.pid'), 'latin1')).toBe(String(pid));
    expect(recorded).toBe(bundle.dir);
  });

  check('later edits of config.json have no effect on the container', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'hostname']);
    const container = await box.create(bundle);
    box.rewrite(bundle, (spec) => {
      spec.process.args = ['false'];
      spec.hostname = 'changed';
    });
    await box.silent(['start', container.id]);
    await eventually('printed', () => container.out() === 'testcell\n');
  });
});

describe('pid file', () => {
  check('holds digits without a newline and replaces an existing file', async (box) => {
    const file = box.path('init.pid');
    for (const previous of ['', 'something else entirely, and longer than any pid\n']) {
      writeFileSync(file, previous);
      const id = box.id();
      const { dir } = box.bundle(['sleep', '100']);
      await box.silent(['create', '--bundle', dir, '--pid-file', file, id], { detached: true });
      expect(readFileSync(file, 'latin1')).toMatch(/^[0-9]+$/);
      expect(Number(readFileSync(file, 'latin1'))).toBe((await box.state(id))['pid']);
    }
  });

  check('is not there when create fails', async (box) => {
    const { dir } = box.bundle(['/no/such/program']);
    const file = box.path('init.pid');
    const outcome = await box.verb(['create', '--bundle', dir, '--pid-file', file, box.id()]);
    expect(outcome.status).toBe(1);
    expect(existsSync(file)).toBe(false);
  });

  check('in a directory that does not exist fails create and leaves no container', async (box) => {
    const { dir } = box.bundle(['sleep', '100']);
    const id = box.id();
    const args = ['create', '--bundle', dir, '--pid-file', box.path('no/such/x.pid'), id];
    const outcome = await box.verb(args, { detached: true });
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/no such file or directory/i);
    expect((await box.verb(['state', id])).status).toBe(1);
  });

  for (const mode of [[], ['--detach']]) {
    const how = mode.length === 0 ? 'in the foreground' : 'detached';
    check(`run ${how}: what cannot be written leaves no container`, async (box) => {
      const { dir } = box.bundle(['sleep', '1000']);
      const id = box.id();
      const file = box.path('no/such/x.pid');
      const args = ['run', ...mode, '--bundle', dir, '--pid-file', file, id];
      const { status, stderr } = await box.verb(args, { detached: true });
      expect(status).toBe(1);
      expect(stderr).toContain('no such file or directory');
      expect((await box.verb(['state', id])).status).toBe(1);
    });

    check(`exec ${how}: what cannot be written leaves no process`, async (box) => {
      const container = await box.start(box.bundle(['sleep', '1000']));
      const file = box.path('no/such/x.pid');
      const args = ['exec', ...mode, '--pid-file', file, container.id, 'sleep', '998'];
      const { status, stderr } = await box.verb(args, { detached: true });
      expect(status).toBe(255);
      expect(stderr).toContain('no such file or directory');
      const running = async () => (await box.exec(container, ['ps'])).includes('sleep 998');
      await eventually('no process', async () => !(await running()));
    });
  }
});

function namespaces(pid: number): string {
  return ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts']
    .map((kind) => statSync(`/proc/${pid}/ns/${kind}`).ino)
    .join(' ');
}
