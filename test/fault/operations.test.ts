/**
 * Every system call of the executor and of init fails once: the n-th `fsopen`, the n-th
 * `move_mount` … by strace's injection of EIO, an errno that no step may take for an answer.
 * The container must not run then, one line must say why, and nothing may be left.
 *
 * A step whose failure changes nothing of what was asked for is in TOLERATED, with the reason.
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Bundle, Outcome } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { cgroupsNamed } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';
import { type Spec, useUserNamespace } from '../helpers/spec.ts';

const own = { tool: 'strace', timeoutMs: 900_000 } as const;

/** Calls that only the executor and init make. (clone3 makes Node's threads too.) */
const CALLS = [
  'memfd_create',
  'execveat',
  'open_tree',
  'mount_setattr',
  'setsid',
  'keyctl',
  'fsopen',
  'fsconfig',
  'fsmount',
  'move_mount',
  'openat2',
  'mkdirat',
  'mknodat',
  'symlinkat',
  'fchownat',
  'fchdir',
  'pivot_root',
  'umount2',
  'sethostname',
  'setgroups',
  'setresgid',
  'setresuid',
  'capset',
  'chdir',
  'getcwd',
  'close_range',
];

/** What may fail without a word, by its line of the trace: nothing asked for depends on it. */
const TOLERATED: readonly { readonly line: RegExp; readonly reason: string }[] = [
  { line: /"etc\/passwd"/, reason: 'only HOME comes from it, which is / then' },
];

const VARIANTS: Record<string, (spec: Spec) => void> = {
  'default bundle': () => {},
  'user namespace': (spec) => {
    useUserNamespace(spec);
    spec.linux.namespaces.push({ type: 'cgroup' });
  },
};

interface Attempt extends Outcome {
  /** The call that was made to fail, as strace shows it. */
  readonly injected: string | undefined;
}

async function failing(box: Box, bundle: Bundle, call: string, when: number): Promise<Attempt> {
  const id = box.id();
  const trace = box.path('trace');
  const inject = `inject=${call}:error=EIO:when=${when}`;
  const command = ['run', '--detach', '--bundle', bundle.dir, id];
  const outcome = await traced(box, ['-e', `trace=${call}`, '-e', inject, '-o', trace], command);
  const lines = readFileSync(trace, 'latin1').split('\n');
  const injected = lines.find((line) => line.includes('(INJECTED)'));
  if (outcome.status === 0) await box.silent(['delete', '--force', id]);
  expect((await box.verb(['state', id])).status).toBe(1);
  expect(cgroupsNamed(id)).toEqual([]);
  return { ...outcome, injected };
}

function traced(box: Box, flags: readonly string[], command: readonly string[]): Promise<Outcome> {
  const tracer = ['-f', '-qq', '--seccomp-bpf', ...flags];
  return box.command('strace', [...tracer, runtime.path, '--root', box.root, ...command], {
    detached: true,
  });
}

/** How often the busiest process makes the call: strace counts each process by itself. */
async function callsOf(box: Box, bundle: Bundle): Promise<Map<string, number>> {
  const id = box.id();
  const trace = box.path('trace');
  const flags = ['-e', `trace=${CALLS.join(',')}`, '-o', trace];
  const outcome = await traced(box, flags, ['run', '--detach', '--bundle', bundle.dir, id]);
  expect(outcome).toMatchObject({ status: 0, stderr: '' });
  await box.silent(['delete', '--force', id]);
  const counts = new Map<string, number>();
  const most = new Map<string, number>();
  for (const line of readFileSync(trace, 'latin1').split('\n')) {
    const [, pid, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (call === undefined) continue;
    const key = `${pid} ${call}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    most.set(call, Math.max(most.get(call) ?? 0, counts.get(key)!));
  }
  return most;
}

describe('a system call that fails', () => {
  for (const [variant, patch] of Object.entries(VARIANTS)) {
    check(`each of ${variant}: no container, one line, nothing left`, own, async (box) => {
      const bundle = box.bundle(['true'], patch);
      const survived: string[] = [];
      const unclear: string[] = [];
      let injections = 0;
      for (const [call, count] of await callsOf(box, bundle)) {
        for (let when = 1; when <= count; when++) {
          const { injected, status, stderr } = await failing(box, bundle, call, when);
          if (injected === undefined) continue;
          injections++;
          const lines = stderr.trimEnd().split('\n');
          const tolerated = TOLERATED.some(({ line }) => line.test(injected));
          if (status === 0 && !tolerated) survived.push(injected);
          // The launcher has words of its own and no errno.
          const why = /EIO|^runcell: /.test(stderr);
          const told = lines.length === 1 && why;
          if (status !== 0 && !told) unclear.push(`${call} #${when}: ${stderr}`);
        }
      }
      const findings = [
        ...survived.map((line) => `ran although this failed: ${line}`),
        ...unclear.map((line) => `does not say why: ${line}`),
      ];
      if (findings.length > 0) throw new Error(findings.join('\n'));
      expect(injections).toBeGreaterThan(100);
    });
  }
});
