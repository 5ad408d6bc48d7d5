/**
 * The sandbox of one test: its own state root, bundles and container ids below one temporary
 * directory, the verbs of the runtime under test with deadlines, and at the end the proof that
 * nothing is left (census.ts).
 *
 * The test process is the subreaper of its containers, like an engine's shim.
 */

import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type Census, leaksSince, takeCensus } from './census.ts';
import { eventually, PATIENCE, sleep } from './eventually.ts';
import { cgroupsNamed, descendants, hostMounts, isAlive } from './proc.ts';
import { adopt, reapOrphans, startReaping, stopReaping } from './reaper.ts';
import { makeRootfs } from './rootfs.ts';
import { isRuncell, runtime } from './runtime.ts';
import { defaultSpec, type Patch, type Spec, specText } from './spec.ts';

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

export interface VerbOptions {
  readonly input?: string;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** stdout and stderr are files that a detached container may keep open. */
  readonly detached?: boolean;
  /** Flags before the verb; `--root` is always given. */
  readonly global?: readonly string[];
  /** More descriptors for the runtime, from 3 on. */
  readonly extraFds?: readonly number[];
  /** Called with the running process. */
  readonly onSpawn?: (child: ChildProcess) => void;
  /** Leave out `--root`. */
  readonly withoutRoot?: boolean;
}

export interface Bundle {
  readonly dir: string;
  readonly rootfs: string;
  readonly spec: Spec;
}

export interface Container {
  readonly id: string;
  readonly bundle: Bundle;
  /** init's pid, from the pid file. */
  readonly pid: number;
  /** What the container wrote so far. */
  out(): string;
  err(): string;
}

const DEADLINE_MS = 20_000;
let boxes = 0;

export class Box {
  readonly tag: string;
  readonly dir: string;
  readonly root: string;
  readonly #before: Census;
  #count = 0;

  constructor() {
    startReaping();
    boxes++;
    this.tag = `rct${process.pid}x${boxes}`;
    this.dir = mkdtempSync(`/tmp/${this.tag}-`);
    // A container root that is no host root must get through: runc looks the rootfs up by path.
    chmodSync(this.dir, 0o711);
    this.root = `${this.dir}/root`;
    this.#before = takeCensus(this);
  }

  /** A fresh container id. */
  id(): string {
    this.#count++;
    return `${this.tag}c${this.#count}`;
  }

  /** A path in the box for a file of the test's own. */
  path(name: string): string {
    return `${this.dir}/${name}`;
  }

  /** A bundle with a rootfs of its own; the container runs `args` unless `patch` says otherwise. */
  bundle(args: readonly string[] = ['true'], patch?: Patch): Bundle {
    this.#count++;
    const dir = `${this.dir}/bundle${this.#count}`;
    mkdirSync(dir);
    const rootfs = makeRootfs(`${dir}/rootfs`);
    const spec = defaultSpec(args);
    patch?.(spec);
    writeFileSync(`${dir}/config.json`, specText(spec));
    return { dir, rootfs, spec };
  }

  /** The same bundle with another configuration. */
  rewrite(bundle: Bundle, patch: Patch): void {
    patch(bundle.spec);
    writeFileSync(`${bundle.dir}/config.json`, specText(bundle.spec));
  }

  /** Runs the runtime with `args` after `--root`. */
  verb(args: readonly string[], options: VerbOptions = {}): Promise<Outcome> {
    const root = options.withoutRoot === true ? [] : ['--root', this.root];
    return this.command(runtime.path, [...root, ...(options.global ?? []), ...args], options);
  }

