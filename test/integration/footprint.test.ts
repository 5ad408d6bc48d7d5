/**
 * The sizes of issue 2 that no noise changes: bytes of script a hot verb loads, private memory of
 * init and of the waiting process, peak memory of the compiler, the two ELFs.
 * proc_pid_smaps(5), proc_pid_status(5). The times are test/bench/figures.ts.
 */

import type { ChildProcess } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect } from 'vitest';
import type { Box } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { loadedScript, peakMemory, privateMemory } from '../helpers/footprint.ts';
import { runtime } from '../helpers/runtime.ts';

const own = { notRunc: 'the bars are for runcell' };
const KIB = 1024;

/** A bundle of `spec`'s own document, without the terminal. */
function specBundle(box: Box, args: string[]) {
  return box.bundle(args, (spec) => {
    spec.linux.namespaces.push({ type: 'cgroup' });
  });
}

describe('footprint', () => {
  check("a created container's init: at most 64 KiB private", own, async (box) => {
    const { pid } = await box.create(specBundle(box, ['sleep', '100']));
    expect(privateMemory(pid)).toBeLessThanOrEqual(64 * KIB);
  });

  check(
    'the process that waits for a foreground run: at most 256 KiB private',
    own,
    async (box) => {
      const bundle = specBundle(box, ['sleep', '100']);
      const id = box.id();
      let pid = 0;
      const onSpawn = (child: ChildProcess) => {
        pid = child.pid!;
      };
      const running = box.verb(['run', '--bundle', bundle.dir, id], { onSpawn });
      await eventually('running', async () => {
        const { status, stdout } = await box.verb(['state', id]);
        return status === 0 && stdout.includes('"running"');
      });
      await eventually('it waits', () => privateMemory(pid) <= 256 * KIB, 2000).catch(() => {});
      expect(privateMemory(pid)).toBeLessThanOrEqual(256 * KIB);
      await box.silent(['kill', id, 'KILL']);
      expect((await running).status).toBe(137);
    },
  );

  check('the executor is at most 1 KiB, the launcher at most 4 KiB', own, async () => {
    const dist = dirname(runtime.path);
    expect(statSync(`${dist}/executor`).size).toBeLessThanOrEqual(KIB);
    expect(statSync(`${dist}/runcell`).size).toBeLessThanOrEqual(4 * KIB);
    expect(readFileSync(`${dist}/executor`).subarray(1, 4).toString('latin1')).toBe('ELF');
  });

  check('a hot verb loads at most 150 KB of script', { ...own, tool: 'strace' }, async (box) => {
    const bundle = specBundle(box, ['sleep', '100']);
    const id = box.id();
    const verbs: Record<string, string[]> = {
      create: ['create', '--bundle', bundle.dir, id],
      start: ['start', id],
      state: ['state', id],
      list: ['list'],
      exec: ['exec', id, 'true'],
      kill: ['kill', id, 'KILL'],
      delete: ['delete', '--force', id],
      run: ['run', '--bundle', box.bundle(['true']).dir, box.id()],
    };
    const bytes: Record<string, number> = {};
    for (const [verb, args] of Object.entries(verbs)) {
      bytes[verb] = await loadedScript(box, args);
    }
    for (const [verb, count] of Object.entries(bytes)) {
      expect({ verb, fits: count > 0 && count <= 150_000, count }).toMatchObject({
        verb,
        fits: true,
      });
    }
  });

  check("the compiler's peak memory is at most 60 MB", { ...own, tool: 'strace' }, async (box) => {
    const bundle = specBundle(box, ['sleep', '100']);
    const id = box.id();
    const verbs = [
      ['create', '--bundle', bundle.dir, id],
      ['start', id],
      ['exec', id, 'true'],
      ['delete', '--force', id],
    ];
    for (const args of verbs) {
      const peak = await peakMemory(box, args);
      expect({ verb: args[0], fits: peak > 0 && peak <= 60_000_000, peak }).toMatchObject({
        fits: true,
      });
    }
  });
});
