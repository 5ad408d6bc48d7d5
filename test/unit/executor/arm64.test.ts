/** Every method of the arm64 assembler against objdump. */

import { expect, test } from 'vitest';
import { Arm64Assembler, type Arm64Register } from '../../../src/libcontainer/executor/arm64.ts';
import { disassemble } from '../../helpers/disassemble.ts';

function expectLines(cases: readonly (readonly [(asm: Arm64Assembler) => void, string])[]): void {
  const asm = new Arm64Assembler();
  for (const [emit] of cases) emit(asm);
  expect(disassemble('arm64', asm.finish().code)).toEqual(cases.map(([, text]) => text));
}

const ALL: readonly Arm64Register[] = [
  'x0',
  'x1',
  'x2',
  'x3',
  'x4',
  'x5',
  'x8',
  'x9',
  'x10',
  'x16',
  'x19',
  'x20',
  'x21',
  'x22',
  'x23',
  'x24',
  'x30',
];

test('arm64 moves, with every register', () => {
  expectLines(
    ALL.flatMap((r) => [
      [(a) => a.movz(r, 0x1234, 0), `mov ${r}, #0x1234`] as const,
      [(a) => a.movz(r, 0x42, 16), `mov ${r}, #0x420000`] as const,
      [(a) => a.movk(r, 0x4352, 0), `movk ${r}, #0x4352`] as const,
      [(a) => a.movk(r, 1, 16), `movk ${r}, #0x1, lsl #16`] as const,
      [(a) => a.movn(r, 99), `mov ${r}, #0xffffffffffffff9c`] as const,
      [(a) => a.mov(r, 'x5'), `mov ${r}, x5`] as const,
      [(a) => a.mov('x5', r), `mov x5, ${r}`] as const,
    ]),
  );
});

test('arm64 loads and stores, with every register', () => {
  expectLines(
    ALL.flatMap((r) => {
      const w = r.replace('x', 'w');
      return [
        [(a) => a.load(64, r, 'x19', 16), `ldr ${r}, [x19, #16]`] as const,
        [(a) => a.load(32, r, 'x19', 4), `ldr ${w}, [x19, #4]`] as const,
        [(a) => a.load(16, r, 'x19', 6), `ldrh ${w}, [x19, #6]`] as const,
        [(a) => a.load(8, r, 'x19', 3), `ldrb ${w}, [x19, #3]`] as const,
        [(a) => a.load(64, 'x3', r, 0), `ldr x3, [${r}]`] as const,
        [(a) => a.store(64, r, 'sp', 32760), `str ${r}, [sp, #32760]`] as const,
        [(a) => a.store(32, r, 'x20', 8), `str ${w}, [x20, #8]`] as const,
        [(a) => a.store(16, r, 'x20', 2), `strh ${w}, [x20, #2]`] as const,
        [(a) => a.store(8, r, 'x20', 1), `strb ${w}, [x20, #1]`] as const,
        [(a) => a.loadUnscaled(64, r, 'x21', -8), `ldur ${r}, [x21, #-8]`] as const,
        [(a) => a.loadUnscaled(32, r, 'x21', -3), `ldur ${w}, [x21, #-3]`] as const,
        [(a) => a.loadUnscaled(16, r, 'x21', 255), `ldurh ${w}, [x21, #255]`] as const,
        [(a) => a.loadUnscaled(8, r, 'x21', -256), `ldurb ${w}, [x21, #-256]`] as const,
        [(a) => a.storeUnscaled(64, r, 'x21', -8), `stur ${r}, [x21, #-8]`] as const,
        [(a) => a.storeUnscaled(32, r, 'x21', -3), `stur ${w}, [x21, #-3]`] as const,
        [(a) => a.storeUnscaled(16, r, 'x21', -1), `sturh ${w}, [x21, #-1]`] as const,
        [(a) => a.storeUnscaled(8, r, 'x21', -1), `sturb ${w}, [x21, #-1]`] as const,
      ];
    }),
  );
});

