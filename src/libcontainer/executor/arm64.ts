/**
 * An assembler for the part of A64 (arm64) that the executor and the launcher need.
 *
 * One method call is one instruction; the encodings are those of the Arm Architecture Reference
 * Manual, C6.2 (base word in each method). Labels are names. Every instruction is four bytes, so
 * labels are resolved in one go by `finish`.
 * Invariants: code is position-independent; no method emits two instructions. Pure, no I/O.
 */

import type { Width } from './x86-64.ts';

/** Number 31 is sp in additions and as a base, xzr as an operand of logic and comparison. */
const NUMBERS = {
  x0: 0,
  x1: 1,
  x2: 2,
  x3: 3,
  x4: 4,
  x5: 5,
  x8: 8,
  x9: 9,
  x10: 10,
  x16: 16,
  x19: 19,
  x20: 20,
  x21: 21,
  x22: 22,
  x23: 23,
  x24: 24,
  x30: 30,
  sp: 31,
} as const;

export type Arm64Register = keyof typeof NUMBERS;

const CONDITIONS = { eq: 0, ne: 1, hs: 2, lo: 3, hi: 8, ls: 9 } as const;

export type Arm64Condition = keyof typeof CONDITIONS;

/** The register that stands for zero in `sub`: `neg` is a subtraction from it. */
const XZR = 31;

/** Where in a word the distance to a label goes, and how it is counted. */
interface Fixup {
  readonly at: number;
  readonly label: string;
  readonly bits: 14 | 19 | 26 | 'adr';
}

