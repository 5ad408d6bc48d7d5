/**
 * The test system: Debian with systemd, pure cgroup v2 and every capability, emulated by qemu.
 *
 *     npm run test:vm                                  test/vm and the integration tests in it
 *     npm run test:vm -- FILE…                         some of them, by vitest's arguments
 *     npm run test:vm -- --all                         all of them: twice the time
 *     sh scripts/pinned.sh scripts/vm.ts run CMD…      one command in it, as root, in /project
 *     sh scripts/pinned.sh scripts/vm.ts image         only makes the image
 *
 * The tree goes in as it is now, built if need be. Root, and Debian's apt-get for what is missing.
 */

import { existsSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import build from '../test/helpers/build.ts';
import {
  brokenFiles,
  type Counts,
  conclude,
  counts,
  listedSkips,
  type Report,
  skipProblems,
} from './report.ts';
import { installTools, type Tools } from './tools.ts';
import { buildLocked, cacheDir, image } from './vm/image.ts';
import { runInMachine } from './vm/machine.ts';

const repository = resolve(import.meta.dirname, '..');

const TOOLS: Tools = {
  'qemu-system-x86_64': 'qemu-system-x86',
  debootstrap: 'debootstrap',
  mke2fs: 'e2fsprogs',
  cpio: 'cpio',
  xz: 'xz-utils',
  flock: 'util-linux',
  setpriv: 'util-linux',
  git: 'git',
};

/**
 * How long a machine may run: twice of what the suite takes on two idle cores, so that a hang leaves
 * room in CI. RUNCELL_VM_MINUTES says otherwise, for a machine with other work.
 */
const deadlineMs = Number(process.env['RUNCELL_VM_MINUTES'] ?? 20) * 60_000;

/**
 * Files of test/integration that are not run without `--all`. Emulation makes a verb cost half a
 * second and twenty minutes must do, so what stays is what meets cgroups, systemd, capabilities,
 * mounts, namespaces or devices; these are the same on every kernel, and `npm test` has run them.
 */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'command-line': 'parses and prints',
  'default-root': 'directories',
  descriptors: 'which descriptors are open, of the launcher and the executor',
  'exit-codes': 'how a program ended, as the runtime repeats it',
  failures: 'the texts of errors',
  'hook-failures': 'processes of the host',
  hooks: 'processes of the host',
  'intel-rdt': 'a tree of files that only looks like resctrl',
  launcher: 'what Node is handed',
  'net-devices': 'rtnetlink, and thirteen tests that take a quarter of the time',
  notify: 'a socket',
  process: 'ids, environment and working directory',
  review: 'answers to a review, a file of everything',
  spec: 'prints a document',
  'state-file': 'a document',
  'state-output': 'prints documents',
  states: 'every verb in every state: the table is the same, and the verbs have their own tests',
  storage: 'images and bundles as files',
  'storage-demo': 'a whole life that other tests have in parts',
  systemd: 'a fake systemd, where test/vm/systemd.test.ts has the real one',
  terminal: 'pseudo-terminals and relayed bytes',
  top: 'a table drawn from statistics that stats.test.ts reads here',
  unsupported: 'refusals before anything happens',
  'usage-document': 'parses and prints',
};

/** Where the guest leaves vitest's report. */
const REPORT = '/run/runcell-report.json';

const guestEnvironment = (): Record<string, string> => ({
  RUNCELL_TEST_VM: '1',
  RUNCELL_TEST_NO_BUILD: '1',
  ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
});

function excluded(name: string): string {
  const file = `test/integration/${name}.test.ts`;
  if (!existsSync(`${repository}/${file}`)) throw new Error(`scripts/vm.ts leaves out ${file}`);
  return `--exclude=${file}`;
}

function prepare(): void {
  if (process.getuid?.() !== 0) throw new Error('the test system needs root to be made');
  installTools(TOOLS);
  build();
}

async function test(passed: readonly string[]): Promise<Counts> {
  prepare();
  const projects = passed.includes('--project')
    ? []
    : ['--project', 'integration', '--project', 'vm'];
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`];
  const chosen = passed.filter((word) => word !== '--all');
  const leftOut = passed.length > 0 ? [] : Object.keys(LEFT_OUT).map(excluded);
  const vitest = ['node', 'node_modules/vitest/vitest.mjs', 'run', ...projects, ...reporters];
  const job = {
    command: [...vitest, ...leftOut, ...chosen],
    reportFile: REPORT,
    environment: guestEnvironment(),
  };
  const ended = await runInMachine(image('system'), job, deadlineMs);
  if (ended.trouble !== undefined) throw new Error(ended.trouble);
  if (ended.report === undefined) throw new Error('vitest wrote no report');
  const report = JSON.parse(ended.report) as Report;
  const problems = brokenFiles(report);
  if (chosen.length === 0) problems.push(...skipProblems(report, listedSkips('vm')));
  return counts(report, ended.status === 0, problems);
}

async function run(words: readonly string[]): Promise<number> {
  const command = words[0] === '--' ? words.slice(1) : words;
  if (command.length === 0) throw new Error('run: no command');
  prepare();
  const job = { command, reportFile: REPORT, environment: guestEnvironment() };
  const ended = await runInMachine(image('system'), job, deadlineMs);
  if (ended.trouble !== undefined) throw new Error(ended.trouble);
  return ended.status!;
}

/** The image, made by the caller of flock(1) in image.ts. */
function makeImage(name: string): void {
  mkdirSync(cacheDir, { recursive: true });
  buildLocked(name);
}

const [verb, ...words] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    if (verb === 'test') console.log(`FAILED ended by ${signal}\n0 passed, 1 failed, 0 skipped`);
    // By way of the exit handlers, which remove the run's directory.
    process.exit(130);
  });
}
try {
  if (verb === 'test') await conclude(() => test(words));
  else if (verb === 'run') process.exitCode = await run(words);
  else if (verb === 'build-locked') makeImage(words[0]!);
  else if (verb === 'image') {
    prepare();
    console.log(image(words[0] ?? 'system').disk);
  } else throw new Error('test, run or image?');
} catch (error) {
  console.error(`vm: ${(error as Error).message}`);
  process.exitCode = 125;
}
