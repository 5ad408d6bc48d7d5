/** Every method of the x86-64 assembler against objdump. */

import { expect, test } from 'vitest';
import { X64Assembler, type X64Register } from '../../../src/libcontainer/executor/x86-64.ts';
import { disassemble } from '../../helpers/disassemble.ts';

/** The line must come back for exactly this call, and one line only. */
function expectLines(cases: readonly (readonly [(asm: X64Assembler) => void, string])[]): void {
  const asm = new X64Assembler();
  for (const [emit] of cases) emit(asm);
  expect(disassemble('x64', asm.finish().code)).toEqual(cases.map(([, text]) => text));
}

const ALL: readonly [X64Register, string, string][] = [
  ['rax', 'eax', 'al'],
  ['rcx', 'ecx', 'cl'],
  ['rdx', 'edx', 'dl'],
  ['rbx', 'ebx', 'bl'],
  ['rsp', 'esp', 'spl'],
  ['rbp', 'ebp', 'bpl'],
  ['rsi', 'esi', 'sil'],
  ['rdi', 'edi', 'dil'],
  ['r8', 'r8d', 'r8b'],
  ['r9', 'r9d', 'r9b'],
  ['r10', 'r10d', 'r10b'],
  ['r11', 'r11d', 'r11b'],
  ['r12', 'r12d', 'r12b'],
  ['r13', 'r13d', 'r13b'],
  ['r14', 'r14d', 'r14b'],
  ['r15', 'r15d', 'r15b'],
];

test('x86-64 moves, with every register', () => {
  expectLines(
    ALL.flatMap(([r64, r32]) => [
      [(a) => a.movUnsigned(r64, 0xfedcba98), `mov ${r32},0xfedcba98`] as const,
      [(a) => a.movSigned(r64, -2), `mov ${r64},0xfffffffffffffffe`] as const,
      [(a) => a.xor32(r64, r64), `xor ${r32},${r32}`] as const,
      [(a) => a.mov(r64, 'rdx'), `mov ${r64},rdx`] as const,
      [(a) => a.mov('r10', r64), `mov r10,${r64}`] as const,
    ]),
  );
});

test('x86-64 loads and stores, with every register as base and as operand', () => {
  expectLines(
    ALL.flatMap(([r64, r32, r8]) => [
      [(a) => a.load(64, 'rdi', r64, 16), `mov rdi,QWORD PTR [${r64}+0x10]`] as const,
      [(a) => a.load(32, 'r9', r64, 1024), `mov r9d,DWORD PTR [${r64}+0x400]`] as const,
      [(a) => a.load(64, r64, 'rbx', -8), `mov ${r64},QWORD PTR [rbx-0x8]`] as const,
      [(a) => a.load(8, r64, 'rcx', 3), `movzx ${r32},BYTE PTR [rcx+0x3]`] as const,
      [(a) => a.load(16, r64, 'rcx', 4), `movzx ${r32},WORD PTR [rcx+0x4]`] as const,
      [(a) => a.store(64, r64, 'r12', 8), `mov QWORD PTR [r12+0x8],${r64}`] as const,
      [(a) => a.store(32, r64, 'r13', 8), `mov DWORD PTR [r13+0x8],${r32}`] as const,
      [(a) => a.store(8, r64, 'rbx', 1), `mov BYTE PTR [rbx+0x1],${r8}`] as const,
    ]),
  );
  const zeroOffset = (base: X64Register): string =>
    ['rbp', 'r13'].includes(base) ? `[${base}+0x0]` : `[${base}]`;
  expectLines(
    ALL.map(
      ([r]) => [(a) => a.load(64, 'rax', r, 0), `mov rax,QWORD PTR ${zeroOffset(r)}`] as const,
    ),
  );
  expectLines([
    [(a) => a.store(16, 'rcx', 'rbx', 2), 'mov WORD PTR [rbx+0x2],cx'],
    [(a) => a.store(16, 'r9', 'r8', 2), 'mov WORD PTR [r8+0x2],r9w'],
    [(a) => a.load(64, 'rax', 'rbx', 127), 'mov rax,QWORD PTR [rbx+0x7f]'],
    [(a) => a.load(64, 'rax', 'rbx', 128), 'mov rax,QWORD PTR [rbx+0x80]'],
    [(a) => a.load(64, 'rax', 'rbx', -129), 'mov rax,QWORD PTR [rbx-0x81]'],
  ]);
});

