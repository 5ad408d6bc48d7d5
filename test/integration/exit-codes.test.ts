/**
 * The exit code of a foreground `run` and `exec`, and the signals that go through them.
 * runtime-cli.md §1.5 and §4.4.
 */

import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect } from 'vitest';
import { type Box, type Bundle, type Outcome, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';

const CODES = [0, 1, 2, 3, 42, 124, 125, 126, 127, 128, 129, 137, 143, 200, 254, 255];
/** Without SIGQUIT, which busybox's shell ignores. */
const FATAL = ['SIGHUP', 'SIGINT', 'SIGABRT', 'SIGKILL', 'SIGSEGV', 'SIGTERM'] as const;

describe('exit code', () => {
  check("run ends with the program's own", async (box) => {
    const bundle = box.bundle(['true']);
    for (const code of CODES) {
      box.rewrite(bundle, (spec) => {
        spec.process.args = ['sh', '-c', `exit ${code}`];
      });
      const outcome = await box.run(bundle);
      expect(outcome).toMatchObject({ status: code, stdout: '', stderr: '' });
    }
  });

  check("exec ends with the program's own", async (box) => {
    const { id } = await box.start(box.bundle(['sleep', '100']));
    for (const code of CODES) {
      const outcome = await box.verb(['exec', id, 'sh', '-c', `exit ${code}`]);
      expect(outcome).toMatchObject({ status: code, stdout: '', stderr: '' });
    }
  });

  check('exec of a program that a signal ends is 128 + signal', async (box) => {
    const { id } = await box.start(box.bundle(['sleep', '100']));
    for (const signal of FATAL) {
      const name = signal.slice(3);
      const outcome = await box.verb(['exec', id, 'sh', '-c', `kill -${name} $$`]);
      expect({ signal, status: outcome.status }).toEqual({
        signal,
        status: 128 + constants.signals[signal],
      });
    }
  });

  check('run of a program that a signal ends is 128 + signal', async (box) => {
    // A pid namespace's init only dies of KILL from outside, so the signal comes from the host.
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    const running = box.verb(['run', '--bundle', bundle.dir, id]);
    await eventually('running', async () => (await box.verb(['state', id])).status === 0);
    await box.until(id, 'running');
    await box.silent(['kill', id, 'KILL']);
    expect(await running).toMatchObject({ status: 137, stdout: '', stderr: '' });
  });

  check('run without a private pid namespace reports every fatal signal', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'pid');
    });
    for (const signal of FATAL) {
      box.rewrite(bundle, (spec) => {
        spec.process.args = ['sh', '-c', `kill -${signal.slice(3)} $$; sleep 5`];
      });
      const { status } = await box.run(bundle);
      expect({ signal, status }).toEqual({ signal, status: 128 + constants.signals[signal] });
    }
  });

  check('exec that cannot run is 255', async (box) => {
    const { id } = await box.start(box.bundle(['sleep', '100']));
    const line = refusal(await box.verb(['exec', id, 'no-such-program']), 255);
    expect(line).toContain('exec failed: ');
    expect(line).toContain('executable file not found in $PATH');
  });

  check('run deletes the container, and keeps it with --keep', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'exit 5']);
    const gone = box.id();
    expect((await box.verb(['run', '--bundle', bundle.dir, gone])).status).toBe(5);
    expect((await box.verb(['state', gone])).status).toBe(1);
  });

  check('run --keep leaves a stopped container', { notRunc: 'came with 1.2' }, async (box) => {
    const bundle = box.bundle(['sh', '-c', 'exit 5']);
    const id = box.id();
    expect((await box.verb(['run', '--keep', '--bundle', bundle.dir, id])).status).toBe(5);
    expect(await box.status(id)).toBe('stopped');
    await box.silent(['delete', id]);
  });

  check('run --detach returns at once and leaves a running container', async (box) => {
    const { id, pid } = await box.runDetached(box.bundle(['sleep', '100']));
    expect(await box.status(id)).toBe('running');
    expect(isAlive(pid)).toBe(true);
  });

  check('exec --detach returns at once with the pid in its file', async (box) => {
    const { id } = await box.start(box.bundle(['sleep', '100']));
    const file = box.path('exec.pid');
    await box.silent(['exec', '--detach', '--pid-file', file, id, 'sleep', '99'], {
      detached: true,
    });
    const text = readFileSync(file, 'latin1');
    expect(text).toMatch(/^[0-9]+$/);
    const program = () => readFileSync(`/proc/${text}/cmdline`, 'latin1');
    await eventually('exec', () => program() === 'sleep\x0099\0');
  });

  check('run --no-subreaper works as run', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'exit 4']);
    expect(await box.run(bundle, ['--no-subreaper'])).toMatchObject({ status: 4, stderr: '' });
  });

  check('run with --pid-file writes it while the program runs', async (box) => {
    const file = box.path('run.pid');
    const script = 'while [ ! -f /tmp/go ]; do sleep 0.01; done';
    const bundle = box.bundle(['sh', '-c', script], writable);
    const running = box.run(bundle, ['--pid-file', file]);
    await eventually('pid file', () => existsSync(file));
    expect(isAlive(Number(readFileSync(file, 'latin1')))).toBe(true);
    writeFileSync(`${bundle.rootfs}/tmp/go`, '');
    expect((await running).status).toBe(0);
  });
});

