/** loadBundle: what is read, where the root is, and what is said when something is missing. */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cleanPath, loadBundle, rootfsOf } from '../../../src/oci/bundle.ts';
import { stringifyJson } from '../../../src/oci/json.ts';
import { changed, errorOf, type Loose } from './helpers.ts';

let bundle: string;

beforeEach(() => {
  bundle = fs.mkdtempSync(path.join(os.tmpdir(), 'runcell-bundle-'));
});

afterEach(() => {
  fs.rmSync(bundle, { recursive: true });
});

function write(change: (config: Loose) => void = () => {}): string {
  const text = stringifyJson(changed(change), '\t');
  fs.writeFileSync(path.join(bundle, 'config.json'), text);
  return text;
}

describe('a bundle', () => {
  test('is its directory, its document as bytes, and its root', () => {
    const text = write();
    fs.mkdirSync(path.join(bundle, 'rootfs'));
    const loaded = loadBundle(`${bundle}/./x/..//`);
    expect(loaded.bundleDir).toBe(bundle);
    expect(loaded.rootfsPath).toBe(`${bundle}/rootfs`);
    expect(Buffer.from(loaded.configBytes).toString()).toBe(text);
    expect(loaded.config.process.args).toEqual(['sh']);
    expect(loaded.warnings).toEqual([]);
    expect(loaded.debug).toEqual([]);
  });

  test('may have its root elsewhere, also behind a link', () => {
    write((c) => (c.root.path = os.tmpdir()));
    expect(loadBundle(bundle).rootfsPath).toBe(os.tmpdir());
    fs.symlinkSync(os.tmpdir(), path.join(bundle, 'link'));
    write((c) => (c.root.path = 'link'));
    expect(loadBundle(bundle).rootfsPath).toBe(`${bundle}/link`);
  });

  test('leaves the working directory of the process alone', () => {
    const before = process.cwd();
    write((c) => (c.root.path = '.'));
    expect(loadBundle(bundle).rootfsPath).toBe(bundle);
    expect(process.cwd()).toBe(before);
  });
});

describe('a bundle that is refused', () => {
  test('has no config.json', () => {
    const error = errorOf(() => loadBundle(bundle));
    expect(error.code).toBe('config.missing');
    expect(error.message).toContain('JSON specification file config.json not found');
  });

  test.each(['nowhere', 'file'])('is %s', (name) => {
    fs.writeFileSync(path.join(bundle, 'file'), '');
    const error = errorOf(() => loadBundle(`${bundle}/${name}`));
    expect(error.code).toBe('config.missing');
    expect(error.message).toMatch(/^chdir .*: (no such file or directory|not a directory) /);
  });

  test('has a directory or a FIFO for config.json', () => {
    fs.mkdirSync(path.join(bundle, 'config.json'));
    expect(errorOf(() => loadBundle(bundle)).message).toContain('is not a regular file');
    fs.rmdirSync(path.join(bundle, 'config.json'));
    execFileSync('mkfifo', [path.join(bundle, 'config.json')]);
    expect(errorOf(() => loadBundle(bundle)).message).toContain('is not a regular file');
  });

  test('has a config.json of more than 16 MiB', () => {
    fs.writeFileSync(path.join(bundle, 'config.json'), '');
    fs.truncateSync(path.join(bundle, 'config.json'), 16 * 1024 * 1024 + 1);
    expect(errorOf(() => loadBundle(bundle)).message).toContain('is larger than 16 MiB');
  });

  test('has bad JSON, told with file, line and column', () => {
    fs.writeFileSync(path.join(bundle, 'config.json'), '{\n  "root": }');
    const error = errorOf(() => loadBundle(bundle));
    expect(error.code).toBe('config.syntax');
    expect(error.message).toBe(
      `root ${bundle}/config.json: line 2, column 11: found "}" where a value should be`,
    );
  });

  test('has no root directory', () => {
    write();
    const error = errorOf(() => loadBundle(bundle));
    expect(error.code).toBe('config.rootfs');
    expect(error.fields.specPath).toBe('root.path');
    expect(error.message).toBe(`root.path ${bundle}/rootfs: no such file or directory (ENOENT)`);
  });

  test('has a file for a root', () => {
    write((c) => (c.root.path = 'config.json'));
    const error = errorOf(() => loadBundle(bundle));
    expect(error.code).toBe('config.rootfs');
    expect(error.message).toBe(`root.path ${bundle}/config.json: is not a directory`);
  });

  test('violates the schema', () => {
    write((c) => (c.linux.namespaces = {}));
    const error = errorOf(() => loadBundle(bundle));
    expect(error.code).toBe('config.schema');
    expect(error.message).toBe('linux.namespaces: must be an array');
  });
});

test.each([
  ['/a/b', '/a/b'],
  ['/a//b/./c/', '/a/b/c'],
  ['/a/../../b', '/b'],
  ['/', '/'],
  ['//', '/'],
])('cleanPath %s', (given, clean) => {
  expect(cleanPath(given)).toBe(clean);
});

test.each([
  ['rootfs', '/b/rootfs'],
  ['../x', '/x'],
  ['/abs/./y', '/abs/y'],
  ['.', '/b'],
])('rootfsOf a bundle /b with %s', (given, rootfs) => {
  expect(rootfsOf('/b', given)).toBe(rootfs);
});
