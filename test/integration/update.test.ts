/**
 * update: other limits, all or none (runtime-cli.md §1.8). With the one controller that cgroup2 has on
 * a hybrid host too; with all of them in test/vm.
 */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { cgroup2Root } from '../helpers/proc.ts';

const need = {
  cgroup2: true,
  controller: 'hugetlb',
  notRunc: 'runc updates no huge pages',
} as const;

const pages = (limit: number, pageSize = '2MB') => ({ hugepageLimits: [{ pageSize, limit }] });

async function limited(box: Box): Promise<{ container: Container; group: string }> {
  const path = `/${box.tag}-update`;
  const bundle = box.bundle(['sleep', '100'], (spec) => {
    spec.linux.resources = { ...spec.linux.resources, ...pages(2 << 20) };
    spec.linux.cgroupsPath = path;
  });
  return { container: await box.start(bundle), group: cgroup2Root() + path };
}

/** `update --resources FILE`. */
function update(box: Box, id: string, resources: unknown) {
  const file = box.path('resources.json');
  writeFileSync(file, JSON.stringify(resources));
  return box.verb(['update', '--resources', file, id]);
}

const max = (group: string): string => readFileSync(`${group}/hugetlb.2MB.max`, 'latin1').trim();

describe('update', () => {
  check('sets a limit and remembers it', need, async (box) => {
    const { container, group } = await limited(box);
    expect(await update(box, container.id, pages(4 << 20))).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(max(group)).toBe(String(4 << 20));
    const kept = `${box.root}/states/${container.id}/resources.json`;
    expect(JSON.parse(readFileSync(kept, 'utf8'))).toMatchObject(pages(4 << 20));
    expect(statSync(kept).mode & 0o777).toBe(0o600);
  });

  check('changes nothing when one limit is refused', need, async (box) => {
    const { container, group } = await limited(box);
    const two = { ...pages(8 << 20), unified: { 'hugetlb.2MB.max': 'many' } };
    const line = refusal(await update(box, container.id, two));
    expect(line).toMatch(/^unified\["hugetlb\.2MB\.max"\]: write "many" to .*EINVAL/);
    expect(max(group)).toBe(String(2 << 20));
    expect(readFileSync(`${group}/hugetlb.2MB.rsvd.max`, 'latin1').trim()).toBe(String(2 << 20));
  });

  check('names the controller that is not there', need, async (box) => {
    const { container } = await limited(box);
    const available = readFileSync(`${cgroup2Root()}/cgroup.controllers`, 'latin1');
    if (available.includes('memory')) return; // Carried out there: test/vm.
    const line = refusal(await box.verb(['update', '--memory', '64m', container.id]));
    expect(line).toMatch(/^memory\.limit: controller "memory" is not in the cgroup2 hierarchy/);
  });

  check('without anything is nothing', need, async (box) => {
    const { container, group } = await limited(box);
    expect(await update(box, container.id, {})).toMatchObject({ status: 0, stderr: '' });
    expect(await box.verb(['update', container.id])).toMatchObject({ status: 0, stderr: '' });
    expect(max(group)).toBe(String(2 << 20));
  });

  check('takes its document from standard input', need, async (box) => {
    const { container, group } = await limited(box);
    const stdin = JSON.stringify(pages(6 << 20));
    const outcome = await box.verb(['update', '--resources', '-', container.id], { input: stdin });
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(max(group)).toBe(String(6 << 20));
  });

  check('refuses a document that is none', need, async (box) => {
    const { container } = await limited(box);
    expect(refusal(await update(box, container.id, { memory: { limit: 'much' } }))).toContain(
      'memory.limit: must be an integer',
    );
    const missing = await box.verb(['update', '-r', box.path('none.json'), container.id]);
    expect(refusal(missing)).toMatch(/read resources .*none\.json: .*ENOENT/);
  });

  check('warns of kernel memory and does the rest', need, async (box) => {
    const { container } = await limited(box);
    const words = ['update', '--kernel-memory', '5', '--kernel-memory-tcp', '5', container.id];
    const outcome = await box.verb(words);
    expect(outcome.status).toBe(0);
    expect(outcome.stderr).toContain('--kernel-memory: no kernel has this limit any more');
  });

  check('works on a container that waits and on a paused one', need, async (box) => {
    const path = `/${box.tag}-waits`;
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = path;
    });
    const { id } = await box.create(bundle);
    expect(await update(box, id, pages(2 << 20))).toMatchObject({ status: 0, stderr: '' });
    await box.silent(['start', id]);
    await box.silent(['pause', id]);
    expect(await update(box, id, pages(4 << 20))).toMatchObject({ status: 0, stderr: '' });
    await box.silent(['resume', id]);
    expect(max(cgroup2Root() + path)).toBe(String(4 << 20));
  });
});
