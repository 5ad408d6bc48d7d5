/**
 * events: the statistics and when the stream ends. runtime-cli.md §1.6, §2, §3.2. OOM kills need the
 * memory controller.
 */

import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { isAlive, openFds } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';

const need = { cgroup2: true } as const;

interface Stream {
  readonly lines: Record<string, unknown>[];
  readonly child: ChildProcess;
  readonly ended: ReturnType<Box['verb']>;
}

/** A running `events`, its lines as they come. */
function stream(box: Box, { id }: Container, interval: string): Stream {
  const lines: Record<string, unknown>[] = [];
  let child: ChildProcess | undefined;
  let rest = '';
  const ended = box.verb(['events', '--interval', interval, id], {
    onSpawn: (started) => {
      child = started;
      started.stdout!.on('data', (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split('\n');
        rest = parts.pop()!;
        for (const line of parts) lines.push(JSON.parse(line));
      });
    },
  });
  return { lines, child: child!, ended };
}

/** Until it waits for the container: then it has the group's file open. */
async function waits({ child }: Stream): Promise<void> {
  if (!isRuncell) return sleep(400);
  const files = () => Object.values(openFds(child.pid!));
  await eventually(
    'it waits',
    () => files().some((file) => file.endsWith('/cgroup.events')),
    30_000,
  );
}

const busy = (box: Box) => box.start(box.bundle(['sh', '-c', 'while :; do :; done']));

const total = (line: unknown) =>
  (line as { data: { cpu: { usage: { total: number } } } }).data.cpu.usage.total;

describe('events', () => {
  check('--stats prints one line of the container', need, async (box) => {
    const container = await busy(box);
    await sleep(50);
    const { status, stdout, stderr } = await box.verb(['events', '--stats', container.id]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^\{.*\}\n$/);
    const event = JSON.parse(stdout) as { data: Record<string, unknown> };
    expect(Object.keys(event)).toEqual(['type', 'id', 'data']);
    expect(event).toMatchObject({ type: 'stats', id: container.id });
    expect(Object.keys(event.data)).toEqual([
      ...['cpu', 'cpuset', 'memory', 'pids', 'blkio', 'hugetlb', 'intel_rdt', 'network_interfaces'],
    ]);
    expect(event.data).toMatchObject({
      pids: { current: 1 },
      intel_rdt: {},
      network_interfaces: null,
    });
    expect(total(event)).toBeGreaterThan(1e6);
  });

  check('a line each interval, until the container has ended', need, async (box) => {
    const container = await busy(box);
    const events = stream(box, container, '50ms');
    await eventually('four lines', () => events.lines.length >= 4);
    for (const line of events.lines)
      expect(line).toMatchObject({ type: 'stats', id: container.id });
    expect(total(events.lines[3])).toBeGreaterThan(total(events.lines[0]));
    await box.silent(['kill', container.id, 'KILL']);
    await box.until(container.id, 'stopped');
    // runc on v1 waits for the group to go.
    await box.silent(['delete', container.id]);
    expect((await events.ended).status).toBe(0);
  });

  check('ends with the container however long the interval', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const events = stream(box, container, '1h');
    await waits(events);
    await box.silent(['kill', container.id, 'KILL']);
    await box.until(container.id, 'stopped');
    await box.silent(['delete', container.id]);
    expect(await events.ended).toMatchObject({ status: 0, stdout: '' });
  });

  check('goes on while any process is left', { ...need, notRunc: 'v1 here' }, async (box) => {
    const script = '(until [ -e /go ]; do sleep 0.05; done) & exec true';
    const bundle = box.bundle(['sh', '-c', script], (spec) => {
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
    });
    const container = await box.create(bundle);
    const events = stream(box, container, '50ms');
    await eventually('a line', () => events.lines.length > 0);
    await box.silent(['start', container.id]);
    await eventually('init ended', () => !isAlive(container.pid));
    const before = events.lines.length;
    await eventually('more lines', () => events.lines.length > before + 2, 20_000);
    writeFileSync(`${bundle.rootfs}/go`, '');
    expect((await events.ended).status).toBe(0);
  });

  check('of created and paused containers works', need, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const stats = async () => box.verb(['events', '--stats', container.id]);
    expect(await stats()).toMatchObject({ status: 0, stderr: '' });
    await box.silent(['pause', container.id]);
    expect(await stats()).toMatchObject({ status: 0, stderr: '' });
    await box.silent(['resume', container.id]);
  });

  check('of a stopped container is refused', need, async (box) => {
    const container = await box.start(box.bundle(['true']));
    await box.until(container.id, 'stopped');
    for (const flags of [[], ['--stats']]) {
      const outcome = await box.verb(['events', ...flags, container.id]);
      expect(refusal(outcome)).toBe(`container with id ${container.id} is not running`);
    }
  });

  check('of a missing container is refused', need, async (box) => {
    expect(refusal(await box.verb(['events', '--stats', box.id()]))).toContain('does not exist');
  });

  check('an interval of nothing is refused', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    for (const interval of ['0s', '-5s']) {
      const outcome = await box.verb(['events', '--interval', interval, container.id]);
      expect(refusal(outcome)).toBe('duration interval must be greater than 0');
    }
  });

  check('an interval that is none is a usage error', need, async (box) => {
    const outcome = await box.verb(['events', '--interval', 'soon', box.id()]);
    expect(outcome.status).toBe(1);
    expect(outcome.stdout).toContain('Incorrect Usage: invalid value "soon" for flag -interval');
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    check(`ends cleanly on ${signal}`, { ...need, notRunc: 'dies of it' }, async (box) => {
      const container = await box.start(box.bundle(['sleep', '100']));
      const events = stream(box, container, '40ms');
      await eventually('a line', () => events.lines.length > 0);
      events.child.kill(signal);
      const outcome = await events.ended;
      expect(outcome).toMatchObject({ status: 0, signal: null });
      expect(outcome.stdout.endsWith('}\n')).toBe(true);
    });
  }

  check('ends when its reader has gone', { ...need, notRunc: 'goes on' }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const events = stream(box, container, '1h');
    // The long wait is what is to be ended, so nothing is written.
    await waits(events);
    events.child.stdout!.destroy();
    await eventually('it ended', () => !isAlive(events.child.pid!));
    expect((await events.ended).status).toBe(0);
  });

  check('does not work while it waits', { ...need, notRunc: 'ours alone' }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const events = stream(box, container, '1h');
    await waits(events);
    // Its start may still be going on.
    await eventually(
      'half a second without work',
      async () => {
        const before = cpuTicks(events.child.pid!);
        await sleep(500);
        return cpuTicks(events.child.pid!) - before <= 1;
      },
      20_000,
    );
    events.child.kill('SIGTERM');
    await events.ended;
  });

  check('needs nothing of its environment', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const outcome = await box.verb(['events', '--stats', container.id], { env: {}, cwd: '/' });
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
  });
});

/** proc_pid_stat(5): utime and stime. */
function cpuTicks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
