/**
 * TypeScript of ours as a process of its own: bundled as the product is, run by the pinned Node.
 *
 * It lies in a tree like an installed one, so that what is looked for from its place is found.
 */

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';

const repository = resolve(import.meta.dirname, '../..');

export interface BundledScript {
  readonly path: string;
  spawn(args: readonly string[], options?: SpawnOptions): ChildProcess;
  remove(): void;
}

/** Bundles the source, whose imports are relative to the repository. */
export function bundleScript(source: string): BundledScript {
  const cache = join(repository, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'runcell-test-'));
  const path = join(directory, 'dist/script.cjs');
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'));
  buildSync({
    stdin: { contents: source, resolveDir: repository, loader: 'ts' },
    outfile: path,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    logOverride: { 'empty-import-meta': 'silent' },
  });
  return {
    path,
    spawn: (args, options = {}) => spawn(process.execPath, [path, ...args], options),
    remove: () => rmSync(directory, { recursive: true }),
  };
}

/** The first line that the process writes to stdout. */
export function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    let text = '';
    child.stdout!.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      const end = text.indexOf('\n');
      if (end !== -1) done(text.slice(0, end));
    });
    child.on('exit', (code, signal) => fail(new Error(`ended: ${code ?? signal}: ${text}`)));
  });
}
