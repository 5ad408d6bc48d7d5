/**
 * Every system call of the executor and of init fails once: the n-th `fsopen`, the n-th
 * `move_mount` … by strace's injection of EIO, an errno that no step may take for an answer.
 * The container must not run then, one line must say why, and nothing may be left.
 *
 * A step whose failure changes nothing of what was asked for is in TOLERATED, with the reason.
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Outcome } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { cgroupsNamed } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';
import { type Spec, useUserNamespace } from '../helpers/spec.ts';

const own = { tool: 'strace', timeoutMs: 900_000 } as const;

/** Calls that only the executor and init make. (clone3 makes Node's threads too.) */
const CALLS = [
  'memfd_create',
  'execveat',
  'bpf',
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
  'setns',
  'set_mempolicy',
  'pidfd_open',
];

/** Calls of the process that waits for a foreground run or exec. */
const WAIT_CALLS = [
  'memfd_create',
  'signalfd4',
  'ppoll',
  'waitid',
  'pidfd_open',
  'pwrite64',
  'flock',
  'unlinkat',
  'dup3',
];

/** What may fail without a word, by its line of the trace: nothing asked for depends on it. */
const TOLERATED: readonly { readonly line: RegExp; readonly reason: string }[] = [
  { line: /"etc\/passwd"/, reason: 'only HOME comes from it, which is / then' },
  { line: /flock\(|AT_REMOVEDIR/, reason: 'what the wait cannot remove, `finish` does' },
];

const VARIANTS: Record<string, (spec: Spec) => void> = {
  'default bundle': () => {},
  'user namespace': (spec) => {
    useUserNamespace(spec);
    spec.linux.namespaces.push({ type: 'cgroup' });
    spec.linux['memoryPolicy'] = { mode: 'MPOL_BIND', nodes: '0' };
  },
};

interface Attempt extends Outcome {
  /** The call that was made to fail, as strace shows it. */
  readonly injected: string | undefined;
}

/** Runs the verb with the `when`-th `call` of each process failing. */
async function failing(
  box: Box,
  command: readonly string[],
  call: string,
  when: number,
): Promise<Attempt> {
  const trace = box.path('trace');
  const inject = `inject=${call}:error=EIO:when=${when}`;
  const outcome = await traced(box, ['-e', `trace=${call}`, '-e', inject, '-o', trace], command);
  const lines = readFileSync(trace, 'latin1').split('\n');
  return { ...outcome, injected: lines.find((line) => line.includes('(INJECTED)')) };
}

function traced(box: Box, flags: readonly string[], command: readonly string[]): Promise<Outcome> {
  const tracer = ['-f', '-qq', '--seccomp-bpf', ...flags];
  return box.command('strace', [...tracer, runtime.path, '--root', box.root, ...command], {
    detached: true,
  });
}

/** How often the busiest process makes each call: strace counts every process by itself. */
async function callsOf(
  box: Box,
  command: readonly string[],
  calls: readonly string[],
): Promise<Map<string, number>> {
  const trace = box.path('trace');
  const flags = ['-e', `trace=${calls.join(',')}`, '-o', trace];
  expect(await traced(box, flags, command)).toMatchObject({ status: 0, stderr: '' });
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

/** What is wrong with the outcome, if anything. */
function finding({ injected, status, stderr }: Attempt): string | undefined {
  if (injected === undefined) return undefined;
  if (status === 0) {
    const tolerated = TOLERATED.some(({ line }) => line.test(injected));
    return tolerated ? undefined : `ran although this failed: ${injected}`;
  }
  // The launcher has words of its own and no errno.
  const told = /EIO|^runcell: /.test(stderr) && stderr.trimEnd().split('\n').length === 1;
  // Only the self-copy makes this call, and the program after it is on its way when it fails.
  const placed = !/ execveat\(/.test(injected) || stderr.includes('run from a sealed copy');
  return told && placed ? undefined : `does not say why: ${injected}: ${stderr}`;
}

interface Subject {
  readonly command: readonly string[];
  /** Proves that nothing is left of the attempt. */
  readonly after: (attempt: Attempt) => Promise<void>;
}

/** Fails each call of a verb once; a new subject for every attempt. */
async function failEach(
  box: Box,
  subject: () => Subject,
  names: readonly string[] = CALLS,
): Promise<void> {
  const findings: string[] = [];
  let injections = 0;
  const first = subject();
  const calls = await callsOf(box, first.command, names);
  await first.after({ ...NOTHING, injected: undefined });
  for (const [call, count] of calls) {
    for (let when = 1; when <= count; when++) {
      const { command, after } = subject();
      const attempt = await failing(box, command, call, when);
      await after(attempt);
      if (attempt.injected !== undefined) injections++;
      const wrong = finding(attempt);
      if (wrong !== undefined) findings.push(wrong);
    }
  }
  if (findings.length > 0) throw new Error(findings.join('\n'));
  expect(injections).toBeGreaterThan(names.length / 2);
}

const NOTHING: Outcome = { status: 0, signal: null, stdout: '', stderr: '', milliseconds: 0 };

describe('a system call that fails', () => {
  for (const [variant, patch] of Object.entries(VARIANTS)) {
    check(`run, ${variant}: no container, one line, nothing left`, own, async (box) => {
      const bundle = box.bundle(['true'], patch);
      await failEach(box, () => {
        const id = box.id();
        return {
          command: ['run', '--detach', '--bundle', bundle.dir, id],
          after: async ({ status }) => {
            if (status === 0) await box.silent(['delete', '--force', id]);
            expect((await box.verb(['state', id])).status).toBe(1);
            expect(cgroupsNamed(id)).toEqual([]);
          },
        };
      });
    });

    check(`run in the foreground, ${variant}: one line, nothing left`, own, async (box) => {
      const bundle = box.bundle(['true'], patch);
      await failEach(
        box,
        () => {
          const id = box.id();
          return {
            command: ['run', '--bundle', bundle.dir, id],
            after: async ({ injected, stderr }) => {
              const left = (await box.verb(['state', id])).status === 0;
              if (left) throw new Error(`left a container: ${injected}: ${stderr}`);
              expect(cgroupsNamed(id)).toEqual([]);
            },
          };
        },
        WAIT_CALLS,
      );
    });

    check(`exec, ${variant}: 255, one line, the container runs on`, own, async (box) => {
      const container = await box.start(box.bundle(['sleep', '1000'], patch));
      const members = `${cgroupsNamed(container.id)[0]}/cgroup.procs`;
      await failEach(box, () => ({
        command: ['exec', container.id, 'true'],
        after: async ({ injected, status, stderr }) => {
          // The launcher does not know the verb yet: it exits 1.
          const failed = stderr.startsWith('runcell: ') ? 1 : 255;
          if (status !== 0 && status !== failed) {
            throw new Error(`exit code ${status} when this failed: ${injected}: ${stderr}`);
          }
          expect(readFileSync(members, 'latin1')).toBe(`${container.pid}\n`);
        },
      }));
      expect(await box.exec(container, ['echo', 'well'])).toBe('well');
    });
  }
});
