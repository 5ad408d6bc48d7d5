/**
 * The runtime killed at any moment (engines do: runtime-cli.md §0.8), with SIGKILL and in the
 * middle of every verb: then `delete --force` leaves nothing, and the next verb is not delayed.
 *
 * Two ways to a moment: a random delay within the verb's usual time, and, exhaustively, on entering
 * each state-changing system call (strace's fault injection sends the signal).
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Bundle, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { cgroupsNamed, descendants, isAlive, procStat } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';

const own = { timeoutMs: 240_000 };

/** What a verb that nothing delays may take, on a slow machine. */
const PROMPT_MS = 3000;

interface Prepared {
  readonly args: readonly string[];
  readonly id: string;
}

/** Each verb with what must be there before it. */
const VERBS: Record<string, (box: Box, bundle: Bundle) => Promise<Prepared>> = {
  create: async (box, bundle) => {
    const id = box.id();
    return { id, args: ['create', '--bundle', bundle.dir, '--pid-file', box.path('pid'), id] };
  },
  start: async (box, bundle) => {
    const { id } = await box.create(bundle);
    return { id, args: ['start', id] };
  },
  exec: async (box, bundle) => {
    const { id } = await box.start(bundle);
    return { id, args: ['exec', id, 'true'] };
  },
  delete: async (box, bundle) => {
    const { id } = await box.create(bundle);
    return { id, args: ['delete', id] };
  },
  pause: async (box, bundle) => {
    const { id } = await box.start(bundle);
    return { id, args: ['pause', id] };
  },
  resume: async (box, bundle) => {
    const { id } = await box.start(bundle);
    await box.silent(['pause', id]);
    return { id, args: ['resume', id] };
  },
  'kill --all': async (box, bundle) => {
    const { id } = await box.start(bundle);
    return { id, args: ['kill', '--all', id, 'WINCH'] };
  },
  run: async (box, bundle) => {
    const id = box.id();
    return { id, args: ['run', '--detach', '--bundle', bundle.dir, id] };
  },
};

/** After the murder: a state that answers, no wait for anybody's lock, and nothing left. */
async function recovers(box: Box, id: string): Promise<void> {
  const state = await box.verb(['state', id]);
  expect(state.milliseconds).toBeLessThan(PROMPT_MS);
  if (state.status !== 0) expect(state.stderr).not.toMatch(/\n\s+at |internal/);
  const pid = state.status === 0 ? Number((JSON.parse(state.stdout) as { pid: number }).pid) : 0;
  const list = await box.verb(['list', '--format', 'json']);
  expect(list.status).toBe(0);
  const deleted = await box.verb(['delete', '--force', id]);
  expect(deleted).toMatchObject({ status: 0, stdout: '', stderr: '' });
  expect(deleted.milliseconds).toBeLessThan(PROMPT_MS);
  expect((await box.verb(['state', id])).status).toBe(1);
  expect(cgroupsNamed(id)).toEqual([]);
  if (pid !== 0) await eventually(`init ${pid} ended`, () => !isAlive(pid));
}

describe('SIGKILL after a random time', () => {
  for (const [verb, prepare] of Object.entries(VERBS)) {
    check(`${verb}: delete --force cleans up, the next verb is prompt`, own, async (box) => {
      const bundle = box.bundle(['sleep', '1000']);
      for (let round = 0; round < 25; round++) {
        const { id, args } = await prepare(box, bundle);
        let killed = false;
        const outcome = await box.verb(args, {
          detached: true,
          onSpawn: (child) => {
            setTimeout(() => {
              killed = child.kill('SIGKILL');
            }, Math.random() * 70);
          },
        });
        expect(killed ? 'killed' : outcome.status).not.toBe(255);
        await recovers(box, id);
      }
      // The survivors of a killed verb end by themselves: the census after this test.
      await sleep(50);
    });
  }
});

/** System calls by which a verb changes the world. */
const CHANGING = [
  'mkdir',
  'mkdirat',
  'openat',
  'rename',
  'renameat2',
  'unlink',
  'rmdir',
  'write',
  'mknodat',
  'flock',
  'execve',
  'sendto',
  'sendmsg',
];

