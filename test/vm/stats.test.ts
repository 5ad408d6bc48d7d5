/**
 * Statistics where every controller is real: the same as runc's of the same group, OOM kills by the
 * level whose limit was reached, and a pause that stops what the kernel counts.
 */

import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { groupFiles } from '../../src/libcontainer/cgroups/read-stats.ts';
import { statsOf } from '../../src/libcontainer/cgroups/stats.ts';
import { stringifyJson } from '../../src/oci/json.ts';
import type { Box, Container } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { cgroup2Root, openFds } from '../helpers/proc.ts';
import type { Spec } from '../helpers/spec.ts';

const need = { controller: 'memory', timeoutMs: 240_000 } as const;
const LIMIT = 16 << 20;

function groupOf({ pid }: Pick<Container, 'pid'>): string {
  const line = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'));
  return `${cgroup2Root()}${line?.[1]}`;
}

const memoryLimit = (spec: Spec) => {
  spec.linux.resources = { ...spec.linux.resources, memory: { limit: LIMIT } };
};

/** dd takes the memory at once and is killed; its parent goes on. */
const HOG = 'while :; do dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 0.2; done';

/** The first event of a type. */
async function firstEvent(box: Box, id: string, type: string): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  let rest = '';
  const running = box.verb(['events', '--interval', '1h', id], {
    timeoutMs: 120_000,
    onSpawn: (child) =>
      child.stdout!.on('data', (chunk: Buffer) => {
        rest += chunk.toString();
        const events = rest
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line));
        found ??= events.find((event) => event.type === type);
        if (found !== undefined) child.kill('SIGTERM');
      }),
  });
  expect(await running).toMatchObject({ status: 0 });
  expect(found).toBeDefined();
  return found!;
}

describe('events --stats', () => {
  check('are those of runc of the same group', { ...need, tool: 'runc' }, async (box) => {
    const bundle = box.bundle(['sh', '-c', 'head -c 100000 /bin/busybox >/tmp/x; sleep 1000']);
    box.rewrite(bundle, (spec) => {
      spec.linux.resources = {
        memory: { limit: 64 << 20 },
        pids: { limit: 100 },
        cpu: { quota: 50_000, period: 100_000 },
      };
    });
    const runc = (...args: string[]) =>
      box.command('runc', ['--root', `${box.dir}/runc`, ...args], { timeoutMs: 60_000 });
    const id = box.id();
    const pidFile = box.path('runc.pid');
    const flags = ['--bundle', bundle.dir, '--pid-file', pidFile];
    const made = await box.command(
      'runc',
      ['--root', `${box.dir}/runc`, 'run', '--detach', ...flags, id],
      { detached: true, timeoutMs: 60_000 },
    );
    expect(made).toMatchObject({ status: 0 });
    try {
      await sleep(1000);
      // What stands still can be compared.
      expect(await runc('pause', id)).toMatchObject({ status: 0 });
      const theirs = await runc('events', '--stats', id);
      const group = groupOf({ pid: Number(readFileSync(pidFile, 'latin1')) });
      const ours = JSON.parse(stringifyJson(statsOf(groupFiles(group)!)));
      const { data } = JSON.parse(theirs.stdout);
      expect(JSON.stringify(withoutNewKeys(ours))).toBe(JSON.stringify(withoutEmpty(data)));
    } finally {
      await runc('delete', '--force', id);
    }
  });

  check('of a container with limits has them', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '1000'], memoryLimit));
    const { stdout } = await box.verb(['events', '--stats', container.id]);
    const { data } = JSON.parse(stdout);
    expect(data.memory.usage).toMatchObject({ limit: LIMIT, failcnt: 0 });
    expect(data.memory.usage.usage).toBeGreaterThan(4096);
    expect(data.memory.raw.anon).toBeGreaterThan(0);
    const top = await box.verb(['top', '--format', 'json', '--no-stream']);
    expect(JSON.parse(top.stdout).containers).toMatchObject([
      { id: container.id, memory: { limit: LIMIT }, io: { readRate: 0 } },
    ]);
  });
});

