/**
 * The figures of issue 2, measured in one run and held against their bars:
 * `node test/bench/figures.ts [--rounds N] [--json]` prints a table and exits 1 when one fails.
 *
 * Cold: no runcell process is alive before a verb, every round has a fresh --root, and only what
 * `npm run build` made is used. Times are medians of interleaved rounds (rounds.ts); runc and crun
 * are the distribution's; the bare Node is the pinned one running an empty file without flags.
 */

import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Box, type Bundle } from '../helpers/box.ts';
import { eventually } from '../helpers/eventually.ts';
import { loadedScript, peakMemory, privateMemory } from '../helpers/footprint.ts';
import { repository, runtime, which } from '../helpers/runtime.ts';
import type { Spec } from '../helpers/spec.ts';
import { type Command, median, Samples, type View, Worker } from './rounds.ts';

const WARM_UP_ROUNDS = 3;
const KIB = 1024;
const node = `${repository}/node_modules/.bin/node`;

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms' | 'KiB' | 'bytes' | 'MB';
  readonly bar: number;
  /** What the bar is made of, as `1.3 x runc 30.1`. */
  readonly against: string;
}

/** verb → the greatest ratio to the bare Node. */
const NODE_BARS = { state: 1, list: 1, kill: 1, start: 1.1, delete: 1.1, create: 1.25, exec: 1.25 };
const RUN_BAR = 1.3;

interface Contestant {
  readonly name: string;
  readonly file: string;
  readonly view: View;
}

function contestants(): Contestant[] {
  const found: Contestant[] = [{ name: 'runcell', file: runtime.path, view: 'host' }];
  for (const [name, view] of [
    ['runc', 'host'],
    ['crun', 'cgroup2'],
  ] as const) {
    const file = which(name);
    if (file !== undefined) found.push({ name, file, view });
  }
  return found;
}

/** A life of one container, each verb timed as `<contestant> <verb>`. */
async function life(
  box: Box,
  worker: Worker,
  { name, file }: Contestant,
  bundles: { true: Bundle; sleep: Bundle },
  samples: Samples,
): Promise<void> {
  const id = box.id();
  const root = box.path(`root-${id}`);
  const verb = async (verbName: string, ...args: string[]) => {
    const command: Command = { file, args: ['--root', root, verbName, ...args] };
    const { milliseconds, status, stderr } = await worker.time(command);
    if (status !== 0) throw new Error(`${name} ${verbName}: ${status} ${stderr}`);
    samples.add(`${name} ${verbName}`, milliseconds);
  };
  await verb('run', '--bundle', bundles.true.dir, id);
  const pidFile = box.path(`${id}.pid`);
  await createQuietly(
    box,
    worker,
    { name, file },
    { root, pidFile, id, bundle: bundles.sleep },
    samples,
  );
  await verb('state', id);
  await verb('start', id);
  await verb('list');
  await verb('exec', id, 'true');
  await verb('kill', id, 'KILL');
  const pid = Number(readFileSync(pidFile, 'latin1'));
  await eventually(`the end of ${pid}`, () => isGone(pid));
  await verb('delete', id);
}

interface Creation {
  readonly root: string;
  readonly pidFile: string;
  readonly id: string;
  readonly bundle: Bundle;
}

/** The container keeps stderr open, so create gets /dev/null there like the other two. */
async function createQuietly(
  box: Box,
  worker: Worker,
  { name, file }: Pick<Contestant, 'name' | 'file'>,
  { root, pidFile, id, bundle }: Creation,
  samples: Samples,
): Promise<void> {
  const verb = ['create', '--bundle', bundle.dir, '--pid-file', pidFile, id];
  const log = box.path('create.log');
  const args = ['--root', root, '--log', log, ...verb];
  const { milliseconds, status } = await worker.time({ file, args, quiet: true });
  if (status !== 0) throw new Error(`${name} create: ${readFileSync(log, 'utf8')}`);
  samples.add(`${name} create`, milliseconds);
}

function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return true;
  }
}

