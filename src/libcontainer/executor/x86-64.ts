/**
 * An assembler for the part of x86-64 that the executor and the launcher need.
 *
 * One method call is one instruction; the encodings are those of Intel's manual, volume 2 (opcode
 * in the comment of each method). Labels are names; branches take their 8-bit form where it
 * reaches and grow to 32 bits otherwise (`finish` relaxes until nothing changes).
 * Invariants: code is position-independent; no method emits two instructions. Pure, no I/O.
 */

const NUMBERS = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;

export type X64Register = keyof typeof NUMBERS;

/** Condition codes: the low four bits of the jcc opcodes, for unsigned comparison. */
const CONDITIONS = {
  below: 2,
  aboveOrEqual: 3,
  equal: 4,
  notEqual: 5,
  belowOrEqual: 6,
  above: 7,
} as const;

export type X64Condition = keyof typeof CONDITIONS;

export type Width = 8 | 16 | 32 | 64;

/** Bytes, or an instruction that ends in the distance to a label. */
type Piece =
  | { readonly bytes: number[] }
  | { readonly bind: string }
  | { readonly label: string; readonly short: number[] | null; readonly long: number[] };

export class X64Assembler {
  readonly #pieces: Piece[] = [];

  /** The next instruction gets this name. */
  bind(label: string): void {
    this.#pieces.push({ bind: label });
  }

  /** Not an instruction: literal bytes, for strings after the code. */
  data(bytes: Iterable<number>): void {
    this.#emit(...bytes);
  }

  /** mov r32, imm32 (B8+r): the upper half becomes zero, so this is any number of 32 bits. */
  movUnsigned(dst: X64Register, value: number): void {
    const d = NUMBERS[dst];
    this.#emit(...rex(0, 0, d), 0xb8 + (d & 7), ...little32(value));
  }

  /** mov r64, imm32 sign-extended (REX.W C7 /0). */
  movSigned(dst: X64Register, value: number): void {
    this.#emit(...this.#registers(1, [0xc7], 0, NUMBERS[dst]), ...little32(value));
  }

  /** mov r64, r64 (REX.W 89 /r). */
  mov(dst: X64Register, src: X64Register): void {
    this.#emit(...this.#registers(1, [0x89], NUMBERS[src], NUMBERS[dst]));
  }

  /** xor r32, r32 (31 /r); with dst = src the shortest zero. */
  xor32(dst: X64Register, src: X64Register): void {
    this.#emit(...this.#registers(0, [0x31], NUMBERS[src], NUMBERS[dst]));
  }

  /** mov r, [base+offset], zero-extended to 64 bits (8B /r; movzx 0F B6, 0F B7). */
  load(width: Width, dst: X64Register, base: X64Register, offset: number): void {
    const opcode = { 8: [0x0f, 0xb6], 16: [0x0f, 0xb7], 32: [0x8b], 64: [0x8b] }[width];
    this.#memory([], width === 64 ? 1 : 0, opcode, NUMBERS[dst], NUMBERS[base], offset);
  }

  /** mov [base+offset], r (88 /r for a byte, 89 /r else). */
  store(width: Width, src: X64Register, base: X64Register, offset: number): void {
    const prefix = width === 16 ? [0x66] : [];
    const opcode = [width === 8 ? 0x88 : 0x89];
    // Without a REX prefix, registers 4 to 7 as bytes would be ah, ch, dh and bh.
    const force = width === 8 && NUMBERS[src] >= 4;
    this.#memory(prefix, width === 64 ? 1 : 0, opcode, NUMBERS[src], NUMBERS[base], offset, force);
  }

  /** add r64, r64 (REX.W 01 /r). */
  add(dst: X64Register, src: X64Register): void {
    this.#emit(...this.#registers(1, [0x01], NUMBERS[src], NUMBERS[dst]));
  }

