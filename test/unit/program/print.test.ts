/**
 * The printer: every kind of argument, result and outcome, and that it shows the encoded bytes.
 * Whole programs as the planner makes them are in test/golden.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SYSCALLS, type SyscallName } from '../../../src/libcontainer/linux/syscall.ts';
import {
  type CallOptions,
  ERR,
  type Program,
  ProgramBuilder,
  type Value,
} from '../../../src/libcontainer/program/builder.ts';
import { OP } from '../../../src/libcontainer/program/op.ts';
import { printOp, printProgram } from '../../../src/libcontainer/program/print.ts';

/** The line of one call, without its number. */
function line(
  name: SyscallName,
  args: (b: ProgramBuilder) => readonly Value[],
  options: { arch?: 'x64' | 'arm64'; call?: CallOptions; secrets?: boolean; whole?: boolean } = {},
): string {
  const b = new ProgramBuilder(options.arch ?? 'x64');
  b.call(name, args(b), options.call);
  return printOp(b.finish(), 0, { ...options, numbers: false }).trim();
}

describe('layout', () => {
  function example(): Program {
    const b = new ProgramBuilder('x64');
    const [root, destination] = [b.slot('root'), b.slot('destination')];
    const [missing, again] = [b.label(), b.label()];
    b.section('mounts[3]', 'mount proc on /proc', '/proc');
    b.place(again);
    const how = b.words([0o12000000, 0, 0x12]);
    b.call('openat2', [root, b.string('proc'), how, 24], {
      into: destination,
      tolerate: ['ENOENT'],
      onError: missing,
      retry: true,
    });
    b.place(missing);
    b.section('process', 'run', 'sh');
    b.call('mkdirat', [root, b.string('proc'), 0o755], {
      tolerate: ['EEXIST', 'EROFS'],
      note: 'may be there',
    });
    b.jump(again);
    return b.finish();
  }

  test('numbered: sections, landings, results by slot name, outcomes, notes', () => {
    expect(printProgram(example())).toBe(
      [
        '# mounts[3]: mount proc on /proc',
        '   0: from 2',
        '   0 openat2(root, "proc", {flags=O_CLOEXEC|O_PATH, ' +
          'resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24) = destination  ENOENT→1  retry',
        '',
        '# process: run (sh)',
        '   1: from 0',
        '   1 mkdirat(root, "proc", 0755)  EEXIST ok  EROFS ok  ; may be there',
        '   2 goto ↑0',
        '',
      ].join('\n'),
    );
  });

  test('without numbers: labels', () => {
    const text = printProgram(example(), { numbers: false });
    expect(text).toContain('\nL1:\n  openat2(');
    expect(text).toContain('ENOENT→L2');
    expect(text).toContain('\nL2:\n  mkdirat(');
    expect(text).toContain('  goto ↑L1\n');
  });

  test('printOp is the line of printProgram', () => {
    const program = example();
    const lines = printProgram(program).split('\n');
    for (let i = 0; i < program.opCount; i++) expect(lines).toContain(printOp(program, i));
    expect(() => printOp(program, 3)).toThrow(RangeError);
  });

  test('is the same every time', () => {
    expect(printProgram(example())).toBe(printProgram(example()));
  });

  test('shows the bytes, not what the builder was told', () => {
    const program = example();
    const bytes = program.bytes.slice();
    new DataView(bytes.buffer).setUint16(16 + OP.nr, SYSCALLS.x64.close, true);
    expect(printOp({ ...program, bytes }, 0)).toContain('close(root, !');
    expect(() => printProgram({ ...program, bytes: bytes.subarray(0, 100) })).toThrow(RangeError);
  });

  test('control characters of the configuration do not make lines', () => {
    const b = new ProgramBuilder('x64');
    b.section('annotations["a\nb"]', 'say \x1b[31mred\u2028', '');
    b.call('getpid', [], { note: 'x\ry' });
    const lines = printProgram(b.finish()).split('\n');
    expect(lines).toEqual([
      '# annotations["a\\nb"]: say \\x1b[31mred\\u{2028}',
      '   0 getpid()  ; x\\x0dy',
      '',
    ]);
  });

  test('slots of one name are told apart', () => {
    const b = new ProgramBuilder('x64');
    const [first, , third] = [b.slot('tree'), b.slot('other'), b.slot('tree')];
    b.call('close', [first]);
    b.call('close', [third]);
    const program = b.finish();
    expect(printOp(program, 0)).toContain('close(tree#0)');
    expect(printOp(program, 1)).toContain('close(tree#2)');
  });
});

