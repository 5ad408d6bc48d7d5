/**
 * Interleaved timing: every round runs each command once, so that what disturbs the machine
 * disturbs all of them; medians over the rounds are compared.
 *
 * The commands are started by a worker process, one in the host's namespaces and one in a private
 * mount namespace with a pure cgroup2 view (crun refuses hybrid hosts). Both measure alike.
 */

import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { adopt } from '../helpers/reaper.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** stderr is /dev/null too: a container may keep it open. */
  readonly quiet?: boolean;
}

export interface Timed {
  readonly milliseconds: number;
  readonly status: number | null;
  readonly stderr: string;
}

const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

export type View = 'host' | 'cgroup2';

/** Starts commands one after another and says how long each took. */
export class Worker implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<never>;

  constructor(view: View) {
    const script = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"';
    const inside = ['--mount', 'sh', '-c', script, 'sh', process.execPath];
    this.#process = adopt(
      fork(import.meta.filename, ['worker'], {
        env: ENVIRONMENT,
        ...(view === 'host' ? {} : { execPath: '/usr/bin/unshare', execArgv: inside }),
      }),
    );
    this.#ended = new Promise((_, failed) => {
      this.#process.once('exit', (status) => failed(new Error(`the worker ended: ${status}`)));
    });
    this.#ended.catch(() => {}); // Told to whoever waits for an answer.
  }

  time(command: Command): Promise<Timed> {
    const answer = new Promise<Timed>((done) => {
      this.#process.once('message', (message) => done(message as Timed));
    });
    this.#process.send(command);
    return Promise.race([answer, this.#ended]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.disconnect();
    await this.#ended.catch(() => {});
  }
}

function timed({ file, args, quiet }: Command): Timed {
  const started = process.hrtime.bigint();
  const { status, stderr, error } = spawnSync(file, [...args], {
    env: ENVIRONMENT,
    stdio: ['ignore', 'ignore', quiet === true ? 'ignore' : 'pipe'],
    timeout: 30_000,
  });
  const milliseconds = Number(process.hrtime.bigint() - started) / 1e6;
  return { milliseconds, status, stderr: error?.message ?? stderr?.toString() ?? '' };
}

if (process.argv[2] === 'worker' && process.send !== undefined) {
  process.on('message', (command) => process.send?.(timed(command as Command)));
  process.on('disconnect', () => process.exit(0));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Samples by name, in milliseconds. */
export class Samples {
  readonly #values = new Map<string, number[]>();

  add(name: string, milliseconds: number): void {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [milliseconds]);
    else values.push(milliseconds);
  }

  median(name: string): number {
    return median(this.#values.get(name) ?? []);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Forgets what was added: the rounds that warm the page cache. */
  clear(): void {
    this.#values.clear();
  }
}
