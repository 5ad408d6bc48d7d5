/**
 * `npm test`: installs what the tests need, builds, runs every project of vitest.config.ts and
 * holds the result against test/skips.json. Works on a fresh Debian machine as root.
 *
 * The last line is `N passed, N failed, N skipped`. A skip that is not on the list is a failure,
 * and so is a line of the list that no test answers to. Arguments go to vitest.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, resolve } from 'node:path';

const repository = resolve(import.meta.dirname, '..');
const PROJECTS = ['unit', 'compat', 'integration', 'fault'];

/** Command → Debian package. */
const TOOLS: Record<string, string> = {
  runc: 'runc',
  busybox: 'busybox-static',
  'qemu-aarch64-static': 'qemu-user-static',
  strace: 'strace',
  'aarch64-linux-gnu-objdump': 'binutils-aarch64-linux-gnu',
  objdump: 'binutils',
  go: 'golang',
  unshare: 'util-linux',
};

interface Assertion {
  readonly status: string;
  readonly fullName: string;
  readonly title: string;
}
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly Assertion[];
  }[];
}

interface Skip {
  readonly file: string;
  readonly title: string;
  readonly reason: string;
}

function has(tool: string): boolean {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin`;
  return path.split(':').some((dir) => dir !== '' && existsSync(`${dir}/${tool}`));
}

function isStaticBusybox(): boolean {
  if (!existsSync('/bin/busybox')) return false;
  // A dynamic executable names its interpreter near its start.
  return !readFileSync('/bin/busybox').subarray(0, 4096).includes('/ld-linux');
}

function installTools(): void {
  const missing = Object.entries(TOOLS)
    .filter(([tool]) => !has(tool) || (tool === 'busybox' && !isStaticBusybox()))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]) =>
    spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0;
  apt('update', '-qq');
  if (!apt('install', '-y', '-qq', '--no-install-recommends', ...missing)) {
    throw new Error(`apt-get could not install ${missing.join(' ')}`);
  }
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): boolean {
  const options = { cwd: repository, stdio: 'inherit', env: { ...process.env, ...env } } as const;
  return spawnSync(process.execPath, args, options).status === 0;
}

/** What the whole run leaves on the host. Only in CI nothing else uses the machine meanwhile. */
function census(): Set<string> {
  const found = new Set<string>();
  for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
    const target = line.split(' ')[4];
    if (target !== undefined) found.add(`mount ${target}`);
  }
  for (const name of readdirSync('/tmp')) {
    if (/^rct\d|^runcell/.test(name)) found.add(`/tmp/${name}`);
  }
  const visit = (dir: string, depth: number) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      if (/^rct\d/.test(entry.name)) found.add(`cgroup ${dir}/${entry.name}`);
      if (depth > 0) visit(`${dir}/${entry.name}`, depth - 1);
    }
  };
  if (existsSync('/sys/fs/cgroup')) visit('/sys/fs/cgroup', 4);
  return found;
}

function checkSkips(report: Report): string[] {
  const listed = JSON.parse(readFileSync(`${repository}/test/skips.json`, 'utf8')) as Skip[];
  const problems: string[] = [];
  const titles = new Set<string>();
  for (const { name, assertionResults } of report.testResults) {
    for (const { status, title, fullName } of assertionResults) {
      titles.add(`${basename(name)} ${title}`);
      if (status === 'passed' || status === 'failed') continue;
      const known = listed.some((skip) => skip.file === basename(name) && skip.title === title);
      if (!known) problems.push(`skipped without a line in test/skips.json: ${name}: ${fullName}`);
    }
  }
  for (const { file, title, reason } of listed) {
    if (!titles.has(`${file} ${title}`))
      problems.push(`test/skips.json: no test ${file}: ${title}`);
    if (reason.length < 10) problems.push(`test/skips.json: no reason for ${file}: ${title}`);
  }
  return problems;
}

/** Files that failed outside of a test: not loaded, or an empty or broken suite. */
function brokenFiles(report: Report): string[] {
  const broken = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && assertionResults.every((one) => one.status !== 'failed'),
  );
  return broken.map(
    ({ name, message }) => `${name}: ${message.split('\n')[0] || 'a suite failed'}`,
  );
}

function main(): void {
  if (process.getuid?.() !== 0) throw new Error('the integration tests need root');
  installTools();
  const passed: string[] = process.argv.slice(2);
  const problems: string[] = [];
  if (!run(['scripts/build.ts'])) throw new Error('the build failed');
  const before = census();
  const scratch = mkdtempSync(`${tmpdir()}/runcell-report-`);
  const file = `${scratch}/report.json`;
  const projects = PROJECTS.flatMap((name) => ['--project', name]);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...projects, ...reporters, ...passed];
  const success = run(vitest, { RUNCELL_TEST_NO_BUILD: '1' });
  if (!existsSync(file)) throw new Error('vitest wrote no report');
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  rmSync(scratch, { recursive: true });
  if (passed.length === 0) problems.push(...checkSkips(report));
  problems.push(...brokenFiles(report));
  const alone = process.env['CI'] !== undefined;
  for (const one of alone ? census() : []) {
    if (!before.has(one) && one !== scratch) problems.push(`left behind by the run: ${one}`);
  }
  if (!success && report.numFailedTests === 0 && problems.length === 0) {
    problems.push('vitest failed outside of a test');
  }
  for (const problem of problems) console.log(`FAILED ${problem}`);
  const failed = report.numFailedTests + problems.length;
  const skipped = report.numPendingTests + report.numTodoTests;
  console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}

try {
  main();
} catch (error) {
  console.log(`FAILED ${(error as Error).message}`);
  console.log('0 passed, 1 failed, 0 skipped');
  process.exitCode = 1;
}
