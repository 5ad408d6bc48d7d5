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
 * Of `npm run test:vm` every submission boots the system and asks what it is. The rest is a command of
 * its own until it has been seen green often enough: emulation once answered a first CPU quota with an
 * oops (int3 in update_curr).
 */
const IN_THE_TEST_SYSTEM = ['test/vm/system.test.ts'];

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
