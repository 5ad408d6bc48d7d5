/**
 * One small machine over both architectures: the executor and the launcher are written once in
 * terms of it and emitted for x86-64 and arm64.
 *
 *     register      x86-64            arm64     a system call
 *     a0 … a5       rdi rsi rdx       x0 … x5   reads them; a0 is destroyed
 *                   r10 r8 r9
 *     nr            rax               x8        reads it
 *     result        rax               x0        writes it
 *     t0, t1        rcx, r11          x9, x10   destroys them
 *     s0 … s5       rbx rbp r12–r15   x19–x24   keeps them
 *
 * Invariants for code that uses it: nr and result may be one register, and so may a0 and result;
 * all values are 64 bits and all comparisons unsigned; a called routine calls none itself (arm64
 * has one return address). syscall(2) has the calling conventions. Pure, no I/O.
 */

import type { Arch } from '../linux/arch.ts';
import { SYSCALLS, type SyscallName } from '../linux/syscall.ts';
import { Arm64Assembler, type Arm64Condition, type Arm64Register } from './arm64.ts';
import { type Width, X64Assembler, type X64Register } from './x86-64.ts';

export type Register =
  | 'a0'
  | 'a1'
  | 'a2'
  | 'a3'
  | 'a4'
  | 'a5'
  | 'nr'
  | 'result'
  | 't0'
  | 't1'
  | 's0'
  | 's1'
  | 's2'
  | 's3'
  | 's4'
  | 's5';

export type Condition = 'equal' | 'notEqual' | 'below' | 'aboveOrEqual' | 'above' | 'belowOrEqual';

export interface Machine {
  bind(label: string): void;
  /** Literal bytes; only after the last instruction or behind a jump. */
  data(bytes: Uint8Array): void;
  /** dst = value: 0 … 2³²-1, or -65536 … -1. */
  set(dst: Register, value: number): void;
  /** dst = the address of a label. */
  address(dst: Register, label: string): void;
  copy(dst: Register, src: Register): void;
  load(width: Width, dst: Register, base: Register, offset: number): void;
  store(width: Width, src: Register, base: Register, offset: number): void;
  add(dst: Register, src: Register): void;
  subtract(dst: Register, src: Register): void;
  and(dst: Register, src: Register): void;
  multiply(dst: Register, src: Register): void;
  negate(dst: Register): void;
  /** dst = dst + value, -4095 … 4095. */
  addNumber(dst: Register, value: number): void;
  shiftLeft(dst: Register, count: number): void;
  shiftRight(dst: Register, count: number): void;
  jump(label: string): void;
  /** Goes to the label if the comparison holds; numbers as in `set`. */
  branch(left: Register, condition: Condition, right: Register | number, label: string): void;
  /** Goes to the label if the bit (0 … 7) is as stated. */
  branchBit(register: Register, bit: number, state: 'set' | 'clear', label: string): void;
  call(label: string): void;
  return(): void;
  /** The system call whose number is in nr. */
  trap(): void;
  /** The system call of that name. */
  syscall(name: SyscallName): void;
  stackPointerTo(dst: Register): void;
  /** The stack pointer must stay a multiple of 16. */
  stackPointerFrom(src: Register): void;
  finish(): { code: Uint8Array<ArrayBuffer>; labels: Map<string, number> };
}

export function machine(arch: Arch): Machine {
  return arch === 'x64' ? new X64Machine() : new Arm64Machine();
}

const X64_REGISTERS: Record<Register, X64Register> = {
  a0: 'rdi',
  a1: 'rsi',
  a2: 'rdx',
  a3: 'r10',
  a4: 'r8',
  a5: 'r9',
  nr: 'rax',
  result: 'rax',
  t0: 'rcx',
  t1: 'r11',
  s0: 'rbx',
  s1: 'rbp',
  s2: 'r12',
  s3: 'r13',
  s4: 'r14',
  s5: 'r15',
};

class X64Machine implements Machine {
  readonly #asm = new X64Assembler();

  bind(label: string): void {
    this.#asm.bind(label);
  }

  data(bytes: Uint8Array): void {
    this.#asm.data(bytes);
  }

  set(dst: Register, value: number): void {
    checkNumber(value);
    const d = X64_REGISTERS[dst];
    if (value === 0) this.#asm.xor32(d, d);
    else if (value < 0) this.#asm.movSigned(d, value);
    else this.#asm.movUnsigned(d, value);
  }

  address(dst: Register, label: string): void {
    this.#asm.lea(X64_REGISTERS[dst], label);
  }

  copy(dst: Register, src: Register): void {
    const d = X64_REGISTERS[dst];
    const s = X64_REGISTERS[src];
    if (d !== s) this.#asm.mov(d, s);
  }