  /** Runs any program under the box's deadline; its orphans are counted at the end. */
  command(file: string, args: readonly string[], options: VerbOptions = {}): Promise<Outcome> {
    this.#count++;
    const outFile = `${this.dir}/out${this.#count}`;
    const errFile = `${this.dir}/err${this.#count}`;
    const files = options.detached === true;
    const outFd = files ? openSync(outFile, 'w') : undefined;
    const errFd = files ? openSync(errFile, 'w') : undefined;
    const input = options.input;
    const stdio: SpawnOptions['stdio'] = [
      input === undefined ? 'ignore' : 'pipe',
      outFd ?? 'pipe',
      errFd ?? 'pipe',
      ...(options.extraFds ?? []),
    ];
    const started = performance.now();
    const child = adopt(
      spawn(file, args, {
        stdio,
        cwd: options.cwd ?? this.dir,
        env: options.env ?? { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      }),
    );
    if (outFd !== undefined) closeSync(outFd);
    if (errFd !== undefined) closeSync(errFd);
    options.onSpawn?.(child);
    return finish(child, {
      files: files ? [outFile, errFile] : undefined,
      input,
      started,
      timeoutMs: (options.timeoutMs ?? DEADLINE_MS) * PATIENCE,
      what: [file, ...args].join(' '),
    });
  }

  /** A verb that must succeed without a word. */
  async silent(args: readonly string[], options: VerbOptions = {}): Promise<void> {
    const outcome = await this.verb(args, options);
    const { status, signal, stdout, stderr } = outcome;
    if (status !== 0 || stdout !== '' || stderr !== '') {
      const said = JSON.stringify({ status, signal, stdout, stderr });
      throw new Error(`${args.join(' ')}: expected silence and 0, got ${said}`);
    }
  }

  /** `create`, its output in files; throws unless it is silent and leaves a pid file. */
  async create(
    bundle: Bundle,
    flags: readonly string[] = [],
    options: VerbOptions & { id?: string } = {},
  ): Promise<Container> {
    return this.#detached('create', bundle, flags, options);
  }

  /** `run --detach`. */
  async runDetached(
    bundle: Bundle,
    flags: readonly string[] = [],
    options: VerbOptions & { id?: string } = {},
  ): Promise<Container> {
    return this.#detached('run', bundle, ['--detach', ...flags], options);
  }

  async #detached(
    verb: string,
    bundle: Bundle,
    flags: readonly string[],
    options: VerbOptions & { id?: string },
  ): Promise<Container> {
    const id = options.id ?? this.id();
    const pidFile = `${this.dir}/${id}.pid`;
    const at = this.#count + 1;
    const args = [verb, '--bundle', bundle.dir, '--pid-file', pidFile, ...flags, id];
    await this.silent(args, { ...options, detached: true });
    const pid = Number(readFileSync(pidFile, 'latin1'));
    const read = (kind: string) => () => readFileSync(`${this.dir}/${kind}${at}`, 'utf8');
    return { id, bundle, pid, out: read('out'), err: read('err') };
  }

  /** Created and started. */
  async start(bundle: Bundle, flags: readonly string[] = []): Promise<Container> {
    const container = await this.create(bundle, flags);
    await this.silent(['start', container.id]);
    return container;
  }

  /** Foreground `run`. */
  run(bundle: Bundle, flags: readonly string[] = [], options: VerbOptions = {}): Promise<Outcome> {
    return this.verb(['run', '--bundle', bundle.dir, ...flags, this.id()], options);
  }

  /** What a shell script prints in a container with `patch`; anything but success throws. */
  async sh(script: string, patch?: Patch, options: VerbOptions = {}): Promise<string> {
    return this.printed(this.bundle(['sh', '-c', script], patch), options);
  }

  /** What the bundle's process prints when run in the foreground. */
  async printed(bundle: Bundle, options: VerbOptions = {}): Promise<string> {
    const outcome = await this.run(bundle, [], options);
    if (outcome.status !== 0 || outcome.stderr !== '') {
      throw new Error(`run: expected 0 and no error, got ${JSON.stringify(outcome)}`);
    }
    return outcome.stdout.trimEnd();
  }

  /** What `exec` prints. */
  async exec(container: Container, args: readonly string[], flags: readonly string[] = []) {
    const outcome = await this.verb(['exec', ...flags, container.id, ...args]);
    if (outcome.status !== 0 || outcome.stderr !== '') {
      throw new Error(`exec: expected 0 and no error, got ${JSON.stringify(outcome)}`);
    }
    return outcome.stdout.trimEnd();
  }

  async status(id: string): Promise<string> {
    return (await this.state(id))['status'] as string;
  }