  /** sub r64, r64 (REX.W 29 /r). */
  sub(dst: X64Register, src: X64Register): void {
    this.#emit(...this.#registers(1, [0x29], NUMBERS[src], NUMBERS[dst]));
  }

  /** and r64, r64 (REX.W 21 /r). */
  and(dst: X64Register, src: X64Register): void {
    this.#emit(...this.#registers(1, [0x21], NUMBERS[src], NUMBERS[dst]));
  }

  /** imul r64, r64 (REX.W 0F AF /r). */
  imul(dst: X64Register, src: X64Register): void {
    this.#emit(...this.#registers(1, [0x0f, 0xaf], NUMBERS[dst], NUMBERS[src]));
  }

  /** cmp r64, r64 (REX.W 39 /r): flags of left - right. */
  cmp(left: X64Register, right: X64Register): void {
    this.#emit(...this.#registers(1, [0x39], NUMBERS[right], NUMBERS[left]));
  }

  /** test r64, r64 (REX.W 85 /r). */
  test(left: X64Register, right: X64Register): void {
    this.#emit(...this.#registers(1, [0x85], NUMBERS[right], NUMBERS[left]));
  }

  /** test r8, imm8 (F6 /0): bits 0 to 7 only. */
  testByte(register: X64Register, mask: number): void {
    const r = NUMBERS[register];
    this.#emit(...rex(0, 0, r, r >= 4), 0xf6, 0xc0 | (r & 7), mask);
  }

  /** add r64, imm (REX.W 83 /0 ib or 81 /0 id). */
  addImmediate(dst: X64Register, value: number): void {
    this.#immediate(0, NUMBERS[dst], value);
  }

  /** sub r64, imm (REX.W 83 /5 ib or 81 /5 id). */
  subImmediate(dst: X64Register, value: number): void {
    this.#immediate(5, NUMBERS[dst], value);
  }

  /** cmp r64, imm sign-extended (REX.W 83 /7 ib or 81 /7 id). */
  cmpImmediate(left: X64Register, value: number): void {
    this.#immediate(7, NUMBERS[left], value);
  }

  /** shl r64, imm8 (REX.W C1 /4 ib). */
  shl(dst: X64Register, count: number): void {
    this.#emit(...this.#registers(1, [0xc1], 4, NUMBERS[dst]), count);
  }

  /** shr r64, imm8 (REX.W C1 /5 ib). */
  shr(dst: X64Register, count: number): void {
    this.#emit(...this.#registers(1, [0xc1], 5, NUMBERS[dst]), count);
  }

  /** neg r64 (REX.W F7 /3). */
  neg(dst: X64Register): void {
    this.#emit(...this.#registers(1, [0xf7], 3, NUMBERS[dst]));
  }

  /** lea r64, [rip+label] (REX.W 8D /r). */
  lea(dst: X64Register, label: string): void {
    const d = NUMBERS[dst];
    this.#pieces.push({ label, short: null, long: [...rex(1, d, 0), 0x8d, ((d & 7) << 3) | 5] });
  }

  /** jmp (EB rel8 or E9 rel32). */
  jmp(label: string): void {
    this.#pieces.push({ label, short: [0xeb], long: [0xe9] });
  }

  /** jcc (70+cc rel8 or 0F 80+cc rel32). */
  jcc(condition: X64Condition, label: string): void {
    const cc = CONDITIONS[condition];
    this.#pieces.push({ label, short: [0x70 + cc], long: [0x0f, 0x80 + cc] });
  }

  /** call rel32 (E8). */
  call(label: string): void {
    this.#pieces.push({ label, short: null, long: [0xe8] });
  }

  /** ret (C3). */
  ret(): void {
    this.#emit(0xc3);
  }

  /** syscall (0F 05): destroys rcx and r11. */
  syscall(): void {
    this.#emit(0x0f, 0x05);
  }