/** runc 1.1 has no pressure yet, and finds no huge pages where the kernel counts reservations. */
function withoutNewKeys(data: Record<string, Record<string, unknown>>): object {
  for (const part of ['cpu', 'memory', 'blkio']) delete data[part]!['psi'];
  return withoutEmpty({ ...data, hugetlb: {} });
}

/** runc before 1.5 writes structures that say nothing. */
function withoutEmpty(data: Record<string, Record<string, unknown>>): object {
  const { cpu, memory } = data;
  if (JSON.stringify(cpu!['throttling']) === '{}') delete cpu!['throttling'];
  for (const part of ['kernel', 'kernelTCP']) {
    if (JSON.stringify(memory![part]) === '{"limit":0,"failcnt":0}') delete memory![part];
  }
  return data;
}

describe('an OOM kill', () => {
  check('by the limit of the container', need, async (box) => {
    const container = await box.start(box.bundle(['sh', '-c', HOG], memoryLimit));
    expect(await firstEvent(box, container.id, 'oom')).toMatchObject({
      type: 'oom',
      id: container.id,
      oom: { level: 'container', cgroup: groupOf(container), limit: LIMIT },
    });
  });

  check('by the limit of a group inside', need, async (box) => {
    const container = await box.start(box.bundle(['sh', '-c', `sleep 3; ${HOG}`]));
    const group = groupOf(container);
    const inner = `${group}/inner`;
    mkdirSync(inner);
    for (const pid of readFileSync(`${group}/cgroup.procs`, 'latin1').split('\n').filter(Boolean)) {
      writeFileSync(`${inner}/cgroup.procs`, pid);
    }
    writeFileSync(`${group}/cgroup.subtree_control`, '+memory');
    writeFileSync(`${inner}/memory.max`, String(LIMIT));
    expect((await firstEvent(box, container.id, 'oom'))['oom']).toMatchObject({
      level: 'inside',
      cgroup: inner,
      limit: LIMIT,
    });
  });

  check('by the limit of a group above', need, async (box) => {
    const outer = `${cgroup2Root()}/${box.tag}-outer`;
    mkdirSync(outer);
    writeFileSync(`${outer}/memory.max`, String(LIMIT));
    const bundle = box.bundle(['sh', '-c', HOG], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-outer/inner`;
      // So that the controller is on in the group of the container.
      spec.linux.resources = { ...spec.linux.resources, memory: { limit: 1 << 30 } };
    });
    const container = await box.start(bundle);
    expect((await firstEvent(box, container.id, 'oom'))['oom']).toMatchObject({
      level: 'above',
      cgroup: outer,
      limit: LIMIT,
    });
    await box.silent(['delete', '--force', container.id]);
    rmdirSync(outer);
  });

  check('that ends the container is told before the stream ends', need, async (box) => {
    const script = 'until [ -e /go ]; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/null bs=64M';
    const bundle = box.bundle(['sh', '-c', script], memoryLimit);
    const container = await box.start(bundle);
    let pid = 0;
    const running = box.verb(['events', '--interval', '1h', container.id], {
      timeoutMs: 120_000,
      onSpawn: (child) => {
        pid = child.pid!;
      },
    });
    const watches = () =>
      Object.values(openFds(pid)).some((file) => file.endsWith('/memory.events'));
    await eventually('it watches', watches, 60_000);
    writeFileSync(`${bundle.rootfs}/go`, '');
    const outcome = await running;
    const lines = outcome.stdout.trimEnd().split('\n');
    expect(outcome.status).toBe(0);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { type: 'oom', oom: { kills: 1, level: 'container' } },
    ]);
  });
});

check('pause stops what the kernel counts of the processor', need, async (box) => {
  const container = await box.start(box.bundle(['sh', '-c', 'while :; do :; done']));
  const used = () =>
    Number(
      /^usage_usec (\d+)$/m.exec(readFileSync(`${groupOf(container)}/cpu.stat`, 'latin1'))?.[1],
    );
  await eventually('it works', () => used() > 100_000, 20_000);
  await box.silent(['pause', container.id]);
  const before = used();
  await sleep(1000);
  expect(used() - before).toBeLessThan(1000);
  await box.silent(['resume', container.id]);
  await eventually('it works again', () => used() > before + 100_000, 20_000);
});
