/**
 * `states/<id>/state.json`: the usage document's keys, written whole, trusted only with the start
 * time of its pid and the boot it was written in. DESIGN.md §4 and §6; issue 2, item 5.
 */

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Container } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive, namespaceOf, procStat } from '../helpers/proc.ts';
import { useUserNamespace } from '../helpers/spec.ts';

const own = { notRunc: "the file is runcell's" };

type State = Record<string, unknown>;
const path = (box: Box, { id }: Pick<Container, 'id'>) => `${box.root}/states/${id}/state.json`;
const load = (box: Box, container: Pick<Container, 'id'>) =>
  JSON.parse(readFileSync(path(box, container), 'utf8')) as State;

function change(box: Box, container: Container, fields: State): void {
  const text = JSON.stringify({ ...load(box, container), ...fields });
  writeFileSync(path(box, container), text);
}

describe('state.json', () => {
  check("has the usage document's keys and values", own, async (box) => {
    const before = Math.floor(Date.now() / 1000);
    const container = await box.start(box.bundle(['sleep', '100']));
    const state = load(box, container);
    expect(state).toMatchObject({
      id: container.id,
      init_process_pid: container.pid,
      status: 'Running',
      bundle: container.bundle.dir,
      rootfs: container.bundle.rootfs,
    });
    for (const key of ['created', 'init_process_start_time']) {
      expect(Number.isInteger(state[key]), key).toBe(true);
      expect(Math.abs((state[key] as number) - before), key).toBeLessThanOrEqual(10);
    }
    const paths = state['namespace_paths'] as Record<string, string>;
    for (const kind of ['mnt', 'pid', 'net', 'ipc', 'uts']) {
      expect(paths[kind]).toBe(`/proc/${container.pid}/ns/${kind}`);
      expect(namespaceOf(container.pid, kind)).toMatch(new RegExp(`^${kind}:`));
    }
  });

  check('keeps the ticks of the kernel and the boot beside it', own, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const state = load(box, container);
    expect(String(state['init_start_ticks'])).toBe(procStat(container.pid)?.startTicks);
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    expect(state['boot_id']).toBe(boot);
  });

  check('status follows the life', own, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    expect(load(box, container)['status']).toBe('Created');
    await box.silent(['start', container.id]);
    expect(load(box, container)['status']).toBe('Running');
  });

  check('directories are 0700 and files 0600, whatever the umask', own, async (box) => {
    const before = process.umask(0);
    try {
      const container = await box.create(box.bundle(['sleep', '100'], useUserNamespace));
      const dir = `${box.root}/states/${container.id}`;
      for (const each of [box.root, `${box.root}/states`, dir]) {
        expect({ each, mode: statSync(each).mode & 0o777 }).toEqual({ each, mode: 0o700 });
      }
      for (const name of readdirSync(dir)) {
        const stat = statSync(`${dir}/${name}`);
        if (stat.isDirectory()) continue;
        expect({ name, mode: stat.mode & 0o077 }).toEqual({ name, mode: 0 });
        expect({ name, uid: stat.uid }).toEqual({ name, uid: 0 });
      }
    } finally {
      process.umask(before);
    }
  });

  check('is replaced, never written in place', own, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const inode = statSync(path(box, container)).ino;
    let broken = 0;
    let reads = 0;
    let done = false;
    const reader = (async () => {
      while (!done) {
        try {
          JSON.parse(readFileSync(path(box, container), 'utf8'));
        } catch {
          broken++;
        }
        reads++;
        if (reads % 50 === 0) await new Promise((next) => setImmediate(next));
      }
    })();
    await box.silent(['start', container.id]);
    done = true;
    await reader;
    expect({ broken, some: reads > 50 }).toEqual({ broken: 0, some: true });
    expect(statSync(path(box, container)).ino).not.toBe(inode);
    expect(
      readdirSync(`${box.root}/states/${container.id}`).filter((name) => /tmp|~|^\./.test(name)),
    ).toEqual([]);
  });
});

describe('a recorded pid that is another process', () => {
  for (const [what, fields] of [
    ['with another start time', { init_start_ticks: 1 }],
    ['of another boot', { boot_id: '00000000-0000-0000-0000-000000000000' }],
  ] as const) {
    check(`${what}: the container is stopped and its pid is left alone`, own, async (box) => {
      const container = await box.start(box.bundle(['sleep', '100']));
      const original = load(box, container);
      change(box, container, fields);
      expect(await box.status(container.id)).toBe('stopped');
      expect((await box.state(container.id))['pid']).toBe(0);
      const { stdout } = await box.verb(['list', '--format', 'json']);
      expect(JSON.parse(stdout)).toMatchObject([{ id: container.id, status: 'stopped', pid: 0 }]);
      const killed = await box.verb(['kill', container.id, 'KILL']);
      expect(killed.status).toBe(1);
      expect(killed.stderr).toContain('container not running');
      const executed = await box.verb(['exec', container.id, 'true']);
      expect(executed.status).toBe(255);
      expect(isAlive(container.pid)).toBe(true);
      change(box, container, original);
      expect(await box.status(container.id)).toBe('running');
    });
  }

  check('delete --force never signals it', own, async (box) => {
    // The pid of a process of ours that is no container.
    const { spawn } = await import('node:child_process');
    const { adopt } = await import('../helpers/reaper.ts');
    const bystander = adopt(spawn('sleep', ['100']));
    const container = await box.start(box.bundle(['true']));
    await box.until(container.id, 'stopped');
    change(box, container, { init_process_pid: bystander.pid });
    await box.silent(['delete', '--force', container.id]);
    expect(isAlive(bystander.pid!)).toBe(true);
    bystander.kill('SIGKILL');
    await eventually('the bystander ended', () => bystander.signalCode !== null);
  });
});

describe('a damaged state', () => {
  for (const [what, text] of [
    ['empty', ''],
    ['cut off', '{"id": "x", "init_pro'],
    ['another type', '[]'],
    ['without keys', '{}'],
  ]) {
    check(`${what}: state names the file, delete --force removes it`, own, async (box) => {
      const container = await box.start(box.bundle(['true']));
      await box.until(container.id, 'stopped');
      writeFileSync(path(box, container), text!);
      const outcome = await box.verb(['state', container.id]);
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toContain('state.json');
      await box.silent(['delete', '--force', container.id]);
      expect(
        (
          await box.verb(['create', '--bundle', container.bundle.dir, container.id], {
            detached: true,
          })
        ).status,
      ).toBe(0);
    });
  }

  check(
    'a directory without state.json (create was killed) goes with delete --force',
    own,
    async (box) => {
      const { mkdirSync } = await import('node:fs');
      const container = await box.create(box.bundle(['true']));
      const id = box.id();
      mkdirSync(`${box.root}/states/${id}`, { mode: 0o700 });
      const again = await box.verb(['create', '--bundle', container.bundle.dir, id]);
      expect(again.stderr).toContain('container with given ID already exists');
      await box.silent(['delete', '--force', id]);
      expect(readdirSync(`${box.root}/states`)).toEqual([container.id]);
    },
  );
});
