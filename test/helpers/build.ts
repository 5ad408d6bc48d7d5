/**
 * Global setup: builds what is missing or older than its sources, once a run.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { repository } from './runtime.ts';

const SOURCES = ['src', 'schema', 'scripts', 'oclif.manifest.json', 'package-lock.json'];

function newest(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(`${path}/${name}`)));
}

export default function build(): void {
  const product = `${repository}/dist/runcell`;
  const wanted = Math.max(...SOURCES.map((path) => newest(`${repository}/${path}`)));
  if (existsSync(product) && statSync(product).mtimeMs >= wanted) return;
  if (process.env['RUNCELL_TEST_NO_BUILD'] !== undefined) return;
  execFileSync(process.execPath, [`${repository}/scripts/build.ts`], {
    cwd: repository,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
