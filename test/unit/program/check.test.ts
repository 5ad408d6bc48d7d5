/**
 * The static checks: a sound program has no problem, and each rule finds the program that breaks
 * it. Every case is the smallest program that differs from a sound one in one thing.
 */

import { describe, expect, test } from 'vitest';
import {
  CTL,
  Loaded,
  type Program,
  ProgramBuilder,
  RECORD_ADDRESS,
  type Slot,
} from '../../../src/libcontainer/program/builder.ts';
import { type CheckOptions, checkProgram } from '../../../src/libcontainer/program/check.ts';
import {
  CODE_BASE,
  DATA_BASE,
  JUMP_IF_ZERO,
  JUMP_ON_ERROR,
  OP,
  OP_SIZE,
  PROGRAM_BASE,
  RETRY,
  WIRE_HEADER_SIZE,
} from '../../../src/libcontainer/program/op.ts';

const CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const AT_FDCWD = -100;

type Build = (b: ProgramBuilder, fd: Slot) => void;

/** The program that `build` makes, ended. */
function program(build: Build): Program {
  const b = new ProgramBuilder('x64');
  b.section('test', 'check');
  build(b, b.slot('fd'));
  b.end();
  return b.finish();
}

function problems(build: Build, options?: CheckOptions): string[] {
  return checkProgram(program(build), options);
}

/** The problems of a program whose first op's bytes are changed. */
function patched(build: Build, patch: (op: DataView) => void): string[] {
  const made = program(build);
  const bytes = made.bytes.slice();
  patch(new DataView(bytes.buffer, WIRE_HEADER_SIZE, OP_SIZE));
  return checkProgram({ ...made, bytes });
}

function openAt(
  b: ProgramBuilder,
  fd: Slot,
  path: string,
  flags: number,
  dir: Slot | number,
): void {
  b.call('openat', [dir, b.string(path), flags], { into: fd });
}

function execute(b: ProgramBuilder): void {
  b.call('close_range', [3, 0xffffffff, 0]);
  const failed = b.label();
  b.call('execve', [b.string('/bin/sh'), b.stringArray(['sh']), b.stringArray([])], {
    onError: failed,
  });
  b.place(failed);
}

describe('a sound program', () => {
  test('has no problems', () => {
    expect(
      problems((b, fd) => {
        const [missing, done, child] = [b.label(), b.label(), b.label()];
        openAt(b, fd, '/srv', O_PATH | CLOEXEC, AT_FDCWD);
        b.call('mkdirat', [fd, b.string('a'), 0o755], { tolerate: ['EEXIST', 'EROFS'] });
        b.call('openat2', [fd, b.string('a/b'), b.words([O_PATH | CLOEXEC, 0, 0x12]), 24], {
          into: b.slot('found'),
          tolerate: ['ENOENT'],
          onError: missing,
          retry: true,
        });
        b.jump(done);
        b.place(missing);
        b.call('mknodat', [fd, b.string('n'), 0o020666, 0x103], { tolerate: ['EEXIST'] });
        b.place(done);
        b.call('close', [fd]);
        const args = b.space(88);
        b.call('clone3', [args, 88], { into: b.slot('pid'), onZero: child });
        b.call('exit_group', [0]);
        b.place(child);
        execute(b);
      }),
    ).toEqual([]);
  });

  test('may loop around a call that waits', () => {
    expect(
      problems((b) => {
        const again = b.label();
        b.place(again);
        b.call('ppoll', [0, 0, 0, 0, 0], { retry: true });
        b.jump(again);
      }),
    ).toEqual([]);
  });

  test('may pivot and enter', () => {
    expect(
      problems((b, fd) => {
        const here = b.string('.');
        b.call('fchdir', [fd]);
        b.call('pivot_root', [here, here]);
        b.call('umount2', [here, 2]);
        b.call('chdir', [b.string('/')]);
        b.call('chdir', [b.string('/work/dir')], { tolerate: ['EACCES'] });
      }),
    ).toEqual([]);
  });
});

