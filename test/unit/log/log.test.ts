/**
 * src/log.ts: runc's two forms, the log file and what it may be (reference/runtime-cli.md §1.4).
 */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RuncellError } from '../../../src/error.ts';
import {
  errorFields,
  failureMessage,
  formatJson,
  formatText,
  openLog,
  timestamp,
} from '../../../src/log.ts';
import { moveOutput } from '../../../src/output.ts';

let directory = '';
let stderrFile = '';
let stderr = -1;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'runcell-log-'));
  stderrFile = join(directory, 'stderr');
  stderr = fs.openSync(stderrFile, 'a');
  moveOutput(1, stderr);
});

afterEach(() => {
  moveOutput(1, 2);
  fs.closeSync(stderr);
  fs.rmSync(directory, { recursive: true });
});

const told = () => fs.readFileSync(stderrFile, 'utf8');
const time = '2026-01-02T15:04:05Z';

describe('forms', () => {
  test('json is one line with sorted keys', () => {
    expect(formatJson({ msg: 'a\n"b"', time, level: 'error', code: 'RC1001' })).toBe(
      `{"code":"RC1001","level":"error","msg":"a\\n\\"b\\"","time":"${time}"}\n`,
    );
  });

  test.each([
    ['plain', 'msg=plain'],
    ['/a/b.c@d^e+f_g-h', 'msg=/a/b.c@d^e+f_g-h'],
    ['', 'msg='],
    ['two words', 'msg="two words"'],
    ['say "x"', 'msg="say \\"x\\""'],
    ['a\nb\tc\\', 'msg="a\\nb\\tc\\\\"'],
    ['esc\u001b[31m', 'msg="esc\\u001b[31m"'],
    ['a=b', 'msg="a=b"'],
  ])('text quotes %j as logrus does', (msg, expected) => {
    expect(formatText({ level: 'error', msg, time })).toBe(
      `time="${time}" level=error ${expected}\n`,
    );
  });

  test('text puts further keys behind the message, sorted', () => {
    expect(formatText({ level: 'error', msg: 'm', specPath: 'a', time, code: 'c' })).toBe(
      `time="${time}" level=error msg=m code=c specPath=a\n`,
    );
  });

  test('time is RFC 3339 in seconds', () => {
    expect(timestamp(new Date('2026-01-02T15:04:05.678Z'))).toBe(time);
  });
});

describe('failure', () => {
  const error = new RuncellError({
    code: 'kernel.operation',
    specPath: 'mounts[3]',
    operation: 'mount',
    target: '/proc',
    errno: 16,
    op: 'create 7',
  });

  test('carries code, errno, op and specPath', () => {
    expect(errorFields(error)).toEqual({
      code: 'RC4001',
      errno: 'EBUSY',
      op: 'create 7',
      specPath: 'mounts[3]',
    });
  });

  test.each([
    ['create', 'runcell create failed: '],
    ['container:create', 'runcell create failed: '],
    ['run', 'runcell run failed: '],
    ['container:run', 'runcell run failed: '],
    ['exec', 'exec failed: '],
    ['container:exec', 'exec failed: '],
    ['start', ''],
    ['state', ''],
    ['', ''],
  ])('of %j begins with %j', (verb, prefix) => {
    expect(failureMessage(verb, error)).toBe(prefix + error.message);
  });

  test('goes to stderr as a record without --log', () => {
    openLog({ format: 'json', debug: false }).failure(error, 'it broke');
    const record = JSON.parse(told()) as Record<string, string>;
    expect(record).toMatchObject({ level: 'error', msg: 'it broke', code: 'RC4001' });
    expect(Object.keys(record)).toEqual(Object.keys(record).sort());
  });

  test('goes to the file as a record and to stderr bare', () => {
    const file = join(directory, 'log');
    openLog({ file, format: 'text', debug: false }).failure(error, 'it broke');
    expect(told()).toBe('it broke\n');
    expect(fs.readFileSync(file, 'utf8')).toMatch(
      /^time="[^"]+" level=error msg="it broke" code=RC4001 errno=EBUSY op="create 7" specPath="mounts\[3\]"\n$/,
    );
  });
});

describe('levels', () => {
  test.each([
    [false, ['info', 'warning', 'error']],
    [true, ['debug', 'info', 'warning', 'error']],
  ])('with debug %s', (debug, levels) => {
    const log = openLog({ format: 'json', debug });
    for (const write of [log.debug, log.info, log.warn, log.error]) write('m');
    const lines = told().trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(levels);
  });

  test('only errors of the verb are told on stderr when there is a file', () => {
    const log = openLog({ file: join(directory, 'log'), format: 'json', debug: true });
    for (const write of [log.debug, log.info, log.warn, log.error]) write('m');
    expect(told()).toBe('');
  });
});

describe('file', () => {
  const open = (file: string) => openLog({ file, format: 'json', debug: false });

  test('is appended to and made with mode 0644 less the umask', () => {
    const file = join(directory, 'log');
    const umask = process.umask(0o022);
    try {
      open(file).info('one');
      open(file).info('two');
    } finally {
      process.umask(umask);
    }
    expect(fs.readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(2);
    expect(fs.statSync(file).mode & 0o777).toBe(0o644);
  });

  test('that cannot be opened is an error that names it', () => {
    const file = join(directory, 'no/such/log');
    expect(() => open(file)).toThrow(`open log file ${file}: no such file or directory (ENOENT)`);
  });

  test('that is a symbolic link is refused', () => {
    const file = join(directory, 'link');
    fs.symlinkSync(join(directory, 'victim'), file);
    expect(() => open(file)).toThrow('ELOOP');
    expect(fs.existsSync(join(directory, 'victim'))).toBe(false);
  });

  test('that is a FIFO is refused and never waited for', () => {
    const file = join(directory, 'fifo');
    execFileSync('mkfifo', [file]);
    expect(() => open(file)).toThrow(file);
    const reader = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    expect(() => open(file)).toThrow('not a regular file');
    fs.closeSync(reader);
  });

  test('that is a device is refused', () => {
    expect(() => open('/dev/null')).toThrow('open log file /dev/null: not a regular file');
  });

  test('on a stderr opened read-only records are lost without an error', () => {
    const readOnly = fs.openSync('/dev/null', 'r');
    moveOutput(1, readOnly);
    openLog({ format: 'text', debug: false }).error('m');
    fs.closeSync(readOnly);
    openLog({ format: 'text', debug: false }).error('m');
  });
});
