/**
 * The test system: Debian with systemd, pure cgroup v2 and every capability, emulated by qemu.
 *
 *     npm run test:vm [-- FILE…]                       the integration tests and test/vm in it
 *     sh scripts/pinned.sh scripts/vm.ts run CMD…      one command in it, as root, in /project
 *     sh scripts/pinned.sh scripts/vm.ts image         only makes the image
 *
 * The tree goes in as it is now, built if need be. Root, and Debian's apt-get for what is missing.
 */

import { mkdirSync } from 'node:fs';
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

/** Where the guest leaves vitest's report. */
const REPORT = '/run/runcell-report.json';

const guestEnvironment = (): Record<string, string> => ({
  RUNCELL_TEST_VM: '1',
  RUNCELL_TEST_NO_BUILD: '1',
  ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
});

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
  const vitest = ['node', 'node_modules/vitest/vitest.mjs', 'run', ...projects, ...reporters];
  const job = {
    command: [...vitest, ...passed],
    reportFile: REPORT,
    environment: guestEnvironment(),
  };
  const ended = await runInMachine(image('system'), job, deadlineMs);
  if (ended.trouble !== undefined) throw new Error(ended.trouble);
  if (ended.report === undefined) throw new Error('vitest wrote no report');
  const report = JSON.parse(ended.report) as Report;
  const problems = brokenFiles(report);
  if (passed.length === 0) problems.push(...skipProblems(report, listedSkips('vm')));
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
  // By way of the exit handlers, which remove the run's directory.
  process.once(signal, () => process.exit(130));
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
