/**
 * `npm run ok`: what must hold before a commit and needs no root. Types, lint, unit and golden
 * tests; under two minutes.
 */

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const repository = resolve(import.meta.dirname, '..');

const STEPS: readonly (readonly [string, readonly string[]])[] = [
  ['build', ['scripts/build.ts']],
  ['types', ['node_modules/typescript/bin/tsc', '--noEmit']],
  ['lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '--max-diagnostics=50', '.']],
  ['unit and golden', ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit']],
];

let failed = 0;
for (const [name, args] of STEPS) {
  const started = performance.now();
  const { status } = spawnSync(process.execPath, args, { cwd: repository, stdio: 'inherit' });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
  if (status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
