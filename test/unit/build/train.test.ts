/** The trained code caches: smaller than those of all functions, and never a reason to fail. */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { trainCodeCaches } from '../../../scripts/train.ts';
import { NODE_FLAGS } from '../../../src/launcher/hand-over.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const dist = path.join(root, 'dist');

let directory: string;
let said: string[];

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'runcell-train-'));
  said = [];
  vi.spyOn(console, 'error').mockImplementation((line: string) => void said.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(directory, { recursive: true });
});

/** A directory of hot bundles with the caches of all functions. */
function untrained(): string {
  const hotDir = path.join(directory, 'hot');
  fs.mkdirSync(hotDir);
  for (const name of fs.readdirSync(path.join(dist, 'hot'))) {
    if (name.endsWith('.js')) fs.copyFileSync(path.join(dist, 'hot', name), `${hotDir}/${name}`);
  }
  const script = path.join(root, 'scripts/code-cache.ts');
  execFileSync(process.execPath, [...NODE_FLAGS, script, hotDir]);
  return hotDir;
}

const sizes = (hotDir: string) =>
  fs
    .readdirSync(hotDir)
    .filter((name) => name.endsWith('.cache'))
    .map((name) => [name, fs.statSync(path.join(hotDir, name)).size] as const);

const leftBehind = () => fs.readdirSync(os.tmpdir()).filter((name) => /^runcell-build-/.test(name));

describe('trainCodeCaches', () => {
  test.runIf(process.geteuid?.() === 0)('every verb gets a smaller cache', async () => {
    const hotDir = untrained();
    const before = new Map(sizes(hotDir));
    await trainCodeCaches({ hotDir, outDir: dist, root, esbuild: ESBUILD });
    expect(said).toEqual([]);
    const larger = sizes(hotDir).filter(([name, size]) => size >= before.get(name)!);
    // No verb of its own: nothing is run for it.
    expect(larger.map(([name]) => name)).toEqual([`rest.${process.arch}.cache`]);
    expect(fs.statSync(path.join(hotDir, `run.${process.arch}.cache`)).mode & 0o777).toBe(0o644);
  });

  test('where no verb can be run the caches stay, and one line says so', async () => {
    const hotDir = untrained();
    const before = sizes(hotDir);
    const outDir = path.join(directory, 'out');
    fs.mkdirSync(outDir);
    fs.copyFileSync(path.join(dist, 'executor'), path.join(outDir, 'executor'));
    const others = leftBehind();
    await trainCodeCaches({ hotDir, outDir, root, esbuild: ESBUILD });
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /^code cache: of all functions, since verbs cannot be run here: .*ENOENT/,
    );
    expect(sizes(hotDir)).toEqual(before);
    expect(leftBehind().filter((name) => !others.includes(name))).toEqual([]);
  });
});

const ESBUILD = {
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node26',
  absWorkingDir: root,
  define: { 'process.arch': JSON.stringify(process.arch) },
  logOverride: { 'empty-import-meta': 'silent' },
} as const;