describe('pseudo ops', () => {
  function lines(build: (b: ProgramBuilder) => void): string[] {
    const b = new ProgramBuilder('x64');
    build(b);
    const program = b.finish();
    return Array.from({ length: program.opCount }, (_, i) => printOp(program, i).slice(5));
  }

  test('store, sum, end', () => {
    const out = lines((b) => {
      const [x, y] = [b.slot('x'), b.slot('y')];
      b.sum(x, y);
      b.sum(x, 7);
      b.sum(x, y, -3);
      b.sum(x, x, y);
      b.sum(ERR, 5);
      b.sum(x, b.string('/bin/sh'));
      b.negate(x, y);
      b.end();
    });
    expect(out).toEqual([
      'store x = y',
      'store x = 7',
      'store x = y - 3',
      'store x = x + y',
      'store err = 5',
      'store x = "/bin/sh"',
      'store x = -y  ; negate',
      'end',
    ]);
  });

  test('jumps and traps', () => {
    const out = lines((b) => {
      const slot = b.slot('x');
      const label = b.label();
      b.trap(label);
      b.jumpIfZero(slot, label);
      b.jump(label);
      b.place(label);
      b.trap(undefined);
    });
    expect(out).toEqual(['trap →3', 'if x == 0 goto →3', 'goto →3', 'trap off']);
  });

  test('checks name the field they look at', () => {
    const out = lines((b) => {
      const [stat, fs] = [b.space(256), b.space(120)];
      const fd = b.slot('fd');
      b.call('statx', [fd, b.string(''), 0x1000, 3, stat]);
      b.call('fstatfs', [fd, fs]);
      b.check(stat.plus(28), 0o170000, 0o020000, 'ENODEV');
      b.check(stat.plus(128), 2n ** 64n - 1n, (3n << 32n) | 1n, 'ENODEV');
      b.check(fs, 0xffffffff, 0x9fa0, 'EXDEV');
      b.check(fd, 0xffffffff, 0x20000, 'EINVAL', { tolerate: ['EINVAL'] });
    });
    expect(out.slice(2)).toEqual([
      'check statx.mode & S_IFMT == S_IFCHR else ENODEV',
      'check statx.rdev == 1:3 else ENODEV',
      'check fstatfs.type & 0xffffffff == PROC_SUPER_MAGIC else EXDEV',
      'check fd & 0xffffffff == 0x20000 else EINVAL  EINVAL ok',
    ]);
  });
});

describe('strings', () => {
  const chdir = (text: string, whole = false): string =>
    line('chdir', (b) => [b.string(text)], { whole });

  test('are escaped so that an op is one line', () => {
    expect(chdir('a"b\\c\n\t\x01\x7f\u0085\u200b\u202e')).toBe(
      'chdir("a\\"b\\\\c\\n\\t\\x01\\x7f\\u{85}\\u{200b}\\u{202e}")',
    );
    expect(chdir('grüße 🐧')).toBe('chdir("grüße 🐧")');
  });

  test('are shortened unless asked for whole, never inside a character', () => {
    const long = `${'x'.repeat(95)}ü${'y'.repeat(900)}`;
    expect(chdir(long)).toBe(`chdir("${'x'.repeat(95)}"… (997 bytes))`);
    expect(chdir(long, true)).toBe(`chdir("${long}")`);
    expect(chdir('z'.repeat(96))).toBe(`chdir("${'z'.repeat(96)}")`);
  });

  test('that are no UTF-8 are shown byte by byte', () => {
    const bytes = new Uint8Array([0x66, 0xff, 0x00, 0x22, 0xc3]);
    expect(line('write', (b) => [1, b.bytes(bytes), 5])).toBe('write(1, "f\\xff\\x00\\"\\xc3", 5)');
  });

  test('whole and different never look the same', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(bytes, bytes, (first, second) => {
        const show = (content: Uint8Array): string =>
          line('write', (b) => [1, b.bytes(content), content.length], { whole: true });
        fc.pre(Buffer.compare(first, second) !== 0);
        expect(show(first)).not.toBe(show(second));
        expect(show(first)).not.toContain('\n');
      }),
    );
  });

  test('values of the environment are hidden, keys are not', () => {
    const args = (b: ProgramBuilder): Value[] => [
      b.string('/sh'),
      b.stringArray(['sh', 'K=v']),
      b.stringArray(['TOKEN=hunter2', 'EMPTY=', 'BARE', 'A=b=c']),
    ];
    expect(line('execve', args)).toBe(
      'execve("/sh", ["sh", "K=v"], ["TOKEN=…", "EMPTY=…", "BARE", "A=…"])',
    );
    expect(line('execve', args, { secrets: true })).toContain('["TOKEN=hunter2", "EMPTY=", "BARE"');
  });

  test('a hidden value is not shown by any option but secrets', () => {
    const args = (b: ProgramBuilder): Value[] => [
      b.string('/sh'),
      b.stringArray([]),
      b.stringArray([`${'K'.repeat(200)}=hunter2`]),
    ];
    for (const whole of [true, false])
      expect(line('execve', args, { whole })).not.toContain('hunter');
  });
});
