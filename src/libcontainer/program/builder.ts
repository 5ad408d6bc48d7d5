/**
 * Builds a program: ops and the data they point to, encoded as they are added.
 *
 * The executor maps a program at a fixed address (docs/program.md), so a pointer is known as soon
 * as the number of ops is: data follows the ops, and `finish` adds the base to every place that was
 * noted as a pointer. Integers are written as two 32-bit halves; BigInt would cost milliseconds on
 * the cold path. Opens nothing, imports no node: module.
 */

import { RuncellError } from '../../error.ts';
import type { Arch } from '../linux/arch.ts';
import { ERRNO, type ErrnoName } from '../linux/errno.ts';
import { SYSCALLS, type SyscallName } from '../linux/syscall.ts';
import {
  CMP,
  DATA,
  DATA_BASE,
  END,
  JUMP_IF_ZERO,
  JUMP_ON_ERROR,
  OP,
  OP_SIZE,
  PROGRAM_BASE,
  RETRY,
  SLOTS,
  SUM,
  WIRE_HEADER_SIZE,
  WIRE_MAGIC,
} from './op.ts';

export type { Arch } from '../linux/arch.ts';

/** A place in the program's data: as an argument, its address. */
export class Pointer {
  readonly kind = 'pointer';
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  /** The place `bytes` further on. */
  plus(bytes: number): Pointer {
    return new Pointer(this.offset + bytes);
  }
}

/** A u64 in the data page that outlives the program: as an argument, its value when the op runs. */
export class Slot {
  readonly kind = 'slot';
  readonly index: number;
  readonly name: string;
  constructor(index: number, name: string) {
    this.index = index;
    this.name = name;
  }
  get address(): number {
    return DATA_BASE + DATA.slots + 8 * this.index;
  }
}

/** A u64 in the program's data whose value is loaded when the op runs. */
export class Loaded {
  readonly kind = 'loaded';
  readonly pointer: Pointer;
  constructor(pointer: Pointer) {
    this.pointer = pointer;
  }
}

/** The words of the data page that the executor itself knows. */
export const CTL = new Slot((DATA.ctl - DATA.slots) / 8, 'ctl');
export const ERR = new Slot((DATA.err - DATA.slots) / 8, 'err');
export const TRAP = new Slot((DATA.trap - DATA.slots) / 8, 'trap');
export const IGNORED = new Slot((DATA.ignored - DATA.slots) / 8, 'ignored');
export const RECORD_ADDRESS = DATA_BASE + DATA.record;
/** The failed op in the record, and its negative errno. */
export const RECORD_OP = new Slot((DATA.record + 8 - DATA.slots) / 8, 'record op');
export const RECORD_ERRNO = new Slot((DATA.record + 16 - DATA.slots) / 8, 'record errno');

/** Hands out the slots of one process; programs of the same process share it. */
export class Slots {
  #next: number;
  readonly names: string[];

  constructor(from?: Slots) {
    this.#next = from === undefined ? 0 : from.#next;
    this.names = from === undefined ? [] : [...from.names];
  }