test('arm64 arithmetic and comparison', () => {
  expectLines(
    ALL.flatMap((r) => [
      [(a) => a.add(r, 'x1', 'x2'), `add ${r}, x1, x2`] as const,
      [(a) => a.sub('x1', r, 'x2'), `sub x1, ${r}, x2`] as const,
      [(a) => a.and('x1', 'x2', r), `and x1, x2, ${r}`] as const,
      [(a) => a.mul(r, r, 'x24'), `mul ${r}, ${r}, x24`] as const,
      [(a) => a.neg(r, 'x9'), `neg ${r}, x9`] as const,
      [(a) => a.addImmediate(r, 'x1', 4095), `add ${r}, x1, #0xfff`] as const,
      [(a) => a.subImmediate('x1', r, 1), `sub x1, ${r}, #0x1`] as const,
      [(a) => a.lsl(r, 'x1', 6), `lsl ${r}, x1, #6`] as const,
      [(a) => a.lsr('x1', r, 35), `lsr x1, ${r}, #35`] as const,
      [(a) => a.cmp(r, 'x1'), `cmp ${r}, x1`] as const,
      [(a) => a.cmpImmediate(r, 9), `cmp ${r}, #0x9`] as const,
      [(a) => a.cmnImmediate(r, 4095), `cmn ${r}, #0xfff`] as const,
    ]),
  );
  expectLines([
    [(a) => a.addImmediate('x9', 'sp', 0), 'mov x9, sp'],
    [(a) => a.addImmediate('sp', 'x9', 0), 'mov sp, x9'],
  ]);
});

test('arm64 control flow reaches its labels, forward and backward', () => {
  const asm = new Arm64Assembler();
  asm.bind('start');
  asm.b('start');
  asm.b('end');
  asm.bl('start');
  asm.bl('end');
  for (const condition of ['eq', 'ne', 'hs', 'lo', 'hi', 'ls'] as const) {
    asm.bCondition(condition, condition === 'ne' ? 'start' : 'end');
  }
  asm.cbz('x21', 'start');
  asm.cbnz('x9', 'end');
  asm.tbz('x9', 2, 'start');
  asm.tbnz('x9', 31, 'end');
  asm.adr('x1', 'start');
  asm.adr('x2', 'end');
  asm.adr('x3', 'odd');
  asm.svc();
  asm.ret();
  asm.bind('end');
  asm.data([0]);
  asm.bind('odd');
  asm.data([0, 0, 0]);
  expect(disassemble('arm64', asm.finish().code)).toEqual([
    'b 0x0',
    'b 0x4c',
    'bl 0x0',
    'bl 0x4c',
    'b.eq 0x4c',
    'b.ne 0x0',
    'b.cs 0x4c',
    'b.cc 0x4c',
    'b.hi 0x4c',
    'b.ls 0x4c',
    'cbz x21, 0x0',
    'cbnz x9, 0x4c',
    'tbz w9, #2, 0x0',
    'tbnz w9, #31, 0x4c',
    'adr x1, 0x0',
    'adr x2, 0x4c',
    'adr x3, 0x4d',
    'svc #0x0',
    'ret',
    'udf #0',
  ]);
});

test('arm64 numbers that do not fit are refused', () => {
  const asm = new Arm64Assembler();
  expect(() => asm.movz('x0', 0x10000, 0)).toThrow(RangeError);
  expect(() => asm.load(64, 'x0', 'x1', 4)).toThrow(RangeError);
  expect(() => asm.loadUnscaled(8, 'x0', 'x1', -257)).toThrow(RangeError);
  expect(() => asm.addImmediate('x0', 'x0', 4096)).toThrow(RangeError);
  asm.b('nowhere');
  expect(() => asm.finish()).toThrow('label nowhere is not bound');
  asm.bind('a');
  expect(() => asm.bind('a')).toThrow('bound twice');
});
