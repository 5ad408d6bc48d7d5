/**
 * Continuous integration: the suite on this machine, then in the test system. Each prints its own
 * lines; the last one is their sum, `N passed, N failed, N skipped`, and the exit code says the
 * same. A suite that ends without its line has failed.
 */

import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { type Counts, conclude, judged, parseLastLine } from './report.ts';

const repository = resolve(import.meta.dirname, '..');

/**
 * What of `npm run test:vm` every submission runs, in some minutes. No CPU quotas: the first one makes
 * the guest's kernel patch itself, which qemu's emulation once answered with an oops (int3 in
 * update_curr). The whole of it is a command of its own.
 */
const IN_THE_TEST_SYSTEM = [
  ...['cgroup', 'devices', 'pause', 'ps'].map((name) => `test/integration/${name}.test.ts`),
  'test/vm/system.test.ts',
];

const SUITES: readonly (readonly string[])[] = [
  ['scripts/test.ts'],
  ['scripts/vm.ts', 'test', ...IN_THE_TEST_SYSTEM],
];

/** Runs one suite, shows its output, and returns what its last line says. */
function suite(args: readonly string[]): Promise<Counts> {
  const child = spawn(process.execPath, args, {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let end = '';
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk);
    end = `${end}${chunk}`.slice(-1000);
  });
  return new Promise((done, broken) => {
    child.once('error', broken);
    child.once('close', (status) => done(judged(args.join(' '), status, parseLastLine(end))));
  });
}

await conclude(async () => {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const args of SUITES) {
    const { passed, failed, skipped } = await suite(args);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  return total;
});