  load(width: Width, dst: Register, base: Register, offset: number): void {
    this.#asm.load(width, X64_REGISTERS[dst], X64_REGISTERS[base], offset);
  }

  store(width: Width, src: Register, base: Register, offset: number): void {
    this.#asm.store(width, X64_REGISTERS[src], X64_REGISTERS[base], offset);
  }

  add(dst: Register, src: Register): void {
    this.#asm.add(X64_REGISTERS[dst], X64_REGISTERS[src]);
  }

  subtract(dst: Register, src: Register): void {
    this.#asm.sub(X64_REGISTERS[dst], X64_REGISTERS[src]);
  }

  and(dst: Register, src: Register): void {
    this.#asm.and(X64_REGISTERS[dst], X64_REGISTERS[src]);
  }

  multiply(dst: Register, src: Register): void {
    this.#asm.imul(X64_REGISTERS[dst], X64_REGISTERS[src]);
  }

  negate(dst: Register): void {
    this.#asm.neg(X64_REGISTERS[dst]);
  }

  addNumber(dst: Register, value: number): void {
    // 128 itself does not fit the short form, but -128 does.
    if (value === 128) this.#asm.subImmediate(X64_REGISTERS[dst], -128);
    else this.#asm.addImmediate(X64_REGISTERS[dst], value);
  }

  shiftLeft(dst: Register, count: number): void {
    this.#asm.shl(X64_REGISTERS[dst], count);
  }

  shiftRight(dst: Register, count: number): void {
    this.#asm.shr(X64_REGISTERS[dst], count);
  }

  jump(label: string): void {
    this.#asm.jmp(label);
  }

  branch(left: Register, condition: Condition, right: Register | number, label: string): void {
    const l = X64_REGISTERS[left];
    if (typeof right !== 'number') this.#asm.cmp(l, X64_REGISTERS[right]);
    else if (right === 0) this.#asm.test(l, l);
    else this.#asm.cmpImmediate(l, right);
    this.#asm.jcc(condition, label);
  }

  branchBit(register: Register, bit: number, state: 'set' | 'clear', label: string): void {
    this.#asm.testByte(X64_REGISTERS[register], 1 << bit);
    this.#asm.jcc(state === 'set' ? 'notEqual' : 'equal', label);
  }

  call(label: string): void {
    this.#asm.call(label);
  }

  return(): void {
    this.#asm.ret();
  }

  trap(): void {
    this.#asm.syscall();
  }

  syscall(name: SyscallName): void {
    this.set('nr', SYSCALLS.x64[name]);
    this.trap();
  }

  stackPointerTo(dst: Register): void {
    this.#asm.mov(X64_REGISTERS[dst], 'rsp');
  }

  stackPointerFrom(src: Register): void {
    this.#asm.mov('rsp', X64_REGISTERS[src]);
  }

  finish(): { code: Uint8Array<ArrayBuffer>; labels: Map<string, number> } {
    return this.#asm.finish();
  }
}

const ARM64_REGISTERS: Record<Register, Arm64Register> = {
  a0: 'x0',
  a1: 'x1',
  a2: 'x2',
  a3: 'x3',
  a4: 'x4',
  a5: 'x5',
  nr: 'x8',
  result: 'x0',
  t0: 'x9',
  t1: 'x10',
  s0: 'x19',
  s1: 'x20',
  s2: 'x21',
  s3: 'x22',
  s4: 'x23',
  s5: 'x24',
};

/** Holds numbers that no instruction can; no virtual register is mapped to it. */
const SCRATCH = 'x16';

const ARM64_CONDITIONS: Record<Condition, Arm64Condition> = {
  equal: 'eq',
  notEqual: 'ne',
  below: 'lo',
  aboveOrEqual: 'hs',
  above: 'hi',
  belowOrEqual: 'ls',
};

class Arm64Machine implements Machine {
  readonly #asm = new Arm64Assembler();

  bind(label: string): void {
    this.#asm.bind(label);
  }

  data(bytes: Uint8Array): void {
    this.#asm.data(bytes);
    // What follows may be an instruction, and those are aligned.
    this.#asm.data(new Uint8Array(-bytes.length & 3));
  }

  set(dst: Register, value: number): void {
    this.#set(ARM64_REGISTERS[dst], value);
  }

  address(dst: Register, label: string): void {
    this.#asm.adr(ARM64_REGISTERS[dst], label);
  }

  copy(dst: Register, src: Register): void {
    const d = ARM64_REGISTERS[dst];
    const s = ARM64_REGISTERS[src];
    if (d !== s) this.#asm.mov(d, s);
  }

