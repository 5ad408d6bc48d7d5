/** From what a container process reports to the line a person reads; engines match some of them. */

import type { Config } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { HOOK_NOT_EXECUTED, HOOK_TIMED_OUT } from '../../../src/hooks/compile.ts';
import {
  cwdError,
  execReport,
  explainFailure,
  fatalError,
  filesystemReason,
  hookError,
  lookupError,
  operationOf,
  sectionAt,
  startReport,
} from '../../../src/libcontainer/container/failure.ts';
import type { Arch } from '../../../src/libcontainer/linux/arch.ts';
import { ERRNO, type ErrnoName } from '../../../src/libcontainer/linux/errno.ts';
import { SYSCALLS } from '../../../src/libcontainer/linux/syscall.ts';
import { TAG } from '../../../src/libcontainer/plan/messages.ts';
import { ProgramBuilder } from '../../../src/libcontainer/program/builder.ts';

const config = {
  ociVersion: '1.3.0',
  process: { cwd: '/work', args: ['sh'] },
  hooks: {
    createContainer: [{ path: '/h0' }, { path: '/h1', timeout: 2 }],
    startContainer: [{ path: '/s' }],
  },
} as unknown as Config;

function program() {
  const b = new ProgramBuilder('x64');
  b.section('mounts[3]', 'mount proc on /proc', '/proc');
  b.call('openat2', [3, b.string('proc'), b.words([0, 0, 0]), 24]);
  b.section('process.cwd', 'change to', '/data');
  b.call('chdir', [b.string('/data')]);
  b.check(b.words([0]), 1, 1, 'ENODEV', { note: 'is it the null device' });
  b.section('', 'keep other processes out', 'prctl');
  b.call('prctl', [4, 0, 0, 0, 0]);
  b.end();
  return b.finish();
}

const fatal = (op: number, errno: ErrnoName, ignored?: ErrnoName) => ({
  op,
  errno: ERRNO[errno],
  ignored: ignored === undefined ? 0 : ERRNO[ignored],
});

const words = (...values: number[]): Uint8Array =>
  new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer);
const join = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);
const text = (content: string): Uint8Array => Buffer.from(content);

const started = 'unable to start container process';
const init = `${started}: error during container init`;

/** The error of a failure of init, or of another process. */
function explain(what: object, how = { ofInit: true, stands: true }) {
  const { ofInit, stands } = how;
  return explainFailure({ config, program: program(), stands, what } as never, ofInit);
}

describe('what a failure happened within', () => {
  test.each<[number, boolean, boolean, string]>([
    [0, true, true, `${init}: mounts[3]: `],
    [0, true, false, `${started}: mounts[3]: `],
    [0, false, true, `${started}: mounts[3]: `],
    [1, true, true, `${started}: process.cwd: `],
  ])('op %i, of init %s, stands %s', (op, ofInit, stands, expected) => {
    const { message } = explain({ fatal: fatal(op, 'EIO') }, { ofInit, stands });
    expect(message.startsWith(expected), message).toBe(true);
  });
});

describe('a fatal record', () => {
  test('names the field, what was done to what, and why', () => {
    expect(fatalError(program(), fatal(0, 'ELOOP')).message).toBe(
      'mounts[3]: mount proc on /proc: openat2: filesystem "proc" must be mounted on ordinary directory (ELOOP)',
    );
    expect(fatalError(program(), fatal(0, 'EACCES')).fields).toMatchObject({
      specPath: 'mounts[3]',
      operation: 'mount proc on /proc: openat2',
      op: 'openat2 #0',
    });
    expect(fatalError(program(), fatal(1, 'EACCES')).message).toBe(
      'process.cwd: chdir to cwd ("/data") set in config.json failed: permission denied (EACCES)',
    );
  });

  test('of a check says what was checked', () => {
    expect(fatalError(program(), fatal(2, 'ENODEV')).message).toBe(
      'process.cwd: change to /data: check: is it the null device (ENODEV)',
    );
  });

  test('of a lookup tells why what is missing could not be made', () => {
    const lookup = (ignored?: ErrnoName): number | undefined =>
      fatalError(program(), fatal(0, 'ENOENT', ignored)).fields.errno;
    expect(lookup()).toBe(ERRNO.ENOENT);
    expect(lookup('EEXIST')).toBe(ERRNO.ENOENT);
    expect(lookup('EROFS')).toBe(ERRNO.EROFS);
    expect(fatalError(program(), fatal(1, 'ENOENT', 'EROFS')).fields.errno).toBe(ERRNO.ENOENT);
  });

  test('takes the words of the filesystem', () => {
    const what = { fatal: fatal(0, 'EINVAL'), filesystem: text("e tmpfs: Bad value for 'size'\n") };
    expect(explain(what).message).toContain(": tmpfs: Bad value for 'size' (EINVAL)");
  });

  test.each([
    ['e proc: no\n', 'proc: no'],
    ['i first\ne second\n', 'second'],
    ['', undefined],
    ['\n \n', undefined],
  ])('of which %j is the last line without its level', (payload, expected) => {
    expect(filesystemReason(text(payload))).toBe(expected);
  });

  test('of an op that is not there is told all the same', () => {
    expect(sectionAt(program(), 99)).toBeUndefined();
    expect(operationOf(program(), 3)).toBe('prctl');
  });

  test('the errno of a netlink answer, with what it is about', () => {
    const b = new ProgramBuilder('x64');
    b.section('linux.netDevices["eth0"]', 'move eth0 into the namespace', 'eth0');
    b.check(b.scratch(), 1, 0, b.slot('answer'));
    const record = { op: 0, errno: ERRNO.EEXIST, ignored: 0 };
    expect(fatalError(b.finish(), record).message).toBe(
      'linux.netDevices["eth0"]: move eth0 into the namespace: netlink: file exists (EEXIST)',
    );
  });
});