function writable(spec: { root: { readonly?: boolean } }): void {
  spec.root.readonly = false;
}

/** Prints what it catches and ends with 50 + n on the signal n it was told to stop at. */
const TRAPS = ['HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'TERM', 'CONT', 'ALRM', 'WINCH']
  .map((name) => `trap 'echo got ${name}' ${name}`)
  .join('; ');
const CATCHER = `${TRAPS}; trap 'exit 77' PIPE; echo ready; while :; do sleep 0.01; done`;

async function caught(
  box: Box,
  start: (onSpawn: (child: ChildProcess) => void) => Promise<Outcome>,
  signals: readonly NodeJS.Signals[],
): Promise<Outcome> {
  let process: ChildProcess | undefined;
  let out = '';
  const running = start((child) => {
    process = child;
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
  });
  await Promise.race([eventually('ready', () => out.includes('ready\n')), running]);
  for (const signal of signals) {
    process?.kill(signal);
    const line = `got ${signal.slice(3)}\n`;
    await eventually(`${box.tag}: ${signal} arrived in ${out}`, () => out.includes(line));
  }
  process?.kill('SIGPIPE');
  return running;
}

describe('signals of a foreground process', () => {
  const FORWARDED = [
    'SIGHUP',
    'SIGINT',
    'SIGQUIT',
    'SIGUSR1',
    'SIGUSR2',
    'SIGTERM',
    'SIGCONT',
    'SIGALRM',
  ] as const;

  check('run forwards them to the program and stays', async (box) => {
    const bundle: Bundle = box.bundle(['sh', '-c', CATCHER]);
    const outcome = await caught(box, (onSpawn) => box.run(bundle, [], { onSpawn }), FORWARDED);
    expect(outcome).toMatchObject({ status: 77, stderr: '' });
  });

  check('exec forwards them to its own process only', async (box) => {
    const container = await box.start(box.bundle(['sh', '-c', CATCHER]));
    const args = ['exec', container.id, 'sh', '-c', CATCHER];
    const outcome = await caught(box, (onSpawn) => box.verb(args, { onSpawn }), FORWARDED);
    expect(outcome).toMatchObject({ status: 77, stderr: '' });
    expect(container.out()).toBe('ready\n');
  });

  check('a runtime killed by KILL leaves a container that delete --force removes', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'echo ready; sleep 100']);
    const id = box.id();
    let child: ChildProcess | undefined;
    const onSpawn = (spawned: ChildProcess) => {
      child = spawned;
      spawned.stdout?.once('data', () => spawned.kill('SIGKILL'));
    };
    const running = box.verb(['run', '--bundle', bundle.dir, id], { onSpawn });
    // The container still holds the pipes.
    await eventually('killed', () => child?.signalCode === 'SIGKILL');
    expect(['running', 'stopped']).toContain(await box.status(id));
    await box.silent(['delete', '--force', id]);
    await running;
  });
});
