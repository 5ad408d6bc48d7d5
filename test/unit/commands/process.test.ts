/**
 * dist/runcell as a process: exit codes, what goes to which stream, and that a wrong guess of the
 * bundle, a lost code cache or a closed stream change nothing. No container, no root.
 */

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NODE_FLAGS } from '../../../src/launcher/hand-over.ts';

const DIST = join(import.meta.dirname, '../../../dist');
let directory = '';
let root = '';

beforeAll(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'runcell-process-'));
  root = join(directory, 'root');
  fs.mkdirSync(root, { mode: 0o700 });
});

afterAll(() => {
  fs.rmSync(directory, { recursive: true });
});

interface Told {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function runcell(words: readonly string[], options: { cwd?: string; env?: object } = {}): Told {
  const { status, stdout, stderr, error } = spawnSync(`${DIST}/runcell`, words, {
    encoding: 'utf8',
    env: {},
    cwd: directory,
    ...options,
  } as { encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

const message = (stderr: string): string => {
  const record = JSON.parse(stderr) as { level: string; msg: string };
  expect(record.level).toBe('error');
  return record.msg;
};

describe('exit codes', () => {
  test.each([
    [['state', 'x'], 1, 'x: container does not exist'],
    [['start', 'x'], 1, 'x: container does not exist'],
    [['kill', 'x'], 1, 'x: container does not exist'],
    [['kill', 'x', 'BAD'], 1, 'unknown signal "BAD"'],
    [['delete', 'x'], 1, 'x: container does not exist'],
    [['exec', 'x', 'ls'], 255, 'exec failed: x: container does not exist'],
    [['exec', 'x'], 255, 'exec failed: process args cannot be empty'],
    [['container', 'exec', '--id', 'x'], 255, 'exec failed: x: container does not exist'],
    [['container', 'delete', '--id', 'x'], 1, 'x: container does not exist'],
    [['list', '--format', 'xml'], 1, 'invalid format option'],
    [
      ['--log-format', 'json', '--rootless', 'true', 'exec', 'x', 'ls'],
      1,
      '--rootless true: not supported yet',
    ],
    [['nope'], 3, "No help topic for 'nope'"],
  ])('%j exits %i', (words, status, text) => {
    const told = runcell(['--root', root, '--log-format', 'json', ...words]);
    expect({ status: told.status, text: message(told.stderr) }).toEqual({ status, text });
    expect(told.stdout).toBe('');
  });

  test('create tells the missing configuration with its prefix', () => {
    const told = runcell(['--root', root, '--log-format', 'json', 'create', 'x']);
    expect(told.status).toBe(1);
    const text = message(told.stderr);
    expect(text).toMatch(
      /^runcell create failed: .*JSON specification file config\.json not found/,
    );
    expect(fs.existsSync(join(root, 'states/x'))).toBe(false);
  });

  test('delete --force of a container that never was is silent', () => {
    expect(runcell(['--root', root, 'delete', '--force', 'x'])).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });
});

describe('usage errors', () => {
  test.each([
    [['state'], 'Incorrect Usage.', 'runcell: "state" requires exactly 1 argument(s)'],
    [
      ['create', '--x', 'a'],
      'Incorrect Usage: flag provided but not defined: -x',
      'flag provided but not defined: -x',
    ],
    [
      ['exec', '-g', 'x', 'a', 'b'],
      'Incorrect Usage: invalid value "x" for flag -additional-gids: parse error',
      'invalid value "x" for flag -additional-gids: parse error',
    ],
  ])("%j print the verb's help on stdout and the error on stderr", (words, headline, text) => {
    const told = runcell(['--root', root, '--log-format', 'json', ...words]);
    expect(told.status).toBe(1);
    expect(told.stdout.split('\n')[0]).toBe(headline);
    expect(told.stdout).toContain(`$ runcell ${words[0]} [FLAGS] ID`);
    expect(message(told.stderr)).toBe(text);
  });

  test('go to the log file of flags before them', () => {
    const log = join(directory, 'usage.log');
    const told = runcell(['--log', log, '--log-format', 'json', 'state', '--x']);
    expect(told.stderr).toBe('flag provided but not defined: -x\n');
    expect(message(fs.readFileSync(log, 'utf8'))).toBe('flag provided but not defined: -x');
  });

  test('a log file that cannot be opened is told, once', () => {
    const told = runcell(['--log', '/no/such/log', 'state', 'x']);
    expect(told.status).toBe(1);
    expect(told.stderr.match(/no such file or directory/g)).toHaveLength(1);
  });
});

describe('the guess of the bundle', () => {
  test.each([
    [['--root', 'state', 'list'], 0, /^ID +PID/],
    [['--root', 'kill', 'container', 'list'], 0, /^CONTAINER ID/],
    [['--root', 'list', '--version'], 0, /^runcell version /],
    [['--root', 'run', 'help'], 0, /runcell \[COMMAND\]/],
  ])('is corrected in %j', (words, status, text) => {
    const told = runcell(words);
    expect(told).toMatchObject({ status, stderr: '' });
    expect(told.stdout).toMatch(text);
  });
});

describe('streams', () => {
  const shell = (command: string) =>
    spawnSync('/bin/sh', ['-c', command], {
      encoding: 'utf8',
      env: { R: `${DIST}/runcell`, ROOT: root },
    });

  test('a closed stderr, or one opened read-only, does not change the exit code', () => {
    expect(shell('"$R" --root "$ROOT" state x 2>&-').status).toBe(1);
    expect(shell('"$R" --root "$ROOT" state x 2</dev/null').status).toBe(1);
    expect(shell('"$R" --root "$ROOT" exec x y 2</dev/null').status).toBe(255);
  });

  test('output that cannot be written fails the verb', () => {
    const told = shell('"$R" --root "$ROOT" --log-format json list 1</dev/null');
    expect(told.status).toBe(1);
    expect(message(told.stderr)).toContain('write stdout: bad file descriptor (EBADF)');
  });

  test('a pipe is left blocking', () => {
    const flags = shell(
      '{ "$R" --root "$ROOT" list; "$R" --help; grep flags /proc/self/fdinfo/1 >&2; } | cat >/dev/null',
    ).stderr;
    // O_NONBLOCK is 04000.
    expect(Number.parseInt(flags.trim().split(/\s+/)[1]!, 8) & 0o4000).toBe(0);
  });
});

describe('spec', () => {
  test('writes config.json once, for the user', () => {
    const bundle = fs.mkdtempSync(join(directory, 'bundle-'));
    expect(runcell(['spec', '--bundle', bundle])).toEqual({ status: 0, stdout: '', stderr: '' });
    const file = join(bundle, 'config.json');
    const text = fs.readFileSync(file, 'utf8');
    expect(text).toContain('\n\t"process"');
    expect((JSON.parse(text) as { ociVersion: string }).ociVersion).toMatch(/^1\./);
    const umask = process.umask();
    expect(fs.statSync(file).mode & 0o777).toBe(0o666 & ~umask);
    const again = runcell(['--log-format', 'json', 'spec', '--bundle', bundle]);
    expect(again.status).toBe(1);
    expect(message(again.stderr)).toBe('File config.json exists. Remove it first');
  });
});

describe('code cache', () => {
  const scripts = () => fs.readdirSync(`${DIST}/hot`).filter((name) => name.endsWith('.js'));

  test('of every bundle is taken by the Node and flags of the launcher', () => {
    const probe = [
      "const fs=require('node:fs');const {Script}=require('node:vm');",
      'for(const file of process.argv.slice(1)){',
      "const cachedData=fs.readFileSync(file.replace(/js$/,process.arch+'.cache'));",
      "const script=new Script(fs.readFileSync(file,'latin1'),{filename:file,cachedData});",
      'console.log(script.cachedDataRejected);}',
    ].join('');
    const files = scripts().map((name) => `${DIST}/hot/${name}`);
    const { stdout } = spawnSync(process.execPath, [...NODE_FLAGS, '-e', probe, ...files], {
      encoding: 'utf8',
    });
    expect(stdout.trim().split('\n')).toEqual(files.map(() => 'false'));
  });

  test('bundles are scripts of one function, in Latin-1', () => {
    for (const name of scripts()) {
      const bytes = fs.readFileSync(`${DIST}/hot/${name}`);
      expect(bytes.every((byte) => byte < 0x80)).toBe(true);
      expect(() => new Script(bytes.toString('latin1'))).not.toThrow();
    }
  });

  test('that is missing or garbage costs nothing but time', () => {
    const copy = fs.mkdtempSync(join(directory, 'tree-'));
    fs.cpSync(DIST, `${copy}/dist`, { recursive: true });
    fs.symlinkSync(join(DIST, '../node_modules'), `${copy}/node_modules`);
    const list = () =>
      spawnSync(`${copy}/dist/runcell`, ['--root', root, 'list'], { encoding: 'utf8', env: {} });
    const cache = `${copy}/dist/hot/list.${process.arch}.cache`;
    fs.writeFileSync(cache, 'garbage');
    expect(list()).toMatchObject({ status: 0, stderr: '' });
    fs.rmSync(cache);
    expect(list()).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('files loaded late', () => {
  test('are all there', () => {
    const files = fs.readdirSync(DIST, { recursive: true, encoding: 'utf8' });
    const scripts = files.filter((name) => /\.c?js$/.test(name));
    const wanted = new Set<string>();
    for (const name of scripts) {
      const text = fs.readFileSync(join(DIST, name), 'utf8');
      for (const match of text.matchAll(/require\("\.\/([^"]+)"\)/g)) wanted.add(match[1]!);
    }
    expect(wanted).toContain('cold.cjs');
    for (const name of wanted) expect(files).toContain(name);
  });

  test('throw errors that keep their code', () => {
    const words = ['storage', 'pull', '--image', '/no/such/image', '--container-id', 'x'];
    const told = runcell(['--root', root, '--log-format', 'json', ...words]);
    expect(told.status).toBe(1);
    expect(JSON.parse(told.stderr)).toMatchObject({ code: 'RC7001' });
  });
});