async function killedAt(
  box: Box,
  args: readonly string[],
  call: string,
  when: number,
): Promise<boolean> {
  const inject = `inject=${call}:signal=KILL:when=${when}`;
  const command = ['-qq', '-e', `trace=${call}`, '-e', inject, '-o', box.path('trace')];
  const outcome = await box.command(
    'strace',
    [...command, runtime.path, '--root', box.root, ...args],
    {
      detached: true,
    },
  );
  const died = /\+\+\+ killed by SIGKILL/.test(readFileSync(box.path('trace'), 'latin1'));
  return died || outcome.signal === 'SIGKILL';
}

describe('SIGKILL on a system call of the verb', () => {
  for (const [verb, prepare] of Object.entries(VERBS)) {
    check(
      `${verb}: each of the calls that change something`,
      { ...own, tool: 'strace', timeoutMs: 600_000 },
      async (box) => {
        const bundle = box.bundle(['sleep', '1000']);
        let deaths = 0;
        for (const call of CHANGING) {
          // The launcher's and Node's own calls come first: the interesting ones are the last.
          const count = await callsOf(box, await prepare(box, bundle), call);
          const from = Math.max(1, count - 7);
          for (let when = from; when <= count; when++) {
            const { id, args } = await prepare(box, bundle);
            if (await killedAt(box, args, call, when)) deaths++;
            await recovers(box, id);
          }
        }
        expect(deaths).toBeGreaterThan(10);
      },
    );
  }
});

/** How often the verb makes the call; the container is deleted again. */
async function callsOf(box: Box, { id, args }: Prepared, call: string): Promise<number> {
  const trace = box.path('count');
  const command = [
    '-qq',
    '-e',
    `trace=${call}`,
    '-o',
    trace,
    runtime.path,
    '--root',
    box.root,
    ...args,
  ];
  const { status, stderr } = await box.command('strace', command, { detached: true });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  await box.verb(['delete', '--force', id]);
  const lines = readFileSync(trace, 'latin1').split('\n');
  return lines.filter((line) => line.startsWith(`${call}(`)).length;
}

describe('the lock of a killed verb', () => {
  check('does not delay the next one', own, async (box) => {
    const container: Container = await box.start(box.bundle(['sleep', '1000']));
    for (let round = 0; round < 10; round++) {
      await box.verb(['delete', '--force', container.id], {
        onSpawn: (child) => {
          setTimeout(() => child.kill('SIGKILL'), 25 + round * 3);
        },
      });
      const { milliseconds } = await box.verb(['kill', container.id, '0']);
      expect(milliseconds).toBeLessThan(PROMPT_MS);
    }
    await box.verb(['delete', '--force', container.id]);
  });

  check(
    'a stopped verb (SIGSTOP) makes the others wait with a deadline, in words',
    own,
    async (box) => {
      const { id } = await box.create(box.bundle(['sleep', '1000']));
      const trace = box.path('trace');
      // Stopped while it holds the lock: right after flock returned.
      const command = [
        '-qq',
        '-e',
        'trace=flock',
        '-e',
        'inject=flock:signal=STOP:when=1',
        '-o',
        trace,
      ];
      const args = [...command, runtime.path, '--root', box.root, 'start', id];
      const stopped = box.command('strace', args, { timeoutMs: 120_000 });
      await eventually('it is stopped', () => /SIGSTOP/.test(readTrace(trace)));
      const outcome = await box.verb(['delete', '--force', id], { timeoutMs: 60_000 });
      expect(refusal(outcome)).toMatch(/lock|busy|another/);
      for (const { pid, comm } of descendants(process.pid)) {
        if (comm !== 'strace' && isStopped(pid)) process.kill(pid, 'SIGKILL');
      }
      await stopped;
      await box.silent(['delete', '--force', id]);
    },
  );
});

const isStopped = (pid: number) => /^[tT]$/.test(procStat(pid)?.state ?? '');

function readTrace(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