async function times(box: Box, rounds: number): Promise<Samples> {
  const samples = new Samples();
  const bundles = { true: benchBundle(box, ['true']), sleep: benchBundle(box, ['sleep', '1000']) };
  writeFileSync(box.path('empty.js'), '');
  await using host = new Worker('host');
  await using pure = new Worker('cgroup2');
  const all = contestants();
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    if (round === 0) samples.clear();
    const empty = await host.time({ file: node, args: [box.path('empty.js')] });
    if (empty.status !== 0) throw new Error(`node: ${empty.stderr}`);
    samples.add('node', empty.milliseconds);
    for (const contestant of all) {
      await life(box, contestant.view === 'host' ? host : pure, contestant, bundles, samples);
    }
    // The bare Node once more at the other end of the round.
    samples.add(
      'node',
      (await host.time({ file: node, args: [box.path('empty.js')] })).milliseconds,
    );
  }
  return samples;
}

/**
 * What all three run: crun 1.8 knows no newer version, and its device filter needs more locked
 * memory than this root may have.
 */
function benchBundle(box: Box, args: readonly string[]): Bundle {
  return box.bundle(args, (spec) => {
    spec.ociVersion = '1.0.2';
    delete spec.linux.resources;
  });
}

/** The document that `spec` writes, without its terminal. */
async function specBundle(box: Box, args: readonly string[]): Promise<Bundle> {
  const dir = box.path('spec');
  mkdirSync(dir, { recursive: true });
  const { status, stderr } = await box.verb(['spec', '--bundle', dir]);
  if (status !== 0) throw new Error(`spec: ${stderr}`);
  const written = JSON.parse(readFileSync(`${dir}/config.json`, 'utf8')) as Spec;
  return box.bundle(args, (spec) => {
    Object.assign(spec, written);
    spec.process.terminal = false;
    spec.process.args = [...args];
  });
}

async function memoryOfInit(box: Box, bundle: Bundle): Promise<number> {
  const container = await box.create(bundle);
  const bytes = privateMemory(container.pid);
  await box.silent(['delete', '--force', container.id]);
  return bytes;
}

async function memoryOfWaiter(box: Box, bundle: Bundle): Promise<number> {
  const id = box.id();
  let pid = 0;
  const running = box.verb(['run', '--bundle', bundle.dir, id], {
    onSpawn: (child) => {
      pid = child.pid ?? 0;
    },
  });
  await eventually('running', async () => {
    const { status, stdout } = await box.verb(['state', id]);
    return status === 0 && stdout.includes('"running"');
  });
  const seen: number[] = [];
  await eventually('the waiting process settled', () => {
    seen.push(privateMemory(pid));
    return seen.length > 40;
  });
  await box.silent(['kill', id, 'KILL']);
  await running;
  return median(seen.slice(20));
}

/** The greatest of the hot verbs, and which it is. */
async function scriptOfVerbs(box: Box): Promise<{ verb: string; bytes: number }> {
  const id = box.id();
  const sleeper = box.bundle(['sleep', '1000']);
  const verbs = [
    ['create', '--bundle', sleeper.dir, id],
    ['start', id],
    ['state', id],
    ['list'],
    ['exec', id, 'true'],
    ['kill', id, 'KILL'],
    ['delete', '--force', id],
    ['run', '--bundle', box.bundle(['true']).dir, box.id()],
  ];
  let most = { verb: '', bytes: 0 };
  for (const args of verbs) {
    const bytes = await loadedScript(box, args);
    if (bytes > most.bytes) most = { verb: args[0]!, bytes };
  }
  return most;
}

async function peakOfVerbs(box: Box): Promise<number> {
  const id = box.id();
  const sleeper = box.bundle(['sleep', '1000']);
  let peak = 0;
  for (const args of [
    ['create', '--bundle', sleeper.dir, id],
    ['start', id],
    ['exec', id, 'true'],
    ['delete', '--force', id],
  ]) {
    peak = Math.max(peak, await peakMemory(box, args));
  }
  return peak;
}