  load(width: Width, dst: Register, base: Register, offset: number): void {
    const scaled = offset >= 0 && offset % (width / 8) === 0;
    const [d, b] = [ARM64_REGISTERS[dst], ARM64_REGISTERS[base]];
    if (scaled) this.#asm.load(width, d, b, offset);
    else this.#asm.loadUnscaled(width, d, b, offset);
  }

  store(width: Width, src: Register, base: Register, offset: number): void {
    const scaled = offset >= 0 && offset % (width / 8) === 0;
    const [s, b] = [ARM64_REGISTERS[src], ARM64_REGISTERS[base]];
    if (scaled) this.#asm.store(width, s, b, offset);
    else this.#asm.storeUnscaled(width, s, b, offset);
  }

  add(dst: Register, src: Register): void {
    const d = ARM64_REGISTERS[dst];
    this.#asm.add(d, d, ARM64_REGISTERS[src]);
  }

  subtract(dst: Register, src: Register): void {
    const d = ARM64_REGISTERS[dst];
    this.#asm.sub(d, d, ARM64_REGISTERS[src]);
  }

  and(dst: Register, src: Register): void {
    const d = ARM64_REGISTERS[dst];
    this.#asm.and(d, d, ARM64_REGISTERS[src]);
  }

  multiply(dst: Register, src: Register): void {
    const d = ARM64_REGISTERS[dst];
    this.#asm.mul(d, d, ARM64_REGISTERS[src]);
  }

  negate(dst: Register): void {
    this.#asm.neg(ARM64_REGISTERS[dst], ARM64_REGISTERS[dst]);
  }

  addNumber(dst: Register, value: number): void {
    const d = ARM64_REGISTERS[dst];
    if (value < 0) this.#asm.subImmediate(d, d, -value);
    else this.#asm.addImmediate(d, d, value);
  }

  shiftLeft(dst: Register, count: number): void {
    this.#asm.lsl(ARM64_REGISTERS[dst], ARM64_REGISTERS[dst], count);
  }

  shiftRight(dst: Register, count: number): void {
    this.#asm.lsr(ARM64_REGISTERS[dst], ARM64_REGISTERS[dst], count);
  }

  jump(label: string): void {
    this.#asm.b(label);
  }

  branch(left: Register, condition: Condition, right: Register | number, label: string): void {
    const l = ARM64_REGISTERS[left];
    if (right === 0 && condition === 'equal') {
      this.#asm.cbz(l, label);
      return;
    }
    if (right === 0 && condition === 'notEqual') {
      this.#asm.cbnz(l, label);
      return;
    }
    if (typeof right !== 'number') {
      this.#asm.cmp(l, ARM64_REGISTERS[right]);
    } else if (right >= 0 && right <= 4095) {
      this.#asm.cmpImmediate(l, right);
    } else if (right < 0 && right >= -4095) {
      this.#asm.cmnImmediate(l, -right);
    } else {
      this.#set(SCRATCH, right);
      this.#asm.cmp(l, SCRATCH);
    }
    this.#asm.bCondition(ARM64_CONDITIONS[condition], label);
  }

  branchBit(register: Register, bit: number, state: 'set' | 'clear', label: string): void {
    if (state === 'set') this.#asm.tbnz(ARM64_REGISTERS[register], bit, label);
    else this.#asm.tbz(ARM64_REGISTERS[register], bit, label);
  }

  call(label: string): void {
    this.#asm.bl(label);
  }

  return(): void {
    this.#asm.ret();
  }

  trap(): void {
    this.#asm.svc();
  }

  syscall(name: SyscallName): void {
    this.set('nr', SYSCALLS.arm64[name]);
    this.trap();
  }

  stackPointerTo(dst: Register): void {
    this.#asm.addImmediate(ARM64_REGISTERS[dst], 'sp', 0);
  }

  stackPointerFrom(src: Register): void {
    this.#asm.addImmediate('sp', ARM64_REGISTERS[src], 0);
  }

  finish(): { code: Uint8Array<ArrayBuffer>; labels: Map<string, number> } {
    return this.#asm.finish();
  }

  #set(dst: Arm64Register, value: number): void {
    checkNumber(value);
    const low = value & 0xffff;
    const high = value >>> 16;
    if (value < 0) {
      this.#asm.movn(dst, ~value);
    } else if (high === 0) {
      this.#asm.movz(dst, low, 0);
    } else {
      this.#asm.movz(dst, high, 16);
      if (low !== 0) this.#asm.movk(dst, low, 0);
    }
  }
}

/** What `set` can express on both architectures. */
function checkNumber(value: number): void {
  if (!Number.isInteger(value) || value < -65536 || value > 0xffffffff) {
    throw new RangeError(`${value} is not a number the machine can set`);
  }
}
