/**
 * Many at once: containers made and deleted in parallel, verbs that meet at one id.
 * Issue 2, "Tests".
 */

import { readdirSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { cgroupsNamed, descendants } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';

/** Runs `jobs` with at most `width` at a time. */
async function pool<T>(width: number, jobs: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async () => {
    while (next < jobs.length) {
      const index = next++;
      results[index] = await jobs[index]!();
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

describe('concurrency', () => {
  check(
    '100 containers created, started, listed and deleted at once',
    { timeoutMs: 300_000 },
    async (box) => {
      const bundle = box.bundle(['sleep', '1000']);
      const slow = { timeoutMs: 120_000 };
      const ids = Array.from({ length: 100 }, () => box.id());
      const containers = await pool(
        25,
        ids.map((id) => () => box.create(bundle, [], { id, ...slow })),
      );
      expect(new Set(containers.map(({ pid }) => pid)).size).toBe(100);
      await pool(
        25,
        ids.map((id) => () => box.silent(['start', id], slow)),
      );
      const { stdout } = await box.verb(['list', '-q'], slow);
      expect(stdout.trimEnd().split('\n').sort()).toEqual([...ids].sort());
      await pool(
        25,
        ids.map((id) => () => box.silent(['delete', '--force', id], slow)),
      );
      expect((await box.verb(['list', '-q'])).stdout).toBe('');
      expect(cgroupsNamed(box.tag)).toEqual([]);
    },
  );

  check('100 whole runs at once', { timeoutMs: 300_000 }, async (box) => {
    const bundle = box.bundle(['sh', '-c', 'exit 12']);
    const jobs = Array.from(
      { length: 100 },
      () => () => box.run(bundle, [], { timeoutMs: 120_000 }),
    );
    for (const outcome of await pool(25, jobs)) {
      expect(outcome).toMatchObject({ status: 12, stdout: '', stderr: '' });
    }
    const kept = readdirSync(isRuncell ? `${box.root}/states` : box.root);
    expect(kept).toEqual([]);
  });

  const RACE = { notRunc: 'a second may win the race' };
  check('of ten creates of one id one wins, the others say why', RACE, async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    const args = ['create', '--bundle', bundle.dir, id];
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => box.verb(args, { detached: true })),
    );
    const winners = outcomes.filter(({ status }) => status === 0);
    expect(winners).toHaveLength(1);
    for (const { status, stderr } of outcomes) {
      if (status !== 0)
        expect(stderr).toMatch(/container with given ID already exists|cgroup is not empty/);
    }
    expect(await box.status(id)).toBe('created');
  });

  check('of ten starts of one container one wins', RACE, async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => box.verb(['start', container.id])),
    );
    expect(outcomes.filter(({ status }) => status === 0)).toHaveLength(1);
    for (const { status, stderr } of outcomes) {
      if (status !== 0) expect(stderr).toContain('cannot start an already running container');
    }
  });

  check('deletes, kills and states of one container never leave half of it', async (box) => {
    for (let round = 0; round < 5; round++) {
      const container = await box.start(box.bundle(['sleep', '100']));
      const verbs = ['delete --force', 'kill', 'state', 'delete --force', 'state'];
      const outcomes = await Promise.all(
        verbs.map((verb) => box.verb([...verb.split(' '), container.id])),
      );
      expect(outcomes.some(({ status }) => status === 0)).toBe(true);
      await box.verb(['delete', '--force', container.id]);
      expect((await box.verb(['state', container.id])).status).toBe(1);
      await eventually('init is gone', () => descendants(container.pid).length === 0);
    }
  });

  check('list while containers come and go lists what is whole', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    let done = false;
    const churn = (async () => {
      for (let round = 0; round < 10; round++) {
        const { id } = await box.create(bundle);
        await box.silent(['delete', id]);
      }
      done = true;
    })();
    let lists = 0;
    while (!done) {
      const { status, stdout } = await box.verb(['list', '--format', 'json']);
      expect(status).toBe(0);
      for (const one of (JSON.parse(stdout) ?? []) as { id: string }[])
        expect(one.id).toContain(box.tag);
      lists++;
    }
    await churn;
    expect(lists).toBeGreaterThan(2);
  });
});