async function sizes(box: Box): Promise<Figure[]> {
  const bundle = await specBundle(box, ['sleep', '1000']);
  const dist = dirname(runtime.path);
  const script = await scriptOfVerbs(box);
  const figure = (
    name: string,
    value: number,
    unit: Figure['unit'],
    bar: number,
    against = '',
  ) => ({
    name,
    value,
    unit,
    bar,
    against,
  });
  return [
    figure(`script of ${script.verb}, the most`, script.bytes, 'bytes', 150_000),
    figure('private memory of init', (await memoryOfInit(box, bundle)) / KIB, 'KiB', 64),
    figure('private memory of the waiter', (await memoryOfWaiter(box, bundle)) / KIB, 'KiB', 256),
    figure('executor', statSync(`${dist}/executor`).size, 'bytes', KIB),
    figure('launcher', statSync(`${dist}/runcell`).size, 'bytes', 4 * KIB),
    figure('peak memory of the compiler', (await peakOfVerbs(box)) / 1e6, 'MB', 60),
  ];
}

function timeFigures(samples: Samples): Figure[] {
  const figures: Figure[] = [];
  const runc = samples.median('runc run');
  figures.push({
    name: 'cold run',
    value: samples.median('runcell run'),
    unit: 'ms',
    bar: RUN_BAR * runc,
    against: `${RUN_BAR} x runc ${runc.toFixed(1)}`,
  });
  const bare = samples.median('node');
  for (const [verb, ratio] of Object.entries(NODE_BARS)) {
    figures.push({
      name: verb,
      value: samples.median(`runcell ${verb}`),
      unit: 'ms',
      bar: ratio * bare,
      against: `${ratio} x node ${bare.toFixed(1)}`,
    });
  }
  return figures;
}

const number = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(1));

function printFigures(figures: readonly Figure[]): void {
  console.log(`\n${'figure'.padEnd(32)}${'measured'.padStart(12)}  ${'bar'.padEnd(30)}verdict`);
  for (const { name, value, unit, bar, against } of figures) {
    const wanted = `<= ${number(bar)} ${unit}${against === '' ? '' : ` (${against})`}`;
    const verdict = value <= bar ? 'PASS' : 'FAIL';
    console.log(
      `${name.padEnd(32)}${`${number(value)} ${unit}`.padStart(12)}  ${wanted.padEnd(30)}  ${verdict}`,
    );
  }
}

/** Every verb of every runtime side by side, in ms and as a ratio to the bare Node. */
function printTimes(samples: Samples): void {
  const names = contestants().map(({ name }) => name);
  const bare = samples.median('node');
  console.log(`bare node ${bare.toFixed(1)} ms; medians, ratio to it in brackets\n`);
  console.log(`${'verb'.padEnd(10)}${names.map((name) => name.padStart(18)).join('')}`);
  for (const verb of ['run', ...Object.keys(NODE_BARS)]) {
    const cells = names.map((name) => {
      const value = samples.median(`${name} ${verb}`);
      return `${value.toFixed(1)} (${(value / bare).toFixed(2)})`.padStart(18);
    });
    console.log(`${verb.padEnd(10)}${cells.join('')}`);
  }
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const at = args.indexOf('--rounds');
  const rounds = at < 0 ? 31 : Number(args[at + 1]);
  if (!(rounds >= 1)) throw new Error('--rounds needs a number');
  const box = new Box();
  try {
    const samples = await times(box, rounds);
    const figures = [...timeFigures(samples), ...(await sizes(box))];
    if (args.includes('--json')) console.log(JSON.stringify(figures, null, 2));
    else {
      printTimes(samples);
      printFigures(figures);
    }
    if (figures.some(({ value, bar }) => !(value <= bar))) process.exitCode = 1;
  } finally {
    const leaks = await box.close();
    for (const leak of leaks) console.log(`left behind: ${leak}`);
    if (leaks.length > 0) process.exitCode = 1;
  }
}

await main();