  /** The code, and where each label is in it. */
  finish(): { code: Uint8Array<ArrayBuffer>; labels: Map<string, number> } {
    const long = new Set<number>();
    for (;;) {
      const { labels, ends } = this.#place(long);
      let grown = false;
      this.#pieces.forEach((piece, index) => {
        if (!('label' in piece) || long.has(index)) return;
        const distance = target(labels, piece.label) - ends[index]!;
        if (piece.short === null || distance < -128 || distance > 127) {
          long.add(index);
          grown = true;
        }
      });
      if (!grown) return { code: this.#encode(long, labels, ends), labels };
    }
  }

  /** Where every label and the end of every piece is, given which branches are long. */
  #place(long: Set<number>): { labels: Map<string, number>; ends: number[] } {
    const labels = new Map<string, number>();
    let at = 0;
    const ends = this.#pieces.map((piece, index) => {
      if ('bind' in piece) {
        if (labels.has(piece.bind)) throw new Error(`label ${piece.bind} is bound twice`);
        labels.set(piece.bind, at);
      } else if ('bytes' in piece) {
        at += piece.bytes.length;
      } else {
        at +=
          long.has(index) || piece.short === null ? piece.long.length + 4 : piece.short.length + 1;
      }
      return at;
    });
    return { labels, ends };
  }

  #encode(long: Set<number>, labels: Map<string, number>, ends: number[]): Uint8Array<ArrayBuffer> {
    const code = this.#pieces.flatMap((piece, index) => {
      if ('bind' in piece) return [];
      if ('bytes' in piece) return piece.bytes;
      const distance = target(labels, piece.label) - ends[index]!;
      if (long.has(index)) return [...piece.long, ...little32(distance)];
      return [...piece.short!, distance & 0xff];
    });
    return Uint8Array.from(code);
  }

  #emit(...bytes: number[]): void {
    this.#pieces.push({ bytes });
  }

  /** REX prefix, opcode and a ModRM byte that names two registers. */
  #registers(wide: 0 | 1, opcode: number[], reg: number, rm: number): number[] {
    return [...rex(wide, reg, rm), ...opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7)];
  }

  /** Group 1 (add, sub, cmp) with an immediate, in the short form where it fits. */
  #immediate(operation: number, rm: number, value: number): void {
    if (value >= -128 && value <= 127) {
      this.#emit(...this.#registers(1, [0x83], operation, rm), value & 0xff);
    } else {
      if (value !== (value | 0)) throw new RangeError(`immediate ${value} is not a signed 32 bits`);
      this.#emit(...this.#registers(1, [0x81], operation, rm), ...little32(value));
    }
  }

  /** An instruction with the operand [base+offset]. */
  #memory(
    prefix: number[],
    wide: 0 | 1,
    opcode: number[],
    reg: number,
    base: number,
    offset: number,
    forceRex = false,
  ): void {
    // Base 5 (rbp, r13) without displacement means rip-relative; base 4 (rsp, r12) asks for a SIB.
    const none = offset === 0 && (base & 7) !== 5;
    const byte = offset >= -128 && offset <= 127;
    const mod = none ? 0 : byte ? 1 : 2;
    const displacement = none ? [] : byte ? [offset & 0xff] : little32(offset);
    const sib = (base & 7) === 4 ? [0x24] : [];
    const modrm = (mod << 6) | ((reg & 7) << 3) | (base & 7);
    this.#emit(
      ...prefix,
      ...rex(wide, reg, base, forceRex),
      ...opcode,
      modrm,
      ...sib,
      ...displacement,
    );
  }
}

/** The REX prefix, or nothing where it would say nothing. */
function rex(wide: 0 | 1, reg: number, rm: number, force = false): number[] {
  const value = 0x40 | (wide << 3) | ((reg >> 3) << 2) | (rm >> 3);
  return value === 0x40 && !force ? [] : [value];
}

function little32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}

function target(labels: Map<string, number>, label: string): number {
  const at = labels.get(label);
  if (at === undefined) throw new Error(`label ${label} is not bound`);
  return at;
}