describe('a process that ended', () => {
  const ended = (report: object) => explain({ ended: report });

  test('by SIGKILL gets a hint', () => {
    expect(ended({ status: undefined, signal: 9 }).message).toMatch(
      /container init ended before the container stood: .* - a memory limit/,
    );
    expect(ended({ status: 3, signal: undefined }).message).not.toContain(' - ');
  });
});

describe('strings that engines match', () => {
  test.each<[string, ErrnoName, string]>([
    ['nope', 'ENOENT', 'exec: "nope": executable file not found in $PATH'],
    ['nope', 'EACCES', 'exec: "nope": executable file not found in $PATH'],
    ['/nope', 'ENOENT', 'exec: "/nope": stat /nope: no such file or directory'],
    ['/dir', 'EISDIR', 'exec: "/dir": is a directory'],
    ['/etc/passwd', 'EACCES', 'exec: "/etc/passwd": permission denied'],
    ['/a/b', 'ENOTDIR', 'exec: "/a/b": stat /a/b: not a directory'],
  ])('%s with %s', (name, errno, expected) => {
    expect(lookupError(name, ERRNO[errno]).message).toBe(`process.args: ${expected}`);
  });

  test('another error of the lookup keeps its number', () => {
    expect(lookupError('/x', ERRNO.EIO).message).toContain('(EIO)');
  });

  test('the working directory', () => {
    expect(cwdError('/x').message).toContain(
      'current working directory is outside of container mount namespace root',
    );
  });
});

describe('messages', () => {
  const said = (tag: number, a = 0, b = 0, payload: Uint8Array = new Uint8Array(0)): string =>
    explain({ message: { tag, a, b, payload } }).message;

  test('LOOKUP, CWD, and what is none', () => {
    expect(said(TAG.LOOKUP, -ERRNO.ENOENT)).toContain('"sh": executable file not found');
    expect(said(TAG.CWD)).toContain('process.cwd /work');
    expect(said(4711)).toContain('unexpected message 4711');
  });

  test.each<[number, number, string, string]>([
    [
      HOOK_NOT_EXECUTED,
      -ERRNO.ENOENT,
      '',
      'hooks.createContainer[0] /h0: no such file or directory (ENOENT)',
    ],
    [1, 3, 'one\n\n two \n', 'hooks.createContainer[0] /h0: exit status 3: one | two'],
    [2, 9, '', 'hooks.createContainer[0] /h0: signal 9'],
  ])('HOOK of kind %i', (kind, b, output, expected) => {
    expect(said(TAG.HOOK, kind, b, text(output))).toBe(`${init}: ${expected}`);
  });

  test('HOOK that hung, with its own timeout or the default', () => {
    const message = { tag: TAG.HOOK, b: 0, payload: text('busy'), fatal: undefined };
    const hooks = config.hooks!.createContainer!;
    const second = hookError('createContainer', hooks, { ...message, a: 1000 + HOOK_TIMED_OUT });
    expect(second.message).toContain('hook ran past specified timeout of 2.0s): busy');
    expect(second.code).toBe('hook.timeout');
    const first = hookError('createContainer', hooks, { ...message, a: HOOK_TIMED_OUT });
    expect(first.message).toContain('timeout of 300s');
  });
});

describe('the report of a start', () => {
  const record = words(-1, 7, -ERRNO.ENOENT, 0);

  test('nothing or one byte: it runs', () => {
    expect(startReport(new Uint8Array(0), () => config)).toBeUndefined();
    expect(startReport(text('0'), () => config)).toBeUndefined();
  });

  test('a record and the head of the file', () => {
    const head = text('#!/bin/nope\n');
    expect(startReport(join(text('0'), record, head), () => config)?.message).toContain(
      'exec sh: no such file or directory: the interpreter /bin/nope of the script is missing',
    );
  });

  test('a hook that failed', () => {
    const report = join(words(TAG.HOOK, 1, 5, 2), text('no'));
    expect(startReport(report, () => config)?.message).toBe(
      `${started}: hooks.startContainer[0] /s: exit status 5: no`,
    );
  });

  test('a record before it was let go is no hook’s', () => {
    expect(startReport(words(-1, 7, -ERRNO.ENOMEM, 0), () => config)?.message).toBe(
      `${started}: start the container: cannot allocate memory (ENOMEM)`,
    );
  });

  test('a call of the wait itself, by its name', () => {
    const failed = (errno: number) =>
      join(text('w'), words(-1, 7, -errno, 0), words(SYSCALLS[process.arch as Arch].ppoll));
    const message = 'wait for the container: ppoll: input/output error (EIO)';
    expect(startReport(failed(ERRNO.EIO), () => config)?.message).toBe(message);
    expect(execReport(failed(ERRNO.EIO), 'sh')?.message).toBe(message);
    const died = `${started}: container init died before it was started`;
    expect(startReport(failed(ERRNO.ENXIO), () => config)?.message).toBe(died);
  });

  test('what is cut short', () => {
    const died = `${started}: container init died before it was started`;
    expect(startReport(join(text('0'), record.subarray(0, 31)), () => config)?.message).toBe(died);
    expect(startReport(words(TAG.HOOK, 1), () => config)?.message).toBe(died);
  });

  test('of exec: without a byte it never ran', () => {
    expect(execReport(text('0'), 'sh')).toBeUndefined();
    expect(execReport(new Uint8Array(0), 'sh')?.message).toBe(
      `${started}: the process ended before it ran`,
    );
    expect(execReport(join(text('0'), record), '/bin/x')?.message).toContain('exec /bin/x');
  });
});
