/**
 * Makes the code caches of the hot verbs small: each verb is run once for real, and its cache keeps
 * the functions that were called (scripts/train-boot.ts) in place of all, two thirds of the bytes
 * that every later call has to read in.
 *
 * The runs happen in a directory of their own, laid out as the product is, with a `--root` of their
 * own below it. The container's program is the executor, which waits for its first program on an
 * open pipe and without one ends with EXIT_PROTOCOL; so nothing but what was built is needed. It
 * takes root and namespaces; where they are not given, the caches of all functions stay.
 */

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type BuildOptions, build } from 'esbuild';
import { EXIT_PROTOCOL } from '../src/libcontainer/program/op.ts';
import { defaultSpec } from '../src/oci/default-spec.ts';

const STEP_LIMIT_MS = 20_000;

export interface TrainOptions {
  /** Where the bundles of the hot verbs are, and their caches. */
  readonly hotDir: string;
  /** Where the rest of the product is. */
  readonly outDir: string;
  /** The repository, for its node_modules. */
  readonly root: string;
  readonly esbuild: BuildOptions;
}

/** One call of the launcher. */
interface Step {
  /** The bundle whose cache is taken afterwards: the verb's, or that of what came of it. */
  readonly takes: string;
  readonly words: readonly string[];
  readonly exitCode?: number;
  /** A pid file: the step is over when that process is. */
  readonly ends?: string;
}

/** Replaces the caches of the verbs that can be run; says so in one line where they cannot. */
export async function trainCodeCaches(options: TrainOptions): Promise<void> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'runcell-build-'));
  let stdin: number | undefined;
  try {
    await layOut(directory, options);
    execFileSync('mkfifo', [path.join(directory, 'stdin')]);
    // Whoever reads it waits until this end is closed, also by the death of the build.
    stdin = fs.openSync(path.join(directory, 'stdin'), 'r+');
    for (const step of steps(directory)) {
      await runStep(directory, step);
      const cache = `${step.takes}.${process.arch}.cache`;
      fs.copyFileSync(path.join(directory, 'dist/hot', cache), path.join(options.hotDir, cache));
      fs.chmodSync(path.join(options.hotDir, cache), 0o644);
    }
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    console.error(`code cache: of all functions, since verbs cannot be run here: ${reason}`);
  } finally {
    await removeContainers(directory);
    if (stdin !== undefined) fs.closeSync(stdin);
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** dist as it will be, but for runcell.cjs, and the bundles. */
async function layOut(directory: string, options: TrainOptions): Promise<void> {
  const { hotDir, outDir, root, esbuild } = options;
  const dist = path.join(directory, 'dist');
  fs.mkdirSync(path.join(dist, 'hot'), { recursive: true });
  copyFiles(outDir, dist, (name) => name !== 'runcell.cjs');
  copyFiles(hotDir, path.join(dist, 'hot'), (name) => name.endsWith('.js'));
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'));
  await build({
    ...esbuild,
    entryPoints: [path.join(root, 'scripts/train-boot.ts')],
    outfile: path.join(dist, 'runcell.cjs'),
  });
  makeBundle(path.join(directory, 'waits'), ['/executor', '0'], []);
  makeBundle(path.join(directory, 'ends'), ['/executor'], []);
  makeBundle(path.join(directory, 'finished'), ['/executor'], ['pid']);
}

function copyFiles(from: string, to: string, wanted: (name: string) => boolean): void {
  for (const name of fs.readdirSync(from)) {
    const file = path.join(from, name);
    if (wanted(name) && fs.statSync(file).isFile()) fs.copyFileSync(file, path.join(to, name));
  }
}

/** The default bundle without a terminal; its root has the executor and no other file. */
function makeBundle(bundle: string, args: string[], shared: readonly string[]): void {
  for (const mountPoint of ['dev', 'proc', 'sys']) {
    fs.mkdirSync(path.join(bundle, 'rootfs', mountPoint), { recursive: true });
  }
  const executor = path.join(bundle, '../dist/executor');
  fs.copyFileSync(executor, path.join(bundle, 'rootfs/executor'));
  const spec = defaultSpec({ rootless: false });
  const namespaces = spec.linux!.namespaces!.filter(({ type }) => !shared.includes(type));
  const config = {
    ...spec,
    process: { ...spec.process, terminal: false, args },
    linux: { ...spec.linux, namespaces },
  };
  fs.writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(config));
}

