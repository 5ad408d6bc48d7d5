/**
 * Hooks that fail, hang or are not there, at each stage: what the verb says, which hooks still
 * run, what is left. runtime-spec 1.3 runtime.md#lifecycle (the MUSTs after each hook).
 */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Bundle, refusal, said } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { allProcesses, isAlive } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';
import type { SpecHook } from '../helpers/spec.ts';

const CREATE_POINTS = ['prestart', 'createRuntime', 'createContainer'] as const;

function withHooks(box: Box, hooks: Record<string, SpecHook[]>, args = ['sleep', '100']): Bundle {
  return box.bundle(args, (spec) => {
    spec.hooks = hooks;
  });
}

const sh = (script: string, more: Partial<SpecHook> = {}): SpecHook => ({
  path: '/bin/sh',
  args: ['sh', '-c', script],
  env: ['PATH=/usr/bin:/bin'],
  ...more,
});
const note = (file: string) => sh(`echo ran >>${file}`);

describe('a failing hook', () => {
  for (const point of CREATE_POINTS) {
    check(`${point}: create fails with its stderr, poststop runs, nothing is left`, async (box) => {
      const file = box.path('poststop');
      const bundle = withHooks(box, {
        [point]: [
          note(box.path('first')),
          sh('echo the reason >&2; exit 3'),
          note(box.path('third')),
        ],
        poststop: [note(file)],
      });
      const id = box.id();
      const pidFile = box.path('pid');
      const args = ['create', '--bundle', bundle.dir, '--pid-file', pidFile, id];
      const line = refusal(await box.verb(args));
      expect(line).toMatch(/exit status 3/);
      expect(line).toContain('the reason');
      expect(line).toMatch(isRuncell ? new RegExp(`hooks\\.${point}\\[1\\]`) : /hook #1/);
      // createContainer's first hook writes to a path that its mount namespace shares.
      expect(readFileSync(box.path('first'), 'utf8')).toBe('ran\n');
      expect(existsSync(box.path('third'))).toBe(false);
      expect(existsSync(pidFile)).toBe(false);
      expect((await box.verb(['state', id])).status).toBe(1);
      expect(readFileSync(file, 'utf8')).toBe('ran\n');
    });

    check(`${point}: run fails the same way`, async (box) => {
      const bundle = withHooks(box, { [point]: [sh('exit 1')] });
      expect(refusal(await box.run(bundle))).toMatch(/exit status 1/);
    });

    check(`${point}: a path that is not there is told`, async (box) => {
      const bundle = withHooks(box, { [point]: [{ path: '/no/such/hook' }] });
      expect(refusal(await box.run(bundle))).toMatch(/\/no\/such\/hook.*no such file or directory/);
    });

    check(`${point}: a file without x is told`, async (box) => {
      const bundle = withHooks(box, { [point]: [{ path: '/etc/passwd' }] });
      expect(refusal(await box.run(bundle))).toMatch(/\/etc\/passwd.*permission denied/);
    });

    check(`${point}: death by a signal is told`, async (box) => {
      const bundle = withHooks(box, { [point]: [sh('kill -SEGV $$')] });
      expect(refusal(await box.run(bundle))).toMatch(/segmentation fault|SIGSEGV|signal/);
    });

    check(`${point}: one that hangs is killed at its timeout`, async (box) => {
      const marker = `${box.tag}-${point}`;
      const hang = sh(`exec -a ${marker} sleep 1000`, { path: '/bin/bash', timeout: 1 });
      const bundle = withHooks(box, { [point]: [hang], poststop: [note(box.path('post'))] });
      const id = box.id();
      const outcome = await box.verb(['create', '--bundle', bundle.dir, id], { timeoutMs: 15_000 });
      expect(refusal(outcome)).toMatch(/hook ran past specified timeout of 1(\.0)?s/);
      expect(outcome.milliseconds).toBeGreaterThan(900);
      expect(outcome.milliseconds).toBeLessThan(8000);
      expect(commandLines().filter((line) => line.startsWith(marker))).toEqual([]);
      expect((await box.verb(['state', id])).status).toBe(1);
    });
  }

  check('startContainer: the program never runs, the container stops', async (box) => {
    const bundle = withHooks(box, { startContainer: [sh('exit 5')] }, ['touch', '/dev/shm/ran']);
    const { id, pid } = await box.create(bundle);
    const outcome = await box.verb(['start', id]);
    // runc has answered before the hook runs.
    if (isRuncell) {
      expect(refusal(outcome)).toMatch(/hooks\.startContainer\[0\].*exit status 5/);
    }
    await eventually('init ended', () => !isAlive(pid));
    await box.until(id, 'stopped');
    await box.silent(['delete', id]);
  });

  const AT_CREATE = { notRunc: 'runc 1.1.5 runs it at create' };
  check('poststart: start fails and the container is gone', AT_CREATE, async (box) => {
    const file = box.path('poststop');
    const bundle = withHooks(box, {
      poststart: [sh('echo post why >&2; exit 6')],
      poststop: [note(file)],
    });
    const { id, pid } = await box.create(bundle);
    const line = refusal(await box.verb(['start', id]));
    expect(line).toMatch(/hooks\.poststart\[0\].*exit status 6/);
    expect(line).toContain('post why');
    await eventually('init ended', () => !isAlive(pid));
    expect(['stopped', 'gone']).toContain(await statusOrGone(box, id));
  });

  check('poststart: a timeout counts as failure', AT_CREATE, async (box) => {
    const bundle = withHooks(box, { poststart: [sh('sleep 1000', { timeout: 1 })] });
    const { id, pid } = await box.create(bundle);
    const line = refusal(await box.verb(['start', id], { timeoutMs: 15_000 }));
    expect(line).toMatch(/timeout/);
    await eventually('init ended', () => !isAlive(pid));
  });

  check('poststop: the rest still run and the container is gone', async (box) => {
    const file = box.path('after');
    const bundle = withHooks(box, { poststop: [sh('echo bad >&2; exit 7'), note(file)] }, ['true']);
    const { id } = await box.start(bundle);
    await box.until(id, 'stopped');
    const outcome = await box.verb(['delete', id]);
    expect((await box.verb(['state', id])).status).toBe(1);
    // The specification: log a warning and go on; runc stops at the first.
    if (!isRuncell) return;
    expect(readFileSync(file, 'utf8')).toBe('ran\n');
    expect(outcome.status).toBe(0);
    expect(said(outcome)).toMatch(/poststop\[0\].*exit status 7/);
  });

  check('poststop that hangs is killed at its timeout', async (box) => {
    const bundle = withHooks(box, { poststop: [sh('exec sleep 1000', { timeout: 1 })] }, ['true']);
    const { id } = await box.start(bundle);
    await box.until(id, 'stopped');
    const outcome = await box.verb(['delete', id], { timeoutMs: 15_000 });
    expect(outcome.milliseconds).toBeLessThan(8000);
    expect((await box.verb(['state', id])).status).toBe(1);
  });

  check('a grandchild that keeps stdout open does not hold the verb', async (box) => {
    const marker = `${box.tag}-grandchild`;
    const script = `(exec -a ${marker} sleep 3 &) ; exit 0`;
    const bundle = withHooks(box, { createRuntime: [{ ...sh(script), path: '/bin/bash' }] });
    const id = box.id();
    const outcome = await box.verb(['create', '--bundle', bundle.dir, id], { detached: true });
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    if (isRuncell) expect(outcome.milliseconds).toBeLessThan(2500);
    await eventually('grandchild ended', () =>
      commandLines().every((line) => !line.startsWith(marker)),
    );
  });

  check('the tail of a long stderr is quoted, on one line', async (box) => {
    const script =
      'i=0; while [ $i -lt 2000 ]; do echo "noise $i" >&2; i=$((i+1)); done; printf "last\\nwords\\033[31m" >&2; exit 1';
    const bundle = withHooks(box, { createRuntime: [sh(script)] });
    const outcome = await box.run(bundle);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/last.*words/s);
    if (!isRuncell) return;
    const line = refusal(outcome);
    expect(line.length).toBeLessThan(2500);
    expect(line).not.toContain('\u001b');
    expect(line).not.toContain('noise 10 ');
  });

  const LAX = { notRunc: 'it takes both' };
  check('a relative path and a timeout of 0 are refused by their field', LAX, async (box) => {
    for (const hook of [{ path: 'bin/sh' }, { path: '/bin/sh', timeout: 0 }]) {
      const bundle = withHooks(box, { createRuntime: [hook] });
      expect(refusal(await box.run(bundle))).toContain('hooks.createRuntime[0]');
    }
  });
});

async function statusOrGone(box: Box, id: string): Promise<string> {
  return (await box.verb(['state', id])).status === 0 ? box.status(id) : 'gone';
}

function commandLines(): string[] {
  return allProcesses().map(({ pid }) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch {
      return '';
    }
  });
}
