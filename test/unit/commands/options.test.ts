/**
 * Flags become the options of a lifecycle step: what is given, what is absent, what is absolute.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseArgv, Values } from '../../../src/argv.ts';
import { createOptions } from '../../../src/commands/create.ts';
import { execOptions } from '../../../src/commands/exec.ts';
import type { Context } from '../../../src/libcontainer/container/context.ts';

const context = (env: string[] = []) =>
  ({ cwd: '/cwd', env, handOver: { listenFds: 2 } }) as unknown as Context;
const line = (...words: string[]) => parseArgv(words, new Values());

describe('create', () => {
  test('alone takes the working directory for the bundle', () => {
    expect(createOptions(context(), line('create', 'a'))).toEqual({
      id: 'a',
      bundle: '/cwd',
      noPivot: false,
      noNewKeyring: false,
      preserveFds: 0,
      listenFds: 2,
    });
  });

  test('with everything has absolute paths', () => {
    const words = ['--bundle', 'b', '--pid-file', 'p', '--console-socket', '../c', 'a'];
    const more = ['--no-pivot', '--no-new-keyring', '--preserve-fds=3', '--pidfd-socket', '/s'];
    const given = createOptions(
      context(['NOTIFY_SOCKET=/n', 'NOTIFY_SOCKET=/later']),
      line('create', ...words, ...more),
    );
    expect(given).toEqual({
      id: 'a',
      bundle: '/cwd/b',
      pidFile: '/cwd/p',
      consoleSocket: '/c',
      pidfdSocket: '/s',
      noPivot: true,
      noNewKeyring: true,
      preserveFds: 3,
      notifySocket: '/n',
      listenFds: 2,
    });
  });
});

describe('exec', () => {
  test('takes a program and its flags', () => {
    const words = ['-e', 'A=1', '-e', 'B=2', '-u', '1:2', '-g', '5', '-g', '6', '--cwd', '/w'];
    const more = [
      '-d',
      '-t',
      '-c',
      'CAP_KILL',
      '--no-new-privs',
      '--cgroup',
      'sub',
      'a',
      'ls',
      '-l',
    ];
    expect(execOptions(context(), line('exec', ...words, ...more))).toEqual({
      id: 'a',
      args: ['ls', '-l'],
      env: ['A=1', 'B=2'],
      user: '1:2',
      additionalGids: [5, 6],
      cwd: '/w',
      detach: true,
      tty: true,
      capabilities: ['CAP_KILL'],
      noNewPrivileges: true,
      cgroup: 'sub',
      preserveFds: 0,
      ignorePaused: false,
    });
  });

  test('needs a program or a process file', () => {
    expect(() => execOptions(context(), line('exec', 'a'))).toThrow('process args cannot be empty');
  });

  test.each([
    ['--cgroup', 'cpu:x'],
    ['--cgroup', 'a', '--cgroup', 'b'],
  ])('refuses %s %s of cgroup v1', (...words) => {
    expect(() => execOptions(context(), line('exec', ...words, 'a', 'x'))).toThrow(
      'cgroup v2 has one hierarchy',
    );
  });

  test('reads the process file and checks it', () => {
    const directory = mkdtempSync(join(tmpdir(), 'runcell-exec-'));
    const file = join(directory, 'p.json');
    const options = () => execOptions(context(), line('exec', '-p', file, 'a'));
    try {
      expect(options).toThrow(`read process file ${file}: no such file or directory (ENOENT)`);
      writeFileSync(file, '{');
      expect(options).toThrow(file);
      writeFileSync(file, '{"args":["x"]}');
      expect(options).toThrow(/cwd/i);
      writeFileSync(file, '{"args":["x"],"cwd":"/","user":{"uid":0,"gid":0}}');
      expect(options()).toMatchObject({ id: 'a', args: [], process: { args: ['x'], cwd: '/' } });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
