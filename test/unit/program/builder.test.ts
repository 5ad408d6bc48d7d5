/**
 * The builder's encoding, byte by byte (docs/program.md): what is asked for is what is sent. Read
 * back with Image, which decodes bytes only; a few tests look at the raw bytes themselves.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SYSCALLS } from '../../../src/libcontainer/linux/syscall.ts';
import {
  CTL,
  ERR,
  IGNORED,
  Label,
  Loaded,
  Pointer,
  ProgramBuilder,
  RECORD_ADDRESS,
  Slots,
  TRAP,
} from '../../../src/libcontainer/program/builder.ts';
import {
  CMP,
  DATA,
  DATA_BASE,
  END,
  JUMP_IF_ZERO,
  JUMP_ON_ERROR,
  OP_SIZE,
  PROGRAM_BASE,
  RETRY,
  SLOTS,
  SUM,
  WIRE_HEADER_SIZE,
  WIRE_MAGIC,
} from '../../../src/libcontainer/program/op.ts';
import { Image } from '../../../src/libcontainer/program/print/image.ts';

const decode = (b: ProgramBuilder): Image => new Image(b.finish());
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);

describe('wire image', () => {
  test('begins with magic, zero and the length of ops and data', () => {
    const b = new ProgramBuilder('x64');
    b.end();
    b.words([7]);
    const { bytes } = b.finish();
    const view = new DataView(bytes.buffer);
    expect(view.getUint32(0, true)).toBe(WIRE_MAGIC);
    expect(view.getUint32(4, true)).toBe(0);
    expect(view.getBigUint64(8, true)).toBe(BigInt(OP_SIZE + 8));
    expect(bytes.length).toBe(WIRE_HEADER_SIZE + OP_SIZE + 8);
  });

  test('an op has its fields at the documented offsets', () => {
    const b = new ProgramBuilder('x64');
    const slot = b.slot('fd');
    const label = b.label();
    b.call('close', [slot], {
      into: slot,
      tolerate: ['EBADF', 'EIO'],
      onError: label,
      retry: true,
    });
    b.place(label);
    b.end();
    const { bytes } = b.finish();
    const view = new DataView(bytes.buffer, WIRE_HEADER_SIZE);
    expect(view.getUint16(0, true)).toBe(SYSCALLS.x64.close);
    expect(view.getUint8(2)).toBe(JUMP_ON_ERROR | RETRY);
    expect(view.getUint8(3)).toBe(1);
    expect(view.getUint16(4, true)).toBe(1);
    expect([view.getUint8(6), view.getUint8(7)]).toEqual([9, 5]);
    expect(view.getBigUint64(8, true)).toBe(BigInt(slot.address));
    expect(view.getBigUint64(16, true)).toBe(BigInt(slot.address));
    expect(view.getUint16(OP_SIZE, true)).toBe(END);
  });

  test('numbers of system calls are the architecture’s', () => {
    for (const arch of ['x64', 'arm64'] as const) {
      const b = new ProgramBuilder(arch);
      b.call('openat', [0, 0, 0]);
      expect(decode(b).ops[0]!.nr).toBe(SYSCALLS[arch].openat);
    }
  });
});

describe('arguments', () => {
  test('pointers are addresses behind the ops, however many follow', () => {
    const b = new ProgramBuilder('x64');
    const path = b.string('/etc');
    b.call('chdir', [path]);
    for (let i = 0; i < 10; i++) b.call('getpid', []);
    const image = decode(b);
    expect(image.ops[0]!.args[0]).toEqual({
      value: BigInt(PROGRAM_BASE + 11 * OP_SIZE),
      loaded: false,
    });
    expect(text(image.string(image.ops[0]!.args[0]!.value))).toBe('/etc');
  });

  test('pointers inside the data point to the data', () => {
    const b = new ProgramBuilder('x64');
    const array = b.stringArray(['a', 'bc']);
    b.call('chdir', [array]);
    const image = decode(b);
    const at = image.ops[0]!.args[0]!.value;
    const strings = [0n, 8n].map((offset) => text(image.string(image.read(at + offset, 8)!)));
    expect(strings).toEqual(['a', 'bc']);
    expect(image.read(at + 16n, 8)).toBe(0n);
  });

  test('slots and loaded words are loaded, each at its own bit', () => {
    const b = new ProgramBuilder('x64');
    const slot = b.slot('s');
    const word = b.words([5]);
    b.call('mmap', [0, slot, 2, new Loaded(word), slot, 5]);
    const { args } = decode(b).ops[0]!;
    expect(args.map((arg) => arg.loaded)).toEqual([false, true, false, true, true, false]);
    expect(args[1]!.value).toBe(BigInt(DATA_BASE + DATA.slots));
    expect(args[3]!.value).toBe(BigInt(PROGRAM_BASE + OP_SIZE));
  });

  test.each([
    [0, 0n],
    [-1, 0xffffffffffffffffn],
    [-100, 0xffffffffffffff9cn],
    [0xffffffff, 0xffffffffn],
    [0x100000000, 0x100000000n],
    [-0x100000000, 0xffffffff00000000n],
    [-0x100000001, 0xfffffffeffffffffn],
    [Number.MAX_SAFE_INTEGER, 0x1fffffffffffffn],
    [Number.MIN_SAFE_INTEGER, 0xffe0000000000001n],
    [2n ** 63n, 0x8000000000000000n],
    [2n ** 64n - 1n, 0xffffffffffffffffn],
    [-(2n ** 63n), 0x8000000000000000n],
  ])('%s is %s in two’s complement', (value, expected) => {
    const b = new ProgramBuilder('x64');
    b.call('close', [value]);
    b.words([value]);
    const image = decode(b);
    expect(image.ops[0]!.args[0]!.value).toBe(expected);
    expect(image.read(image.dataStart, 8)).toBe(expected);
  });

  test.each([2 ** 53, -(2 ** 53), 0.5, Number.NaN, Number.POSITIVE_INFINITY])(
    '%s is refused: no exact integer',
    (value) => {
      const b = new ProgramBuilder('x64');
      expect(() => b.call('close', [value])).toThrow(RangeError);
      expect(() => b.words([value])).toThrow(RangeError);
    },
  );

  test('any 64-bit integer survives', () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n), (value) => {
        const b = new ProgramBuilder('x64');
        b.call('close', [value]);
        expect(decode(b).ops[0]!.args[0]!.value).toBe(BigInt.asUintN(64, value));
      }),
    );
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const b = new ProgramBuilder('arm64');
        b.call('close', [value]);
        expect(decode(b).ops[0]!.args[0]!.value).toBe(BigInt.asUintN(64, BigInt(value)));
      }),
    );
  });
});

describe('results and slots', () => {
  test('go to a slot or into the data', () => {
    const b = new ProgramBuilder('x64');
    const [first, second] = [b.slot('a'), b.slot('b')];
    const word = b.words([0, 0]);
    b.call('getpid', [], { into: second });
    b.call('getpid', [], { into: word.plus(8) });
    b.call('getpid', []);
    const results = decode(b).ops.map((op) => op.result);
    expect(results).toEqual([
      BigInt(first.address + 8),
      BigInt(PROGRAM_BASE + 3 * OP_SIZE + 8),
      0n,
    ]);
  });

  test('the executor’s own words are slots before the first', () => {
    const b = new ProgramBuilder('x64');
    b.call('close', [CTL]);
    b.sum(ERR, IGNORED);
    const [call, sum] = decode(b).ops;
    expect(call!.args[0]!.value).toBe(BigInt(DATA_BASE + DATA.ctl));
    expect(sum!.result).toBe(BigInt(DATA_BASE + DATA.err));
    expect(sum!.args[0]!.value).toBe(BigInt(DATA_BASE + DATA.ignored));
    expect(RECORD_ADDRESS).toBe(DATA_BASE + DATA.record);
  });

  test('continue where another program of the same process ended', () => {
    const first = new ProgramBuilder('x64');
    first.slot('a');
    const second = new ProgramBuilder('x64', first.slots);
    expect(second.slot('b').index).toBe(1);
    const branch = new Slots(first.slots);
    expect(branch.take('c').index).toBe(2);
    expect(first.slots.names).toEqual(['a', 'b']);
    expect(branch.names).toEqual(['a', 'b', 'c']);
  });

  test('there are as many as the data page has, and no more', () => {
    const slots = new Slots();
    for (let i = 0; i < SLOTS; i++) slots.take(`s${i}`);
    expect(slots.names.length).toBe(SLOTS);
    expect(() => slots.take('one more')).toThrow(
      'the container needs more than 496 descriptors and results to be set up',
    );
  });
});

describe('jumps', () => {
  test('go forward and backward', () => {
    const b = new ProgramBuilder('x64');
    const [back, forward] = [b.label(), b.label()];
    b.place(back);
    b.call('getpid', [], { onZero: forward });
    b.jump(back);
    b.place(forward);
    b.end();
    const { ops } = decode(b);
    expect(ops[0]).toMatchObject({ flags: JUMP_IF_ZERO, target: 2 });
    expect(ops[1]).toMatchObject({ nr: SUM, flags: JUMP_IF_ZERO, target: 0, result: 0n });
  });

  test('jumpIfZero looks at a value', () => {
    const b = new ProgramBuilder('x64');
    const slot = b.slot('s');
    const label = b.label();
    b.jumpIfZero(slot, label);
    b.place(label);
    b.end();
    expect(decode(b).ops[0]).toMatchObject({ nr: SUM, flags: JUMP_IF_ZERO, target: 1 });
  });

  test('a label is placed once, and before the program is finished', () => {
    const b = new ProgramBuilder('x64');
    const label = b.label();
    b.jump(label);
    expect(() => b.finish()).toThrow(/never placed/);
    b.place(label);
    expect(() => b.place(label)).toThrow(/twice/);
    expect(new Label().index).toBe(-1);
  });

  test('an op does not jump both on error and on zero', () => {
    const b = new ProgramBuilder('x64');
    const label = b.label();
    expect(() => b.call('getpid', [], { onError: label, onZero: label })).toThrow(/not both/);
  });

  test('a trap stores the index of its target, and 0 to take it back', () => {
    const b = new ProgramBuilder('x64');
    const label = b.label();
    b.trap(label);
    b.trap(undefined);
    b.place(label);
    b.end();
    const [on, off] = decode(b).ops;
    expect(on).toMatchObject({ nr: SUM, result: BigInt(TRAP.address) });
    expect(on!.args[0]!.value).toBe(2n);
    expect(off!.args[0]!.value).toBe(0n);
  });
});

describe('outcomes', () => {
  test('at most two errors are tolerated', () => {
    const b = new ProgramBuilder('x64');
    b.call('getpid', [], { tolerate: [] });
    b.call('getpid', [], { tolerate: ['ENOENT'] });
    b.call('getpid', [], { tolerate: ['EEXIST', 'EHWPOISON'] });
    const three = ['EPERM', 'ENOENT', 'ESRCH'] as const;
    expect(() => b.call('getpid', [], { tolerate: three })).toThrow(/at most two/);
    expect(
      decode(b)
        .ops.slice(0, 3)
        .map((op) => op.tolerated),
    ).toEqual([[], [2], [17, 133]]);
  });

  test('check compares a word of a slot or of the data', () => {
    const b = new ProgramBuilder('x64');
    const slot = b.slot('s');
    const word = b.words([0]);
    b.check(slot, 0xff, 3, 'EINVAL');
    b.check(word, 2n ** 64n - 1n, -1, 'ENODEV', { tolerate: ['ENODEV'] });
    const [first, second] = decode(b).ops;
    expect(first!.nr).toBe(CMP);
    // the address itself, not the word behind it
    expect(first!.args[0]).toEqual({ value: BigInt(slot.address), loaded: false });
    expect(first!.args.slice(1, 4).map((arg) => arg.value)).toEqual([0xffn, 3n, 22n]);
    expect(second!.args[1]!.value).toBe(2n ** 64n - 1n);
    expect(second!.tolerated).toEqual([19]);
  });
});

describe('data', () => {
  test('equal strings are stored once', () => {
    const b = new ProgramBuilder('x64');
    const [first, again, other] = [b.string('same'), b.string('same'), b.string('other')];
    expect(again.offset).toBe(first.offset);
    expect(other.offset).not.toBe(first.offset);
  });

  test('a string with NUL is refused', () => {
    const b = new ProgramBuilder('x64');
    for (const bad of ['\0', 'a\0b', 'a\0']) expect(() => b.string(bad)).toThrow(/NUL/);
    expect(() => b.stringArray(['good', 'b\0ad'])).toThrow(/NUL/);
  });

  test('bytes, words and space are aligned to 8 and zero where nothing was written', () => {
    const b = new ProgramBuilder('x64');
    b.string('odd');
    const bytes = b.bytes(new Uint8Array([1, 2, 3]));
    const space = b.space(3);
    const words = b.words([1n]);
    b.setU32(space, 0x01020304);
    b.setU16(words.plus(4), 0xffff);
    for (const pointer of [bytes, space, words]) expect(pointer.offset % 8).toBe(0);
    b.call('chdir', [bytes]);
    const image = decode(b);
    const at = image.dataStart;
    expect(image.read(at + BigInt(bytes.offset), 8)).toBe(0x030201n);
    expect(image.read(at + BigInt(space.offset), 4)).toBe(0x01020304n);
    expect(image.read(at + BigInt(words.offset), 8)).toBe(0xffff00000001n);
  });

  test('setU64 takes a pointer and forgets what was there', () => {
    const b = new ProgramBuilder('x64');
    const text8 = b.string('x');
    const words = b.words([-1]);
    b.setU64(words, text8);
    b.call('chdir', [words]);
    const image = decode(b);
    expect(image.read(image.dataStart + BigInt(words.offset), 8)).toBe(image.dataStart);
  });

  test('ops grow beyond 512 and data beyond 64 KiB without a change', () => {
    const b = new ProgramBuilder('x64');
    const paths: string[] = [];
    for (let i = 0; i < 2000; i++) {
      paths.push(`/${'p'.repeat(60)}/${i}`);
      b.call('chdir', [b.string(paths[i]!)], { into: b.words([i]) });
    }
    const image = decode(b);
    expect(image.ops.length).toBe(2000);
    expect(image.ops.map((op) => text(image.string(op.args[0]!.value)))).toEqual(paths);
    expect(image.ops.map((op) => image.read(op.result, 8))).toEqual(paths.map((_, i) => BigInt(i)));
  });

  test('the number of ops is bounded by what a jump can name', () => {
    const b = new ProgramBuilder('x64');
    for (let i = 0; i < 0xffff; i++) b.end();
    expect(() => b.end()).toThrow('the container needs more than 65534 operations to be set up');
  });

  test('any strings and bytes come back as they were', () => {
    const strings = fc.array(fc.string({ unit: 'binary' }).filter((s) => !s.includes('\0')));
    fc.assert(
      fc.property(strings, fc.uint8Array({ maxLength: 40000 }), (list, bytes) => {
        const b = new ProgramBuilder('x64');
        const array = b.stringArray(list);
        const blob = b.bytes(bytes);
        b.call('execve', [0, array, blob]);
        const image = decode(b);
        const [, argv, where] = image.ops[0]!.args;
        list.forEach((item, i) => {
          const pointer = image.read(argv!.value + BigInt(8 * i), 8)!;
          expect(text(image.string(pointer))).toBe(item);
        });
        expect(image.read(argv!.value + BigInt(8 * list.length), 8)).toBe(0n);
        expect(image.bytes(where!.value, bytes.length)).toEqual(
          bytes.length === 0 ? image.bytes(where!.value, 0) : bytes,
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe('source map', () => {
  test('every op knows its section and its note', () => {
    const b = new ProgramBuilder('x64');
    b.call('getpid', []);
    b.section('mounts[0]', 'mount a', '/a');
    b.call('getpid', [], { note: 'why' });
    b.sum(b.slot('s'), 1, 2, 'sum');
    b.section('process', 'run');
    b.end();
    const program = b.finish();
    expect(program.sectionOf).toEqual([-1, 0, 0, 1]);
    expect(program.sections[0]).toEqual({ specPath: 'mounts[0]', reason: 'mount a', target: '/a' });
    expect(program.sections[1]!.target).toBe('');
    expect([...program.notes]).toEqual([
      [1, 'why'],
      [2, 'sum'],
    ]);
    expect(program.opCount).toBe(4);
  });

  test('a pointer further on is another pointer', () => {
    expect(new Pointer(8).plus(16).offset).toBe(24);
  });
});