  async state(id: string): Promise<Record<string, unknown>> {
    const { status, stdout, stderr } = await this.verb(['state', id]);
    if (status !== 0 || stderr !== '') throw new Error(`state ${id}: ${status} ${stderr}`);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  /** Waits until `state` says `wanted`. */
  async until(id: string, wanted: string): Promise<void> {
    await eventually(`${id} is ${wanted}`, async () => (await this.status(id)) === wanted);
  }

  /** The container's state directory. */
  stateDir(id: string): string {
    return isRuncell ? `${this.root}/states/${id}` : `${this.root}/${id}`;
  }

  /** Deletes every container that is still there, by force. */
  async deleteAll(): Promise<void> {
    for (const id of this.#existing()) await this.verb(['delete', '--force', id]);
  }

  #existing(): string[] {
    const dir = isRuncell ? `${this.root}/states` : this.root;
    return existsSync(dir) ? readdirSync(dir) : [];
  }

  /** Ends the test: deletes what is left by force, then takes the census. */
  async close(): Promise<string[]> {
    startReaping();
    await this.deleteAll();
    reapOrphans();
    let leaks = leaksSince(this.#before, this);
    // What was killed may still be exiting when the verb returned with its cgroup emptied.
    for (let round = 0; leaks.length > 0 && round < 10; round++) {
      await sleep(30);
      reapOrphans();
      leaks = leaksSince(this.#before, this);
    }
    this.#cleanUp();
    stopReaping();
    return leaks;
  }

  /** Whatever the runtime left: only our own descendants, cgroups and directories are touched. */
  #cleanUp(): void {
    for (const stat of descendants(process.pid)) {
      if (this.#before.processes.has(stat.pid) || stat.state === 'Z') continue;
      if (isAlive(stat.pid)) process.kill(stat.pid, 'SIGKILL');
    }
    for (const cgroup of cgroupsNamed(this.tag).reverse()) removeCgroup(cgroup);
    // Never remove through a leaked mount: what is behind it may be the host.
    const mounted = () => hostMounts().filter(({ target }) => target.startsWith(`${this.dir}/`));
    for (const { target } of mounted().reverse()) spawnSync('umount', ['--lazy', target]);
    if (mounted().length === 0) rmSync(this.dir, { recursive: true, force: true });
  }
}

function removeCgroup(dir: string): void {
  try {
    const thaw = { 'freezer.state': 'THAWED', 'cgroup.freeze': '0' };
    for (const [file, value] of Object.entries(thaw)) {
      if (existsSync(`${dir}/${file}`)) writeFileSync(`${dir}/${file}`, value);
    }
    if (existsSync(`${dir}/cgroup.kill`)) writeFileSync(`${dir}/cgroup.kill`, '1');
    rmdirSync(dir);
  } catch {
    // Named by the census; the next run has another tag.
  }
}

interface Finish {
  readonly files: readonly [string, string] | undefined;
  readonly input: string | undefined;
  readonly started: number;
  readonly timeoutMs: number;
  readonly what: string;
}

function finish(child: ChildProcess, options: Finish): Promise<Outcome> {
  const { files, input, started, timeoutMs, what } = options;
  const chunks: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  child.stdout?.on('data', (chunk: Buffer) => chunks.stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.stderr.push(chunk));
  child.stdin?.on('error', () => {}); // EPIPE: the runtime ended first, which the outcome tells.
  if (input !== undefined) child.stdin?.end(input);
  return new Promise((done, failed) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      const said = Buffer.concat(chunks.stderr).toString();
      failed(new Error(`${what}: not finished after ${timeoutMs} ms; stderr: ${said}`));
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      failed(error);
    });
    // 'close' waits for whoever still holds the pipes; with files only the process counts.
    child.once(files === undefined ? 'close' : 'exit', (status, signal) => {
      clearTimeout(timer);
      if (late) return;
      const text = (kind: 'stdout' | 'stderr', file: string | undefined) =>
        file === undefined ? Buffer.concat(chunks[kind]).toString() : readFileSync(file, 'utf8');
      done({
        status,
        signal,
        stdout: text('stdout', files?.[0]),
        stderr: text('stderr', files?.[1]),
        milliseconds: performance.now() - started,
      });
    });
  });
}

/**
 * The error as a person reads it: runc's text log line (`time=… level=error msg="…"`) opened and
 * its quotes undone, a bare line as it is.
 */
export function said({ stderr }: Pick<Outcome, 'stderr'>): string {
  const line = stderr.trimEnd();
  const logged = /^time="[^"]*" level=error msg=("(?:[^"\\]|\\.)*"|\S+)(?: |$)/.exec(line)?.[1];
  if (logged === undefined) return line;
  return logged.startsWith('"') ? (JSON.parse(logged) as string) : logged;
}

/** Checks the exit code, an empty stdout and one line that says why, which is returned. */
export function refusal(outcome: Outcome, status = 1): string {
  const line = said(outcome);
  // runc's stages of init log on their own.
  const lines = isRuncell ? outcome.stderr.trimEnd().split('\n').length : 1;
  if (outcome.status !== status || outcome.stdout !== '' || line === '' || lines !== 1) {
    throw new Error(`expected ${status} and one line of error, got ${JSON.stringify(outcome)}`);
  }
  return line;
}
