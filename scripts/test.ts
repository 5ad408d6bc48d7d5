/**
 * `npm test`: installs what the tests need, builds, runs the projects of vitest.config.ts that are
 * for this machine and holds the result against test/skips.json. Works on a fresh Debian machine
 * as root.
 *
 * The last line is `N passed, N failed, N skipped`. A skip that is not on the list is a failure,
 * and so is a line of the list that no test answers to. Arguments go to vitest.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
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

const repository = resolve(import.meta.dirname, '..');
const PROJECTS = ['unit', 'compat', 'integration', 'fault'];

const TOOLS: Tools = {
  runc: 'runc',
  busybox: 'busybox-static',
  'qemu-aarch64-static': 'qemu-user-static',
  strace: 'strace',
  'aarch64-linux-gnu-objdump': 'binutils-aarch64-linux-gnu',
  objdump: 'binutils',
  go: 'golang',
  unshare: 'util-linux',
  'dbus-daemon': 'dbus-daemon',
  '/usr/lib/python3/dist-packages/dbus/__init__.py': 'python3-dbus',
  '/usr/lib/python3/dist-packages/gi/__init__.py': 'python3-gi',
};

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

function main(): Counts {
  if (process.getuid?.() !== 0) throw new Error('the integration tests need root');
  installTools(TOOLS);
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
  if (passed.length === 0) problems.push(...skipProblems(report, listedSkips('host')));
  problems.push(...brokenFiles(report));
  const alone = process.env['CI'] !== undefined;
  for (const one of alone ? census() : []) {
    if (!before.has(one) && one !== scratch) problems.push(`left behind by the run: ${one}`);
  }
  return counts(report, success, problems);
}

await conclude(main);
