/** Why execve failed, from its errno and the head of the file (execve(2), elf(5)). */

import { describe, expect, test } from 'vitest';
import { execError } from '../../../src/libcontainer/container/executable.ts';
import { ERRNO } from '../../../src/libcontainer/linux/errno.ts';

const MACHINE = { x64: 62, arm64: 183 }[process.arch as 'x64' | 'arm64'];
const OTHER = MACHINE === 62 ? 183 : 62;

interface Elf {
  machine?: number;
  big?: boolean;
  is32?: boolean;
  interpreter?: string;
  /** What the header says, where it lies. */
  phoff?: bigint;
  phnum?: number;
  length?: bigint;
}

function elf(given: Elf): Uint8Array {
  const { machine = MACHINE!, big = false, is32 = false, interpreter } = given;
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46);
  bytes[4] = is32 ? 1 : 2;
  bytes[5] = big ? 2 : 1;
  view.setUint16(18, machine, !big);
  view.setBigUint64(32, given.phoff ?? 64n, !big);
  view.setUint16(54, 56, !big);
  view.setUint16(56, given.phnum ?? 1, !big);
  if (interpreter !== undefined) {
    view.setUint32(64, 3, !big);
    view.setBigUint64(72, 128n, !big);
    view.setBigUint64(96, given.length ?? BigInt(interpreter.length + 1), !big);
    bytes.set(Buffer.from(`${interpreter}\0`), 128);
  }
  return bytes;
}

const text = (content: string): Uint8Array => Buffer.from(content);
const message = (errno: number, head: Uint8Array): string => execError('/x', errno, head).message;

describe('ENOENT', () => {
  test.each([
    ['#!/bin/nope\necho', 'the interpreter /bin/nope of the script is missing'],
    ['#! /usr/bin/env sh\n', 'the interpreter /usr/bin/env of the script is missing'],
    [
      '#!/bin/sh\r\necho',
      'the interpreter /bin/sh of the script is missing (the line ends in CR LF)',
    ],
    ['#!/bin/sh', 'the interpreter /bin/sh of the script is missing'],
  ])('%j', (head, expected) => {
    expect(message(ERRNO.ENOENT, text(head))).toBe(
      `process.args: exec /x: no such file or directory: ${expected} (ENOENT)`,
    );
  });

  test('the loader of an ELF program', () => {
    expect(message(ERRNO.ENOENT, elf({ interpreter: '/lib/ld-musl.so' }))).toBe(
      'process.args: exec /x: no such file or directory: ' +
        'the loader /lib/ld-musl.so of the program is missing (ENOENT)',
    );
  });

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['a file of two bytes', text('#!')],
    ['a static program', elf({ phnum: 0 })],
    ['program headers far away', elf({ interpreter: '/ld', phoff: 1n << 60n })],
    ['an interpreter longer than the head', elf({ interpreter: '/ld', length: 1n << 40n })],
    ['an ELF header cut short', elf({}).subarray(0, 63)],
    ['a 32-bit program', elf({ is32: true, interpreter: '/ld' })],
  ])('%s: the errno alone, or the words of a script', (_, head) => {
    expect(message(ERRNO.ENOENT, head)).toMatch(
      /^process\.args: exec \/x: no such file or directory(: the interpreter {2}of the script is missing)? \(ENOENT\)$/,
    );
  });
});

describe('ENOEXEC', () => {
  test.each([
    [elf({ machine: OTHER }), `the program is for ${OTHER === 183 ? 'aarch64' : 'x86_64'}, this`],
    [elf({ machine: 22, big: true }), 'the program is for s390x, this machine is'],
    [elf({ machine: 40, is32: true }), 'the program is for arm, this machine is'],
    [elf({ machine: 9999 }), 'the program is for machine 9999, this machine is'],
    [text('echo hi\n'), 'neither an ELF program nor a script with #!'],
    [new Uint8Array(0), 'neither an ELF program nor a script with #!'],
  ])('case %#', (head, expected) => {
    expect(message(ERRNO.ENOEXEC, head)).toContain(`exec format error: ${expected}`);
  });

  test('of the own machine says no more than the kernel', () => {
    expect(message(ERRNO.ENOEXEC, elf({}))).toBe(
      'process.args: exec /x: exec format error (ENOEXEC)',
    );
  });
});

test('other errors are told as they are', () => {
  const error = execError('/x', ERRNO.EACCES, text('#!/bin/sh\n'));
  expect(error.message).toBe('process.args: exec /x: permission denied (EACCES)');
  expect(error.code).toBe('config.executable');
});
