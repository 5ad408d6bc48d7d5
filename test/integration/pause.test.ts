/**
 * pause and resume, and what a frozen container does under the other verbs: runtime-cli.md §3.2,
 * §5; Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { cgroup2Root, isAlive } from '../helpers/proc.ts';

const need = { cgroup2: true } as const;
const v1 = 'freezes in the v1 hierarchy here';

/** The unified group of a process, as a directory of this host. */
function groupOf({ pid }: Pick<Container, 'pid'>): string {
  const line = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'));
  return `${cgroup2Root()}${line?.[1]}`.replace(/\/$/, '');
}

const events = (group: string) => readFileSync(`${group}/cgroup.events`, 'latin1');

/** Clock ticks of user space that the process has used: proc_pid_stat(5), utime and stime. */
function ticks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

describe('pause', () => {
  check('stops a busy program before it returns, resume lets it go on', need, async (box) => {
    const container = await box.start(box.bundle(['sh', '-c', 'while :; do :; done']));
    await eventually('it works', () => ticks(container.pid) > 2);
    await box.silent(['pause', container.id]);
    const stopped = ticks(container.pid);
    await sleep(200);
    expect(ticks(container.pid)).toBe(stopped);
    expect(await box.status(container.id)).toBe('paused');
    await box.silent(['resume', container.id]);
    expect(await box.status(container.id)).toBe('running');
    await eventually('it works again', () => ticks(container.pid) > stopped);
  });

  check('has frozen the group when it returns', { ...need, notRunc: v1 }, async (box) => {
    const script = 'for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait';
    const container = await box.start(box.bundle(['sh', '-c', script]));
    for (let round = 0; round < 5; round++) {
      await box.silent(['pause', container.id]);
      expect(events(groupOf(container))).toMatch(/^frozen 1$/m);
      await box.silent(['resume', container.id]);
      expect(events(groupOf(container))).toMatch(/^frozen 0$/m);
    }
  });

  check('of a created container: it stays created, and starts after resume', need, async (box) => {
    const container = await box.create(box.bundle(['sh', '-c', 'echo started; sleep 100']));
    await box.silent(['pause', container.id]);
    expect(await box.status(container.id)).toBe('paused');
    const outcome = await box.verb(['start', container.id]);
    expect(refusal(outcome)).toContain('cannot start a container in the paused state');
    await box.silent(['resume', container.id]);
    expect(await box.status(container.id)).toBe('created');
    await box.silent(['start', container.id]);
    await eventually('the program printed', () => container.out() === 'started\n');
  });

  check('needs nothing of its environment', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    // What podman gives them (runtime-cli.md §0.7).
    const options = { env: { XDG_RUNTIME_DIR: '/nowhere' }, cwd: '/' };
    await box.silent(['pause', container.id], options);
    expect(await box.status(container.id)).toBe('paused');
    await box.silent(['resume', container.id], options);
    expect(await box.status(container.id)).toBe('running');
  });

  check('list shows it', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    await box.silent(['pause', container.id]);
    const { stdout } = await box.verb(['list', '--format', 'json']);
    expect(JSON.parse(stdout)).toMatchObject([{ id: container.id, status: 'paused' }]);
    const table = (await box.verb(['list'])).stdout;
    expect(table).toMatch(new RegExp(`^${container.id} +${container.pid} +paused `, 'm'));
  });

  check('container list shows it', { ...need, notRunc: 'a verb of ours' }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    await box.silent(['pause', container.id]);
    const { stdout } = await box.verb(['container', 'list']);
    expect(stdout).toMatch(new RegExp(`^${container.id} +${container.pid} +Paused `, 'm'));
  });

  check('two at once: one of them has done it', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const both = [1, 2].map(() => box.verb(['pause', container.id]));
    const outcomes = await Promise.all(both);
    expect(outcomes.some(({ status }) => status === 0)).toBe(true);
    expect(await box.status(container.id)).toBe('paused');
    await box.silent(['resume', container.id]);
    expect(await box.status(container.id)).toBe('running');
  });

  check('a resume below a frozen group says which', { ...need, notRunc: v1 }, async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-outer/inner`;
    });
    const container = await box.start(bundle);
    const outer = `${cgroup2Root()}/${box.tag}-outer`;
    await box.silent(['pause', container.id]);
    writeFileSync(`${outer}/cgroup.freeze`, '1');
    const outcome = await box.verb(['resume', container.id]);
    writeFileSync(`${outer}/cgroup.freeze`, '0');
    expect(refusal(outcome)).toContain(`${outer} above it is frozen`);
    expect(await box.status(container.id)).toBe('paused');
    await box.silent(['resume', container.id]);
  });
});

describe('a paused container', () => {
  check('ends on KILL, and its group is thawed', { ...need, notRunc: v1 }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const group = groupOf(container);
    await box.silent(['pause', container.id]);
    await box.silent(['kill', container.id, 'KILL']);
    await box.until(container.id, 'stopped');
    expect(events(group)).toMatch(/^frozen 0$/m);
  });

  check('ends on kill --all KILL, thawed, with all its processes', need, async (box) => {
    const bundle = box.bundle(['sh', '-c', 'sleep 100 & sleep 101 & wait'], (spec) => {
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
    });
    const container = await box.start(bundle);
    const group = groupOf(container);
    const members = () => readFileSync(`${group}/cgroup.procs`, 'latin1').split('\n').length - 1;
    await eventually('three members', () => members() === 3);
    await box.silent(['pause', container.id]);
    await box.silent(['kill', '--all', container.id, 'KILL']);
    await eventually('no member', () => members() === 0);
    expect(readFileSync(`${group}/cgroup.freeze`, 'latin1')).toBe('0\n');
  });

  check('keeps a TERM until it is resumed', need, async (box) => {
    const container = await box.start(
      box.bundle(['sh', '-c', 'trap "echo got; exit 3" TERM; echo on; sleep 100 & wait']),
    );
    await eventually('trap set', () => container.out() === 'on\n');
    await box.silent(['pause', container.id]);
    await box.silent(['kill', container.id, 'TERM']);
    await sleep(100);
    expect(container.out()).toBe('on\n');
    await box.silent(['resume', container.id]);
    await box.until(container.id, 'stopped');
    expect(container.out()).toBe('on\ngot\n');
  });

  check('is deleted by force', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    await box.silent(['pause', container.id]);
    await box.silent(['delete', '--force', container.id]);
    expect(isAlive(container.pid)).toBe(false);
  });

  check('stays paused under kill --all TERM', { ...need, notRunc: 'thaws it' }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    await box.silent(['pause', container.id]);
    await box.silent(['kill', '--all', container.id, 'TERM']);
    expect(await box.status(container.id)).toBe('paused');
  });
});

describe('kill --all', () => {
  check('reaches every process, and the group is thawed after it', need, async (box) => {
    const child = `trap 'echo \\$0; exit' USR1; echo on; while :; do sleep 0.05; done`;
    const script = `trap : USR1; for i in 1 2 3 4; do sh -c "${child}" $i & done; wait; sleep 100`;
    const container = await box.start(box.bundle(['sh', '-c', script]));
    const lines = () => container.out().split('\n').filter(Boolean);
    await eventually('four traps', () => lines().filter((line) => line === 'on').length === 4);
    await box.silent(['kill', '--all', container.id, 'USR1']);
    await eventually('four answers', () => lines().length === 8);
    expect(lines().slice(4).sort()).toEqual(['1', '2', '3', '4']);
    expect(await box.status(container.id)).toBe('running');
  });

  check('leaves none of those that fork without end', need, async (box) => {
    // Each process makes the next and ends: whoever is listed is gone when its signal comes.
    const bundle = box.bundle(
      ['sh', '-c', 'trap "" TERM; (trap - TERM; f() { (f) & }; f); while :; do sleep 1; done'],
      (spec) => {
        spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
      },
    );
    const container = await box.start(bundle);
    const procs = `${groupOf(container)}/cgroup.procs`;
    const members = () => readFileSync(procs, 'latin1').split('\n').filter(Boolean);
    await eventually('a chain', () => members().length >= 3);
    await box.silent(['kill', '--all', container.id, 'TERM']);
    await sleep(300);
    const left = members().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    expect(left.filter((line) => line.includes('f() {')).length).toBeLessThanOrEqual(1);
  });
});
