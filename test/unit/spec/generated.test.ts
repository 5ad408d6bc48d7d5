/** What scripts/generate-spec.ts writes: small, without dependencies, the same every time. */

import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateSpec } from '../../../scripts/generate-spec.ts';

let folder: string;
const read = (name: string) => fs.readFileSync(path.join(folder, name), 'utf8');

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'runcell-spec-'));
  await generateSpec(folder);
}, 60_000);

afterAll(() => {
  fs.rmSync(folder, { recursive: true });
});

describe('generated validators', () => {
  test.each(['is-common.cjs', 'explain.cjs'])('%s requires nothing', (name) => {
    expect(read(name)).not.toMatch(/\brequire\(|\bimport\b/);
  });

  test('the one for hot verbs is 10 KB at most', () => {
    expect(read('is-common.cjs').length).toBeLessThanOrEqual(10_000);
  });

  test('the complete ones are only loaded after a no', () => {
    const require = createRequire(import.meta.url);
    const explain = path.join(folder, 'explain.cjs');
    const spec = require(path.join(folder, 'index.cjs')) as {
      [name: string]: (v: unknown) => unknown;
    };
    expect(spec['isConfig']!({ ociVersion: '1.3.0' })).toBe(true);
    expect(spec['isProcess']!({ cwd: '/' })).toBe(true);
    expect(spec['isCommonProcess']!({})).toBe(false);
    expect(require.cache[explain]).toBeUndefined();
    expect(spec['isProcess']!({})).toBe(false);
    expect(spec['explainProcess']!({})).toEqual([{ path: 'cwd', reason: 'is required' }]);
    expect(require.cache[explain]).toBeDefined();
  });

  test('writes the same bytes again', async () => {
    const files = fs.readdirSync(folder);
    const before = files.map(read);
    await generateSpec(folder);
    expect(fs.readdirSync(folder)).toEqual(files);
    expect(files.map(read)).toEqual(before);
  }, 60_000);
});

describe('generated types', () => {
  test.each([
    'Config',
    'Root',
    'Mount',
    'Process',
    'User',
    'Capabilities',
    'Rlimit',
    'Hooks',
    'Hook',
    'Linux',
    'LinuxNamespace',
    'LinuxDevice',
    'LinuxResources',
    'LinuxSeccomp',
    'IDMapping',
    'State',
    'Features',
  ])('%s is an interface', (name) => {
    expect(read('index.d.ts')).toContain(`export interface ${name} {`);
  });

  test('64-bit integers are numbers or bigints', () => {
    expect(read('index.d.ts')).toContain('export type Uint64 = number | bigint;');
    expect(read('index.d.ts')).toContain('export type Int64 = number | bigint;');
  });

  test('no interface takes any key', () => {
    expect(read('index.d.ts')).not.toContain('[k: string]: unknown');
  });
});

describe('explanations', () => {
  const require = createRequire(import.meta.url);
  const explain = (value: unknown) =>
    (
      require(path.join(folder, 'explain.cjs')) as { explainConfig(v: unknown): unknown }
    ).explainConfig(value);

  test.each([
    [{ mounts: [{ destination: 1 }] }, 'mounts[0].destination', 'must be a string'],
    [{ annotations: { 'a.b': 1 } }, 'annotations["a.b"]', 'must be a string'],
    [{ annotations: { 'a~/b': 1 } }, 'annotations["a~/b"]', 'must be a string'],
    [{ annotations: { '0': 1 } }, 'annotations["0"]', 'must be a string'],
    [{ root: {} }, 'root.path', 'is required'],
    [
      { process: { cwd: '/', user: { uid: 2 ** 64 } } },
      'process.user.uid',
      'must be an integer from 0 to 4294967295',
    ],
    [{ process: { cwd: '/', oomScoreAdj: 'x' } }, 'process.oomScoreAdj', 'must be an integer'],
    [
      { hooks: { prestart: [{ path: '/', timeout: 0 }] } },
      'hooks.prestart[0].timeout',
      'must be an integer of 1 or more',
    ],
    [
      { linux: { personality: { domain: 'X' } } },
      'linux.personality.domain',
      'must be one of LINUX, LINUX32',
    ],
    [{ windows: { layerFolders: [] } }, 'windows.layerFolders', 'must have 1 or more entries'],
  ])('%j', (part, at, reason) => {
    expect(explain({ ociVersion: '1.3.0', ...part })).toEqual([{ path: at, reason }]);
  });
});