test('x86-64 arithmetic and comparison', () => {
  expectLines(
    ALL.flatMap(([r64, , r8]) => [
      [(a) => a.add(r64, 'rbx'), `add ${r64},rbx`] as const,
      [(a) => a.sub('r8', r64), `sub r8,${r64}`] as const,
      [(a) => a.and(r64, 'r15'), `and ${r64},r15`] as const,
      [(a) => a.imul(r64, 'rsi'), `imul ${r64},rsi`] as const,
      [(a) => a.imul('r11', r64), `imul r11,${r64}`] as const,
      [(a) => a.cmp(r64, 'rdi'), `cmp ${r64},rdi`] as const,
      [(a) => a.test('rax', r64), `test rax,${r64}`] as const,
      [(a) => a.testByte(r64, 0x80), `test ${r8},0x80`] as const,
      [(a) => a.addImmediate(r64, 64), `add ${r64},0x40`] as const,
      [(a) => a.subImmediate(r64, -128), `sub ${r64},0xffffffffffffff80`] as const,
      [(a) => a.cmpImmediate(r64, 9), `cmp ${r64},0x9`] as const,
      [(a) => a.shl(r64, 6), `shl ${r64},0x6`] as const,
      [(a) => a.shr(r64, 35), `shr ${r64},0x23`] as const,
      [(a) => a.neg(r64), `neg ${r64}`] as const,
    ]),
  );
  expectLines([
    [(a) => a.addImmediate('rbx', 128), 'add rbx,0x80'],
    [(a) => a.addImmediate('rbx', -129), 'add rbx,0xffffffffffffff7f'],
    [(a) => a.cmpImmediate('rbx', -4095), 'cmp rbx,0xfffffffffffff001'],
    [(a) => a.cmpImmediate('r9', 0x31504352), 'cmp r9,0x31504352'],
  ]);
  expect(() => new X64Assembler().cmpImmediate('rax', 0x80000000)).toThrow(RangeError);
});

test('x86-64 control flow reaches its labels, in both lengths', () => {
  const asm = new X64Assembler();
  asm.bind('start');
  asm.jmp('start');
  asm.jcc('equal', 'end');
  asm.jcc('notEqual', 'near');
  asm.jcc('below', 'near');
  asm.jcc('aboveOrEqual', 'near');
  asm.jcc('above', 'near');
  asm.jcc('belowOrEqual', 'near');
  asm.bind('near');
  asm.call('start');
  asm.lea('r12', 'end');
  asm.syscall();
  asm.ret();
  for (let index = 0; index < 40; index++) asm.mov('rax', 'rax');
  asm.jmp('start');
  asm.bind('end');
  const lines = disassemble('x64', asm.finish().code);
  expect(lines.slice(0, 11)).toEqual([
    'jmp 0x0',
    'je 0x9e',
    'jne 0x12',
    'jb 0x12',
    'jae 0x12',
    'ja 0x12',
    'jbe 0x12',
    'call 0x0',
    'lea r12,[rip+0x80] # 0x9e',
    'syscall',
    'ret',
  ]);
  expect(lines.at(-1)).toBe('jmp 0x0');
});

test('x86-64 branches take the short form up to its last byte', () => {
  const sizeOf = (distance: number): number => {
    const asm = new X64Assembler();
    asm.jmp('far');
    asm.data(new Uint8Array(distance));
    asm.bind('far');
    return asm.finish().code.length - distance;
  };
  expect([sizeOf(127), sizeOf(128)]).toEqual([2, 5]);
});

test('x86-64 labels must be bound, once', () => {
  const unbound = new X64Assembler();
  unbound.jmp('nowhere');
  expect(() => unbound.finish()).toThrow('label nowhere is not bound');
  const twice = new X64Assembler();
  twice.bind('a');
  twice.bind('a');
  expect(() => twice.finish()).toThrow('bound twice');
});