export class Arm64Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: Fixup[] = [];

  /** The next instruction gets this name. */
  bind(label: string): void {
    if (this.#labels.has(label)) throw new Error(`label ${label} is bound twice`);
    this.#labels.set(label, this.#bytes.length);
  }

  /** Not an instruction: literal bytes, for strings after the code. */
  data(bytes: Iterable<number>): void {
    this.#bytes.push(...bytes);
  }

  /** movz xd, #value, lsl #shift: the other bits become zero. */
  movz(dst: Arm64Register, value: number, shift: 0 | 16): void {
    this.#word(0xd2800000, (shift / 16) << 21, unsigned(value, 16) << 5, NUMBERS[dst]);
  }

  /** movk xd, #value, lsl #shift: the other bits stay. */
  movk(dst: Arm64Register, value: number, shift: 0 | 16): void {
    this.#word(0xf2800000, (shift / 16) << 21, unsigned(value, 16) << 5, NUMBERS[dst]);
  }

  /** movn xd, #value: the inverse of value. */
  movn(dst: Arm64Register, value: number): void {
    this.#word(0x92800000, unsigned(value, 16) << 5, NUMBERS[dst]);
  }

  /** mov xd, xm (orr xd, xzr, xm); not for sp. */
  mov(dst: Arm64Register, src: Arm64Register): void {
    this.#word(0xaa0003e0, NUMBERS[src] << 16, NUMBERS[dst]);
  }

  /** ldr, ldrh or ldrb with a scaled unsigned offset; zero-extended. */
  load(width: Width, dst: Arm64Register, base: Arm64Register, offset: number): void {
    const opcode = { 8: 0x39400000, 16: 0x79400000, 32: 0xb9400000, 64: 0xf9400000 }[width];
    this.#scaled(opcode, width, dst, base, offset);
  }

  /** str, strh or strb with a scaled unsigned offset. */
  store(width: Width, src: Arm64Register, base: Arm64Register, offset: number): void {
    const opcode = { 8: 0x39000000, 16: 0x79000000, 32: 0xb9000000, 64: 0xf9000000 }[width];
    this.#scaled(opcode, width, src, base, offset);
  }

  /** ldur, ldurh or ldurb: any offset from -256 to 255; zero-extended. */
  loadUnscaled(width: Width, dst: Arm64Register, base: Arm64Register, offset: number): void {
    const opcode = { 8: 0x38400000, 16: 0x78400000, 32: 0xb8400000, 64: 0xf8400000 }[width];
    this.#word(opcode, signed(offset, 9) << 12, NUMBERS[base] << 5, NUMBERS[dst]);
  }

  /** stur, sturh or sturb: any offset from -256 to 255. */
  storeUnscaled(width: Width, src: Arm64Register, base: Arm64Register, offset: number): void {
    const opcode = { 8: 0x38000000, 16: 0x78000000, 32: 0xb8000000, 64: 0xf8000000 }[width];
    this.#word(opcode, signed(offset, 9) << 12, NUMBERS[base] << 5, NUMBERS[src]);
  }

  /** add xd, xn, xm. */
  add(dst: Arm64Register, left: Arm64Register, right: Arm64Register): void {
    this.#three(0x8b000000, dst, left, right);
  }

  /** sub xd, xn, xm. */
  sub(dst: Arm64Register, left: Arm64Register, right: Arm64Register): void {
    this.#three(0xcb000000, dst, left, right);
  }

  /** and xd, xn, xm. */
  and(dst: Arm64Register, left: Arm64Register, right: Arm64Register): void {
    this.#three(0x8a000000, dst, left, right);
  }

  /** mul xd, xn, xm (madd with xzr). */
  mul(dst: Arm64Register, left: Arm64Register, right: Arm64Register): void {
    this.#three(0x9b007c00, dst, left, right);
  }

  /** neg xd, xm (sub xd, xzr, xm). */
  neg(dst: Arm64Register, src: Arm64Register): void {
    this.#word(0xcb000000, NUMBERS[src] << 16, XZR << 5, NUMBERS[dst]);
  }

  /** add xd, xn, #value; with 0 the way to move from or to sp. */
  addImmediate(dst: Arm64Register, left: Arm64Register, value: number): void {
    this.#word(0x91000000, unsigned(value, 12) << 10, NUMBERS[left] << 5, NUMBERS[dst]);
  }

  /** sub xd, xn, #value. */
  subImmediate(dst: Arm64Register, left: Arm64Register, value: number): void {
    this.#word(0xd1000000, unsigned(value, 12) << 10, NUMBERS[left] << 5, NUMBERS[dst]);
  }

  /** lsl xd, xn, #count (ubfm). */
  lsl(dst: Arm64Register, src: Arm64Register, count: number): void {
    const rotate = (64 - count) & 63;
    this.#word(0xd3400000, rotate << 16, (63 - count) << 10, NUMBERS[src] << 5, NUMBERS[dst]);
  }

  /** lsr xd, xn, #count (ubfm). */
  lsr(dst: Arm64Register, src: Arm64Register, count: number): void {
    this.#word(0xd3400000, count << 16, 63 << 10, NUMBERS[src] << 5, NUMBERS[dst]);
  }

  /** cmp xn, xm (subs to xzr). */
  cmp(left: Arm64Register, right: Arm64Register): void {
    this.#word(0xeb00001f, NUMBERS[right] << 16, NUMBERS[left] << 5);
  }

  /** cmp xn, #value. */
  cmpImmediate(left: Arm64Register, value: number): void {
    this.#word(0xf100001f, unsigned(value, 12) << 10, NUMBERS[left] << 5);
  }

  /** cmn xn, #value: compares with -value. */
  cmnImmediate(left: Arm64Register, value: number): void {
    this.#word(0xb100001f, unsigned(value, 12) << 10, NUMBERS[left] << 5);
  }

  /** adr xd, label: ±1 MiB. */
  adr(dst: Arm64Register, label: string): void {
    this.#branch(0x10000000 | NUMBERS[dst], label, 'adr');
  }

  /** b label. */
  b(label: string): void {
    this.#branch(0x14000000, label, 26);
  }

  /** bl label: the return address goes to x30. */
  bl(label: string): void {
    this.#branch(0x94000000, label, 26);
  }

  /** b.cond label. */
  bCondition(condition: Arm64Condition, label: string): void {
    this.#branch(0x54000000 | CONDITIONS[condition], label, 19);
  }

  /** cbz xt, label. */
  cbz(register: Arm64Register, label: string): void {
    this.#branch(0xb4000000 | NUMBERS[register], label, 19);
  }

  /** cbnz xt, label. */
  cbnz(register: Arm64Register, label: string): void {
    this.#branch(0xb5000000 | NUMBERS[register], label, 19);
  }

  /** tbz wt, #bit, label: bits 0 to 31. */
  tbz(register: Arm64Register, bit: number, label: string): void {
    this.#branch(0x36000000 | (unsigned(bit, 5) << 19) | NUMBERS[register], label, 14);
  }

  /** tbnz wt, #bit, label: bits 0 to 31. */
  tbnz(register: Arm64Register, bit: number, label: string): void {
    this.#branch(0x37000000 | (unsigned(bit, 5) << 19) | NUMBERS[register], label, 14);
  }

  /** ret (to x30). */
  ret(): void {
    this.#word(0xd65f03c0);
  }

  /** svc #0. */
  svc(): void {
    this.#word(0xd4000001);
  }

  /** The code, and where each label is in it. */
  finish(): { code: Uint8Array<ArrayBuffer>; labels: Map<string, number> } {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, label, bits } of this.#fixups) {
      const position = this.#labels.get(label);
      if (position === undefined) throw new Error(`label ${label} is not bound`);
      const word = view.getUint32(at, true);
      view.setUint32(at, (word | distanceField(position - at, bits)) >>> 0, true);
    }
    return { code, labels: this.#labels };
  }

  #word(...parts: number[]): void {
    const word = parts.reduce((sum, part) => sum | part, 0);
    this.#bytes.push(word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, (word >> 24) & 0xff);
  }

  #branch(word: number, label: string, bits: Fixup['bits']): void {
    this.#fixups.push({ at: this.#bytes.length, label, bits });
    this.#word(word);
  }

  #three(opcode: number, dst: Arm64Register, left: Arm64Register, right: Arm64Register): void {
    this.#word(opcode, NUMBERS[right] << 16, NUMBERS[left] << 5, NUMBERS[dst]);
  }

  #scaled(
    opcode: number,
    width: Width,
    register: Arm64Register,
    base: Arm64Register,
    offset: number,
  ): void {
    const index = unsigned(offset / (width / 8), 12);
    this.#word(opcode, index << 10, NUMBERS[base] << 5, NUMBERS[register]);
  }
}

/** The bits of an instruction that hold the distance to its label. */
function distanceField(distance: number, bits: Fixup['bits']): number {
  if (bits === 'adr') {
    const value = signed(distance, 21);
    return ((value & 3) << 29) | ((value >> 2) << 5);
  }
  return signed(distance / 4, bits) << (bits === 26 ? 0 : 5);
}

/** The value itself, checked to fit: a field that overflows would be another instruction. */
function unsigned(value: number, bits: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new RangeError(`${value} does not fit ${bits} unsigned bits`);
  }
  return value;
}

/** The value in two's complement of so many bits, checked to fit. */
function signed(value: number, bits: number): number {
  const half = 2 ** (bits - 1);
  if (!Number.isInteger(value) || value < -half || value >= half) {
    throw new RangeError(`${value} does not fit ${bits} signed bits`);
  }
  return value & (2 ** bits - 1);
}