/** Every hot verb in both spellings; the last runs are there for `finish`. */
function steps(directory: string): Step[] {
  const at = (name: string) => path.join(directory, name);
  const id = (name: string) => `${path.basename(directory)}-${name}`;
  const [runc, usage] = [id('a'), id('b')];
  const pidFile = at('pid');
  const ended = { exitCode: EXIT_PROTOCOL };
  const create = ['create', '--bundle', at('waits'), '--pid-file', pidFile, runc];
  const image = ['--image', at('ends/rootfs'), '--command', '/executor'];
  return [
    { takes: 'create', words: create },
    { takes: 'start', words: ['start', runc] },
    { takes: 'state', words: ['state', runc] },
    { takes: 'list', words: ['list'] },
    { takes: 'exec', words: ['exec', runc, '/executor'], ...ended },
    { takes: 'ps', words: ['ps', '--format', 'json', runc] },
    { takes: 'events', words: ['events', '--stats', runc] },
    { takes: 'top', words: ['top', '--no-stream', '--interval', '1ms'] },
    { takes: 'update', words: ['update', '--pids-limit', '-1', runc] },
    { takes: 'pause', words: ['pause', runc] },
    { takes: 'resume', words: ['resume', runc] },
    { takes: 'kill', words: ['kill', runc, 'KILL'], ends: pidFile },
    { takes: 'delete', words: ['delete', runc] },
    { takes: 'run', words: ['run', '--bundle', at('ends'), id('c')], ...ended },
    { takes: 'finish', words: ['run', '--bundle', at('finished'), id('d')], ...ended },
    usageStep('create', ['--id', usage, '--bundle', at('waits')]),
    // Its standard input is not ours, so that it ends once it is started.
    { ...usageStep('exec', ['--id', usage, '--command', '/executor']), ...ended },
    usageStep('list', []),
    usageStep('start', ['--id', usage]),
    usageStep('delete', ['--id', usage]),
    { ...usageStep('run', ['--id', id('e'), ...image]), ...ended },
  ];
}

function usageStep(verb: string, flags: readonly string[]): Step {
  return { takes: `container-${verb}`, words: ['container', verb, ...flags] };
}

async function runStep(directory: string, step: Step): Promise<void> {
  const { exitCode, log } = await call(directory, step.words);
  if (exitCode !== (step.exitCode ?? 0)) {
    throw new Error(`${step.words.join(' ')} exits with ${exitCode}: ${log.split('\n')[0]}`);
  }
  if (step.ends !== undefined) await endOf(Number(fs.readFileSync(step.ends, 'utf8')));
}

async function call(
  directory: string,
  words: readonly string[],
): Promise<{ readonly exitCode: number | null; readonly log: string }> {
  const log = path.join(directory, 'stderr');
  const stdin = fs.openSync(path.join(directory, 'stdin'), 'r');
  const stderr = fs.openSync(log, 'w');
  const child = spawn(
    path.join(directory, 'dist/runcell'),
    ['--root', path.join(directory, 'root'), ...words],
    { cwd: directory, env: {}, stdio: [stdin, 'ignore', stderr], timeout: STEP_LIMIT_MS },
  );
  for (const fd of [stdin, stderr]) fs.closeSync(fd);
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', resolve);
  });
  return { exitCode, log: fs.readFileSync(log, 'utf8') };
}

/** A process that nobody has waited for yet is over, too. */
async function endOf(pid: number): Promise<void> {
  const limit = Date.now() + STEP_LIMIT_MS;
  while (isRunning(pid)) {
    if (Date.now() > limit) throw new Error(`process ${pid} does not end`);
    await setTimeout(5);
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** After a step that failed: what the steps before it made. */
async function removeContainers(directory: string): Promise<void> {
  const states = path.join(directory, 'root/states');
  for (const id of fs.existsSync(states) ? fs.readdirSync(states) : []) {
    await call(directory, ['delete', '--force', id]);
  }
}