describe('encoding', () => {
  const getpid: Build = (b) => b.call('getpid', []);

  test.each<[string, (op: DataView) => void, string]>([
    ['an unknown call', (op) => op.setUint16(OP.nr, 9999, true), 'op 0: unknown system call 9999'],
    ['unknown flags', (op) => op.setUint8(OP.flags, 8), 'op 0: unknown flags 8'],
    [
      'both jumps',
      (op) => {
        op.setUint8(OP.flags, JUMP_IF_ZERO | JUMP_ON_ERROR);
        op.setUint16(OP.target, 1, true);
      },
      'op 0: jumps both on error and on zero',
    ],
    [
      'a target without a jump',
      (op) => op.setUint16(OP.target, 1, true),
      'op 0: has a target and no jump',
    ],
    [
      'a jump too far',
      (op) => {
        op.setUint8(OP.flags, JUMP_IF_ZERO);
        op.setUint16(OP.target, 7, true);
      },
      'op 0: jumps to 7, outside of the program',
    ],
    [
      'an extra argument',
      (op) => op.setBigUint64(OP.args + 40, 1n, true),
      'op 0: getpid takes 0 arguments',
    ],
    [
      'a result among the ops',
      (op) => op.setBigUint64(OP.result, BigInt(PROGRAM_BASE), true),
      'op 0: stores its result to 0x10000000, which is no word of the program',
    ],
    [
      'a result in the header',
      (op) => op.setBigUint64(OP.result, BigInt(DATA_BASE + 64), true),
      'op 0: stores its result to 0x420040, which is no word of the program',
    ],
    [
      'a result in the record',
      (op) => op.setBigUint64(OP.result, BigInt(RECORD_ADDRESS), true),
      'op 0: stores its result into the fatal record',
    ],
    [
      'a word loaded from nowhere',
      (op) => {
        op.setUint16(OP.nr, 3, true);
        op.setUint8(OP.load, 1);
        op.setBigUint64(OP.args, 0x1234n, true);
      },
      'op 0: loads from 0x1234, outside of the data',
    ],
  ])('%s', (_, patch, problem) => {
    expect(patched(getpid, patch)).toContain(problem);
  });

  test('a sum that retries, a sum without an effect, an end with a result', () => {
    const sum: Build = (b, fd) => b.sum(fd, 1);
    expect(patched(sum, (op) => op.setUint8(OP.flags, RETRY))).toContain(
      'op 0: a sum is never an error',
    );
    expect(patched(sum, (op) => op.setBigUint64(OP.result, 0n, true))).toContain(
      'op 0: a sum without an effect',
    );
    const end: Build = (b) => b.end();
    expect(
      patched(end, (op) => op.setBigUint64(OP.result, BigInt(DATA_BASE + 128), true)),
    ).toContain('op 0: end has no outcome');
  });

  test('a check that cannot fail, or looks nowhere', () => {
    const check: Build = (b, fd) => b.check(fd, 1, 1, 'EINVAL');
    expect(patched(check, (op) => op.setBigUint64(OP.args + 24, 0n, true))).toContain(
      'op 0: a check whose failure is no error',
    );
    expect(patched(check, (op) => op.setBigUint64(OP.args, 8n, true))).toContain(
      'op 0: checks the word at 0x8, outside of the data',
    );
  });

  test('no ops at all', () => {
    expect(checkProgram(new ProgramBuilder('x64').finish())).toEqual([
      'a program without ops runs its data',
    ]);
  });

  test('running past the last op', () => {
    const b = new ProgramBuilder('x64');
    b.call('getpid', []);
    expect(checkProgram(b.finish())).toEqual([
      'op 0: runs past the last op, outside of the program',
    ]);
  });

  test('an op that is never reached', () => {
    expect(
      problems((b) => {
        b.call('exit_group', [0]);
        b.call('getpid', []);
      }),
    ).toEqual(['op 1: is never reached']);
  });

  test('a loop that does not wait', () => {
    expect(
      problems((b) => {
        const again = b.label();
        b.place(again);
        b.call('getpid', [], { onZero: again });
      }),
    ).toEqual(['op 0: jumps back to 0 around nothing that waits']);
  });
});

describe('traps', () => {
  // The executor clears the trap when it begins a program.
  test('may be set where the program ends', () => {
    const build: Build = (b) => {
      const [failed, done] = [b.label(), b.label()];
      b.trap(failed);
      b.jump(done);
      b.place(failed);
      b.call('exit_group', [1]);
      b.place(done);
    };
    expect(problems(build)).toEqual([]);
  });

  test('lead forward', () => {
    expect(
      problems((b) => {
        const before = b.label();
        b.call('getpid', []);
        b.place(before);
        b.trap(before);
        b.trap(undefined);
      }),
    ).toEqual(['op 1: traps back to 1']);
  });
});

describe('operands', () => {
  test.each<[string, Build, RegExp]>([
    ['a path outside', (b) => b.call('chdir', [0x1234]), /chdir: string at 0x1234/],
    ['a struct outside', (b) => b.call('clone3', [CODE_BASE, 88]), /clone3: 88 bytes at 0x400000/],
    [
      'a buffer that is too small',
      (b, fd) => b.call('read', [fd, b.space(8), 16]),
      /read: 16 bytes/,
    ],
    ['bytes that are too few', (b, fd) => b.call('write', [fd, b.space(8), 9]), /write: 9 bytes/],
    [
      'an argument vector without end',
      (b) => b.call('execve', [b.string('/x'), b.words([1n]), 0]),
      /execve: /,
    ],
    [
      'a group list that is too short',
      (b) => b.call('setgroups', [3, b.space(8)]),
      /setgroups: 12 bytes/,
    ],
    [
      'another capability version',
      (b) => b.call('capset', [b.words([1n]), b.space(24)]),
      /capability version 0x1/,
    ],
    [
      'a control message too long',
      (b, fd) => b.call('sendmsg', [fd, b.words([0, 0, 0, 0, b.words([99, 0, 0]), 24, 0]), 0]),
      /control message of 99 bytes/,
    ],
    [
      'a word loaded at the very end',
      (b) => b.call('close', [new Loaded(b.space(4))]),
      /loads from/,
    ],
  ])('%s', (_, build, expected) => {
    expect(problems(build).join('\n')).toMatch(expected);
  });

  test('the data page and the executor’s image are inside', () => {
    expect(
      problems((b, fd) => {
        b.call('write', [fd, CODE_BASE, 1024]);
        b.call('write', [CTL, RECORD_ADDRESS, 32]);
      }),
    ).toEqual([]);
  });
});
