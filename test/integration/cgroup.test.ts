/**
 * The container's group in the cgroup2 hierarchy, also where that is only the unified part of a
 * hybrid host: made, joined before anything else runs, removed. runtime-cli.md §6.1 and §6.4;
 * runtime-spec 1.3 config-linux.md#cgroups-path; cgroups(7).
 */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect } from 'vitest';
import { type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { cgroup2Root, cgroupsNamed, isAlive } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';

const need = { cgroup2: true } as const;

/** The unified group of a process, as a directory of this host. */
function groupOf({ pid }: Pick<Container, 'pid'>): string {
  const line = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'));
  return `${cgroup2Root()}${line?.[1]}`.replace(/\/$/, '');
}

const members = (dir: string) =>
  readFileSync(`${dir}/cgroup.procs`, 'latin1').split('\n').filter(Boolean).map(Number);

describe('cgroup', () => {
  check('has the id as its name, init alone is in it', need, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const dir = groupOf(container);
    expect(dir.split('/').at(-1)).toBe(container.id);
    expect(members(dir)).toEqual([container.pid]);
  });

  check('is removed by delete, and by a run that ended', need, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const dir = groupOf(container);
    await box.silent(['delete', container.id]);
    expect(existsSync(dir)).toBe(false);
    await box.printed(box.bundle(['true']));
    expect(cgroupsNamed(box.tag)).toEqual([]);
  });

  // Any controller but those of threads will do; huge pages are what a hybrid host has in cgroup2.
  const divided = { ...need, controller: 'hugetlb', notRunc: 'has cgroup v1 here' } as const;

  check('divided by the container takes exec where init is', divided, async (box) => {
    const { id, pid } = await box.start(box.bundle(['sleep', '100']));
    const dir = groupOf({ pid });
    mkdirSync(`${dir}/init`);
    writeFileSync(`${dir}/init/cgroup.procs`, String(pid));
    const args = ['exec', '--detach', '--pid-file', box.path('pid'), id, 'sleep', '99'];
    await box.silent(args, { detached: true });
    const first = Number(readFileSync(box.path('pid'), 'utf8'));
    expect(groupOf({ pid: first })).toBe(dir);
    writeFileSync(`${dir}/init/cgroup.procs`, String(first));
    writeFileSync(`${dir}/cgroup.subtree_control`, '+hugetlb');
    await box.silent(args, { detached: true });
    const second = Number(readFileSync(box.path('pid'), 'utf8'));
    expect(groupOf({ pid: second })).toBe(`${dir}/init`);
    await box.silent(['delete', '--force', id]);
  });

  check('cgroupsPath absolute is below the root of the hierarchy', need, async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-top/sub/leaf`;
    });
    const container = await box.create(bundle);
    expect(groupOf(container)).toBe(`${cgroup2Root()}/${box.tag}-top/sub/leaf`);
    await box.silent(['delete', container.id]);
    expect(existsSync(`${cgroup2Root()}/${box.tag}-top/sub/leaf`)).toBe(false);
    // What the runtime did not make for this container alone may stay; the test tidies up.
    for (const dir of [`${box.tag}-top/sub`, `${box.tag}-top`]) removeEverywhere(dir);
  });

  check('cgroupsPath relative is below the own group or its parent', need, async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `${box.tag}-relative`;
    });
    const container = await box.create(bundle);
    expect(groupOf(container).split('/').at(-1)).toBe(`${box.tag}-relative`);
  });

  check('dots in cgroupsPath do not leave the hierarchy', need, async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `/../../${box.tag}-dots`;
    });
    const id = box.id();
    const outcome = await box.verb(['create', '--bundle', bundle.dir, id], { detached: true });
    if (outcome.status !== 0) return void refusal(outcome);
    const { pid } = await box.state(id);
    expect(groupOf({ pid: pid as number })).toBe(`${cgroup2Root()}/${box.tag}-dots`);
  });

  check('exec is in the same group', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const running = box.verb(['exec', container.id, 'sleep', '100']);
    const dir = groupOf(container);
    await eventually('exec is a member', () => members(dir).length === 2);
    await box.silent(['kill', '--all', container.id, 'KILL']);
    await running;
  });

  check('processes that the program forks are in it', need, async (box) => {
    const script = 'for i in 1 2 3 4 5; do sleep 100 & done; wait';
    const container = await box.start(box.bundle(['sh', '-c', script]));
    await eventually('six members', () => members(groupOf(container)).length === 6);
  });

  check('delete --force ends every process of the group', need, async (box) => {
    const script = 'for i in 1 2 3 4 5; do sleep 100 & done; wait';
    const bundle = box.bundle(['sh', '-c', script], (spec) => {
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
    });
    const container = await box.start(bundle);
    const dir = groupOf(container);
    await eventually('six members', () => members(dir).length === 6);
    const all = members(dir);
    const { status } = await box.verb(['delete', '--force', container.id]);
    expect(status).toBe(0);
    await eventually('all ended', () => all.every((pid) => !isAlive(pid)), 1000);
  });

  check('that others are in already is refused', need, async (box) => {
    const name = `${box.tag}-busy`;
    const dir = `${cgroup2Root()}/${name}`;
    mkdirSync(dir);
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `/${name}`;
    });
    const first = await box.create(bundle);
    if (!isRuncell) return; // 1.1.5 warns only on v1.
    const outcome = await box.verb(['create', '--bundle', bundle.dir, box.id()]);
    expect(refusal(outcome)).toMatch(/container's cgroup is not empty: 1 process\(es\) found/);
    expect(isAlive(first.pid)).toBe(true);
    expect(await box.status(first.id)).toBe('created');
  });

  check('that is frozen is refused', { ...need, notRunc: 'looks at v1 here' }, async (box) => {
    const name = `${box.tag}-frozen`;
    const dir = `${cgroup2Root()}/${name}`;
    mkdirSync(dir);
    writeFileSync(`${dir}/cgroup.freeze`, '1');
    const bundle = box.bundle(['true'], (spec) => {
      spec.linux.cgroupsPath = `/${name}`;
    });
    const outcome = await box.run(bundle);
    expect(refusal(outcome)).toContain("container's cgroup unexpectedly frozen");
    writeFileSync(`${dir}/cgroup.freeze`, '0');
    if (existsSync(dir)) rmdirSync(dir);
  });

  check(
    'frozen from outside makes the container paused',
    { ...need, notRunc: 'v1 here' },
    async (box) => {
      const container = await box.start(box.bundle(['sleep', '100']));
      const dir = groupOf(container);
      writeFileSync(`${dir}/cgroup.freeze`, '1');
      await box.until(container.id, 'paused');
      writeFileSync(`${dir}/cgroup.freeze`, '0');
      await box.until(container.id, 'running');
    },
  );

  check('a sub-group made inside is removed with it', need, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const dir = groupOf(container);
    mkdirSync(`${dir}/inner`);
    await box.silent(['delete', '--force', container.id]);
    expect(existsSync(dir)).toBe(false);
  });
});

/** runc makes the path in the v1 hierarchies too. */
function removeEverywhere(name: string): void {
  for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
    const dir = `/sys/fs/cgroup/${hierarchy}/${name}`;
    if (existsSync(dir)) rmdirSync(dir);
  }
  const own = `${cgroup2Root()}/${name}`;
  if (existsSync(own)) rmdirSync(own);
}