  take(name: string): Slot {
    if (this.#next >= SLOTS) throw tooLarge(`more than ${SLOTS} descriptors and results`);
    this.names.push(name);
    return new Slot(this.#next++, name);
  }
}

export type Value = number | bigint | Pointer | Slot | Loaded;

/** A place to jump to; placed once. */
export class Label {
  index = -1;
}

export interface CallOptions {
  /** Where the result goes. */
  readonly into?: Slot | Pointer;
  /** Errors that are no failure; at most two (docs/program.md). */
  readonly tolerate?: readonly ErrnoName[];
  /** Go there on a tolerated error, or on any error when none is tolerated. */
  readonly onError?: Label;
  /** Go there when the result is 0. Not together with `onError`. */
  readonly onZero?: Label;
  /** Run again after EAGAIN and EINTR. */
  readonly retry?: boolean;
  /** What this op is for, where the section does not say it. */
  readonly note?: string;
}

/** What a run of ops was compiled from: the program's source map. */
export interface Section {
  /** Place in config.json, as `mounts[3]`. */
  readonly specPath: string;
  /** What is being done, as `mount proc`. */
  readonly reason: string;
  /** What it is done to, for the error line: a path, an interface. */
  readonly target: string;
}

export interface Program {
  /** Wire header, ops and data: what is sent. */
  readonly bytes: Uint8Array;
  readonly arch: Arch;
  readonly opCount: number;
  /** Index into `sections` for each op. */
  readonly sectionOf: readonly number[];
  readonly sections: readonly Section[];
  readonly notes: ReadonlyMap<number, string>;
  readonly slotNames: readonly string[];
  /** What the same process runs first, and says with a PIECE that it has. */
  readonly before: Program | undefined;
}

/** Words of an op, and how many ops a program has room for before it grows. */
const OP_WORDS = OP_SIZE / 4;
const FIRST_OPS = 512;

/** The options of an op that has none. */
const PLAIN: CallOptions = {};

/** Enough for a path, a struct statx, the head of an executable. */
export const SCRATCH_BYTES = 4096;

const encoder = new TextEncoder();

export class ProgramBuilder {
  readonly arch: Arch;
  readonly slots: Slots;
  readonly #numbers: Record<SyscallName, number>;
  #ops = new Uint32Array(FIRST_OPS * OP_WORDS);
  #count = 0;
  #data = new Uint8Array(16384);
  #dataView = new DataView(this.#data.buffer);
  #length = 0;
  readonly #opPointers: number[] = [];
  readonly #dataPointers: number[] = [];
  readonly #jumps: { op: number; label: Label }[] = [];
  readonly #labelValues: { op: number; label: Label }[] = [];
  #scratch: Pointer | undefined;
  readonly #strings = new Map<string, Pointer>();
  readonly #sectionOf: number[] = [];
  readonly #sections: Section[] = [];
  readonly #notes = new Map<number, string>();

  constructor(arch: Arch, slots: Slots = new Slots()) {
    this.arch = arch;
    this.slots = slots;
    this.#numbers = SYSCALLS[arch] as Record<SyscallName, number>;
  }

  /** The ops that follow belong to this place of config.json. */
  section(specPath: string, reason: string, target = ''): this {
    this.#sections.push({ specPath, reason, target });
    return this;
  }

  slot(name: string): Slot {
    return this.slots.take(name);
  }

  label(): Label {
    return new Label();
  }

  place(label: Label): void {
    if (label.index !== -1) throw new Error('a label is placed twice');
    label.index = this.#count;
  }

  /** One system call. Slots are loaded, pointers and numbers are immediate. */
  call(name: SyscallName, args: readonly Value[], options: CallOptions = PLAIN): void {
    const number = this.#numbers[name];
    if (number === undefined) throw new Error(`no system call ${name} on ${this.arch}`);
    this.#op(number, args, options);
  }

  /** `into` = a + b. */
  sum(into: Slot | Pointer, a: Value, b: Value = 0, note?: string): void {
    this.#op(SUM, [a, b], note === undefined ? { into } : { into, note });
  }

  jump(label: Label): void {
    this.#op(SUM, [0, 0], { onZero: label });
  }

  /** Goes to `label` if the value is 0. */
  jumpIfZero(value: Value, label: Label): void {
    this.#op(SUM, [value, 0], { onZero: label });
  }

  /**
   * An error `errno` unless (u64 at `at` & mask) equals `expected`; `at` is an address. A slot holds
   * an errno that the kernel gave in an answer.
   */
  check(
    at: Pointer | Slot,
    mask: number | bigint,
    expected: number | bigint,
    errno: ErrnoName | Slot,
    options: CallOptions = PLAIN,
  ): void {
    const address = at.kind === 'slot' ? at.address : at;
    const number = typeof errno === 'string' ? ERRNO[errno] : errno;
    this.#op(CMP, [address, mask, expected, number], options);
  }

  /**
   * `into` = -value. CMP's failure is the one op that negates; a small result looks like an errno,
   * so any error goes on to the next op.
   */
  negate(into: Slot, value: Slot): void {
    const next = this.label();
    this.#op(CMP, [this.words([1]), 1, 0, value], { into, onError: next, note: 'negate' });
    this.place(next);
  }

  /** From here on a fatal error goes to `label` instead of ending the process. */
  trap(label: Label | undefined): void {
    if (label === undefined) {
      this.sum(TRAP, 0);
      return;
    }
    this.#labelValues.push({ op: this.#count, label });
    this.sum(TRAP, 0);
  }

  /** The program ends; the executor reads the next. */
  end(): void {
    this.#op(END, [], PLAIN);
  }

  /** Bytes in the data area, aligned to 8. */
  bytes(content: Uint8Array): Pointer {
    const pointer = this.space(content.length);
    this.#data.set(content, pointer.offset);
    return pointer;
  }

  /** Fills a part of what `space` gave. */
  setBytes(at: Pointer, content: Uint8Array): void {
    this.#data.set(content, at.offset);
  }

  /** `size` zero bytes, aligned to 8. */
  space(size: number): Pointer {
    const offset = (this.#length + 7) & ~7;
    this.#reserve(offset + size);
    this.#length = offset + size;
    return new Pointer(offset);
  }

  /**
   * A page for what is looked at right after the call that fills it: one for the whole program, since
   * every byte of a program is private memory of the process that waits in it.
   */
  scratch(): Pointer {
    this.#scratch ??= this.space(SCRATCH_BYTES);
    return this.#scratch;
  }

  /** A NUL-terminated string; equal strings are stored once. */
  string(text: string): Pointer {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    if (text.includes('\0')) throw new Error('a string with NUL cannot be an argument');
    this.#reserve(this.#length + text.length * 3 + 1);
    const { written } = encoder.encodeInto(text, this.#data.subarray(this.#length));
    const pointer = new Pointer(this.#length);
    this.#length += written + 1;
    this.#strings.set(text, pointer);
    return pointer;
  }

  /** An array of u64, pointers among them, as argv or a struct of 64-bit fields. */
  words(values: readonly (number | bigint | Pointer)[]): Pointer {
    const pointer = this.space(values.length * 8);
    for (let i = 0; i < values.length; i++) this.setU64(pointer.plus(8 * i), values[i]!);
    return pointer;
  }

  /** A NULL-terminated array of strings. */
  stringArray(texts: readonly string[]): Pointer {
    const pointers: (number | Pointer)[] = texts.map((text) => this.string(text));
    pointers.push(0);
    return this.words(pointers);
  }

  setU32(at: Pointer, value: number): void {
    this.#dataView.setUint32(at.offset, value >>> 0, true);
  }

  setU16(at: Pointer, value: number): void {
    this.#dataView.setUint16(at.offset, value, true);
  }

  setU64(at: Pointer, value: number | bigint | Pointer): void {
    if (typeof value === 'object') {
      this.#dataPointers.push(at.offset);
      this.#dataView.setUint32(at.offset, value.offset, true);
      this.#dataView.setUint32(at.offset + 4, 0, true);
    } else {
      const [low, high] = halvesOf(value);
      this.#dataView.setUint32(at.offset, low, true);
      this.#dataView.setUint32(at.offset + 4, high, true);
    }
  }

  /** How many ops there are so far. */
  get count(): number {
    return this.#count;
  }

  /** The wire image. The builder is spent afterwards. */
  finish(before?: Program): Program {
    const opsSize = this.#count * OP_SIZE;
    const base = PROGRAM_BASE + opsSize;
    this.#resolve(base);
    const size = opsSize + this.#length;
    const bytes = new Uint8Array(WIRE_HEADER_SIZE + size);
    const header = new DataView(bytes.buffer);
    header.setUint32(0, WIRE_MAGIC, true);
    header.setUint32(8, size, true);
    bytes.set(new Uint8Array(this.#ops.buffer, 0, opsSize), WIRE_HEADER_SIZE);
    bytes.set(this.#data.subarray(0, this.#length), WIRE_HEADER_SIZE + opsSize);
    return {
      bytes,
      arch: this.arch,
      opCount: this.#count,
      sectionOf: this.#sectionOf,
      sections: this.#sections,
      notes: this.#notes,
      slotNames: this.slots.names,
      before,
    };
  }

  #resolve(base: number): void {
    const words = this.#ops;
    for (const word of this.#opPointers) words[word]! += base;
    for (const offset of this.#dataPointers) {
      this.#dataView.setUint32(offset, this.#dataView.getUint32(offset, true) + base, true);
    }
    for (const { op, label } of this.#jumps) {
      if (label.index === -1) throw new Error('a jump goes to a label that was never placed');
      words[op * OP_WORDS + 1]! |= label.index;
    }
    for (const { op, label } of this.#labelValues) {
      words[op * OP_WORDS + OP.args / 4] = label.index;
    }
  }

  /**
   * One op as sixteen 32-bit words. A cold plan runs in V8's interpreter, where every call counts:
   * words are put together by hand and written by index, not by DataView.
   */
  #op(number: number, args: readonly Value[], options: CallOptions): void {
    const index = this.#count;
    if (index >= 0xffff) throw tooLarge('more than 65534 operations');
    if (args.length > 6) throw new Error('a system call has at most six arguments');
    const at = index * OP_WORDS;
    if (at + OP_WORDS > this.#ops.length) this.#growOps();
    const words = this.#ops;
    let head = number;
    if (options !== PLAIN) {
      head |= this.#flags(options) << 16;
      const { tolerate, into, note } = options;
      if (tolerate !== undefined) words[at + 1] = tolerated(tolerate);
      if (into !== undefined) this.#address(at + OP.result / 4, into);
      if (note !== undefined) this.#notes.set(index, note);
    }
    let word = at + OP.args / 4;
    for (let i = 0; i < args.length; i++, word += 2) {
      const value = args[i]!;
      if (typeof value === 'number' && value >= 0 && value <= 0xffffffff && value >>> 0 === value) {
        words[word] = value;
      } else if (this.#argument(word, value)) {
        head |= 1 << (24 + i);
      }
    }
    words[at] = head;
    this.#sectionOf.push(this.#sections.length - 1);
    this.#count = index + 1;
  }

  #flags(options: CallOptions): number {
    const { onError, onZero } = options;
    let flags = options.retry === true ? RETRY : 0;
    if (onError !== undefined) {
      if (onZero !== undefined) throw new Error('an op jumps on error or on zero, not both');
      this.#jumps.push({ op: this.#count, label: onError });
      return flags | JUMP_ON_ERROR;
    }
    if (onZero !== undefined) {
      this.#jumps.push({ op: this.#count, label: onZero });
      flags |= JUMP_IF_ZERO;
    }
    return flags;
  }

  /** The address of a place, as a word that is complete or gets the base at the end. */
  #address(word: number, place: Slot | Pointer): void {
    if (place.kind === 'slot') {
      this.#ops[word] = place.address;
    } else {
      this.#opPointers.push(word);
      this.#ops[word] = place.offset;
    }
  }

  /** Writes an argument; true if it is the address of a word to load. */
  #argument(word: number, value: Value): boolean {
    if (typeof value === 'object') {
      this.#address(word, value.kind === 'loaded' ? value.pointer : value);
      return value.kind !== 'pointer';
    }
    const [low, high] = halvesOf(value);
    this.#ops[word] = low;
    this.#ops[word + 1] = high;
    return false;
  }

  #growOps(): void {
    const grown = new Uint32Array(this.#ops.length * 2);
    grown.set(this.#ops);
    this.#ops = grown;
  }

  #reserve(size: number): void {
    if (size <= this.#data.length) return;
    const grown = new Uint8Array(Math.max(size, this.#data.length * 2));
    grown.set(this.#data.subarray(0, this.#length));
    this.#data = grown;
    this.#dataView = new DataView(grown.buffer);
  }
}

/** The configuration asks for more than one program can hold. */
function tooLarge(what: string): RuncellError {
  const reason = `the container needs ${what} to be set up`;
  return new RuncellError({ code: 'config.value', reason });
}

/** Tolerated errno values where the second word of an op has them: bits 16 to 31. */
function tolerated(names: readonly ErrnoName[]): number {
  if (names.length > 2) throw new Error('an op tolerates at most two errors');
  const [first, second] = names;
  let word = 0;
  if (first !== undefined) word |= ERRNO[first] << 16;
  if (second !== undefined) word |= ERRNO[second] << 24;
  return word;
}

/** Two's complement in 64 bits, as halves; numbers must be safe integers. */
function halvesOf(value: number | bigint): [low: number, high: number] {
  if (typeof value === 'bigint') {
    if (value >= 1n << 64n || value < -(1n << 63n)) {
      throw new RangeError(`${value} has over 64 bits`);
    }
    const bits = BigInt.asUintN(64, value);
    return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
  }
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an exact integer`);
  return [value >>> 0, Math.floor(value / 0x100000000) >>> 0];
}
