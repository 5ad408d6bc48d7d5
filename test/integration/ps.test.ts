/** ps: pids for engines, the host's own table for people. runtime-cli.md §1.6, §2, §3.2. */

import { mkdirSync, readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { cgroup2Root } from '../helpers/proc.ts';

const need = { cgroup2: true, tool: 'ps' } as const;

function members({ pid }: Pick<Container, 'pid'>): number[] {
  const line = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'));
  const procs = `${cgroup2Root()}${line?.[1]}/cgroup.procs`;
  return readFileSync(procs, 'latin1').split('\n').filter(Boolean).map(Number);
}

describe('ps', () => {
  check('--format json prints the pids as the host knows them', need, async (box) => {
    const container = await box.start(box.bundle(['sh', '-c', 'sleep 100 & sleep 101 & wait']));
    await eventually('three processes', () => members(container).length === 3);
    const outcome = await box.verb(['ps', '--format', 'json', container.id]);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toMatch(/^\[[0-9,]+\]\n$/);
    const pids = JSON.parse(outcome.stdout) as number[];
    expect(pids.toSorted()).toEqual(members(container).toSorted());
    expect(pids).toContain(container.pid);
  });

  check('counts sub-groups', { ...need, notRunc: 'v1 here' }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const [init] = members(container);
    const line = /^0::(.*)$/m.exec(readFileSync(`/proc/${init}/cgroup`, 'latin1'));
    mkdirSync(`${cgroup2Root()}${line![1]}/inner`);
    const inner = box.verb(['exec', '--cgroup', 'inner', container.id, 'sleep', '100']);
    await eventually('two pids', async () => {
      const { stdout } = await box.verb(['ps', '-f', 'json', container.id]);
      return (JSON.parse(stdout) as number[]).length === 2;
    });
    await box.silent(['kill', '--all', container.id, 'KILL']);
    await inner;
  });

  check('prints the heading of ps -ef and the lines of the container', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '4321']));
    await eventually('it sleeps', () =>
      readFileSync(`/proc/${container.pid}/cmdline`, 'latin1').includes('4321'),
    );
    const { status, stdout, stderr } = await box.verb(['ps', container.id]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [heading, ...lines] = stdout.trimEnd().split('\n');
    expect(heading).toMatch(/^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^root +${container.pid} .* sleep 4321$`));
  });

  check('gives what stands behind the name to ps', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '4321']));
    const { stdout } = await box.verb(['ps', container.id, '-e', '-o', 'pid,ppid,comm']);
    expect(stdout.split('\n')[0]).toMatch(/^ +PID +PPID +COMMAND$/);
    expect(stdout).toMatch(new RegExp(`^ *${container.pid} +[0-9]+ sleep$`, 'm'));
    const bsd = await box.verb(['ps', container.id, 'aux']);
    expect(bsd.stdout).toMatch(/^USER +PID +%CPU /);
  });

  check('of arguments without a PID is an error', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const outcome = await box.verb(['ps', container.id, '-e', '-o', 'comm']);
    expect(refusal(outcome)).toContain("couldn't find PID field in ps output");
  });

  check('of arguments that ps refuses says what ps said', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const outcome = await box.verb(['ps', container.id, '--no-such-thing']);
    expect(refusal(outcome)).toMatch(/exit status 1: .*unknown gnu long option/);
  });

  check('finds ps without a PATH', { ...need, notRunc: 'needs PATH' }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const { status, stdout } = await box.verb(['ps', container.id], { env: {}, cwd: '/' });
    expect({ status, lines: stdout.trimEnd().split('\n').length }).toEqual({ status: 0, lines: 2 });
  });

  check('of an unknown format says so', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const outcome = await box.verb(['ps', '--format', 'xml', container.id]);
    expect(refusal(outcome)).toBe('invalid format option');
  });

  check('of a stopped container has a heading, or null', need, async (box) => {
    const container = await box.start(box.bundle(['true']));
    await box.until(container.id, 'stopped');
    const table = await box.verb(['ps', container.id]);
    expect(table).toMatchObject({ status: 0, stderr: '' });
    expect(table.stdout).toMatch(/^UID .* CMD\n$/);
    const json = await box.verb(['ps', '--format', 'json', container.id]);
    expect(json).toMatchObject({ status: 0, stdout: 'null\n', stderr: '' });
  });

  check('of created and paused containers has their init', need, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const pids = async () => (await box.verb(['ps', '--format', 'json', container.id])).stdout;
    expect(await pids()).toBe(`[${container.pid}]\n`);
    await box.silent(['start', container.id]);
    await box.silent(['pause', container.id]);
    expect(await pids()).toBe(`[${container.pid}]\n`);
  });
});
