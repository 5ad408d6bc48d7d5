/**
 * A program read back from its encoded bytes: ops as fields, memory as the executor will see it.
 *
 * The printer and the static checks see nothing but this: the builder's inputs are never consulted,
 * so what they say is what will run (docs/program.md, security.md P12). Words are BigInt because an
 * operand may use all 64 bits; none of this is loaded on a hot path. Opens nothing.
 */

import { SYSCALLS } from '../../linux/syscall.ts';
import type { Program } from '../builder.ts';
import {
  CODE_BASE,
  DATA,
  DATA_BASE,
  IMAGE_SIZE,
  OP,
  OP_SIZE,
  PROGRAM_BASE,
  SLOTS,
  WIRE_HEADER_SIZE,
  WIRE_MAGIC,
} from '../op.ts';

/** One argument: an immediate, or the address of the word that is loaded when the op runs. */
export interface Word {
  readonly value: bigint;
  readonly loaded: boolean;
}

export interface DecodedOp {
  readonly index: number;
  readonly nr: number;
  readonly flags: number;
  readonly target: number;
  /** One or two positive errno values, none of them 0. */
  readonly tolerated: readonly number[];
  /** Where the result is stored, 0 = nowhere. */
  readonly result: bigint;
  readonly args: readonly Word[];
}

/** What lies at an address; `none` faults. */
export type Region = 'ops' | 'data' | 'page' | 'code' | 'none';

const DATA_PAGE_SIZE = 4096;
/** Words of the data page that the executor gives a meaning to, by offset (docs/program.md). */
const PAGE_WORDS: Readonly<Record<number, string>> = {
  [DATA.ctl]: 'ctl',
  [DATA.err]: 'err',
  [DATA.trap]: 'trap',
  [DATA.ignored]: 'ignored',
  [DATA.record]: 'record',
};

export class Image {
  readonly program: Program;
  readonly ops: readonly DecodedOp[];
  /** First address behind the ops. */
  readonly dataStart: bigint;
  /** First address behind the program. */
  readonly dataEnd: bigint;
  /** Addresses that some op stores its result to: their encoded content is only a placeholder. */
  readonly stored: ReadonlySet<bigint>;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #names: ReadonlyMap<number, string>;
  readonly #slotNames: readonly string[];

  constructor(program: Program) {
    this.program = program;
    this.#bytes = bodyOf(program);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    const opsSize = program.opCount * OP_SIZE;
    if (opsSize > this.#bytes.length) throw new RangeError('a program is shorter than its ops');
    this.dataStart = BigInt(PROGRAM_BASE + opsSize);
    this.dataEnd = BigInt(PROGRAM_BASE + this.#bytes.length);
    this.ops = Array.from({ length: program.opCount }, (_, index) => this.#decode(index));
    this.stored = new Set(this.ops.map((op) => op.result).filter((address) => address !== 0n));
    this.#names = new Map(Object.entries(SYSCALLS[program.arch]).map(([name, nr]) => [nr, name]));
    this.#slotNames = unique(program.slotNames);
  }

  /** The name of a system call number, undefined for one that linux/syscall.ts does not list. */
  syscall(nr: number): string | undefined {
    return this.#names.get(nr);
  }

  region(address: bigint): Region {
    if (address >= BigInt(PROGRAM_BASE) && address < this.dataStart) return 'ops';
    if (address >= this.dataStart && address < this.dataEnd) return 'data';
    const page = BigInt(DATA_BASE);
    if (address >= page && address < page + BigInt(DATA_PAGE_SIZE)) return 'page';
    const code = BigInt(CODE_BASE);
    if (address >= code && address < code + BigInt(IMAGE_SIZE)) return 'code';
    return 'none';
  }

  /** Whether `size` bytes from `address` on lie in the program's data or in the data page. */
  holds(address: bigint, size: number): boolean {
    const region = this.region(address);
    if (region !== 'data' && region !== 'page') return false;
    const end = region === 'data' ? this.dataEnd : BigInt(DATA_BASE + DATA_PAGE_SIZE);
    return address + BigInt(size) <= end;
  }

  /** An unsigned integer of the program's data; undefined outside (the data page is not known). */
  read(address: bigint, size: 1 | 2 | 4 | 8): bigint | undefined {
    if (this.region(address) !== 'data' || address + BigInt(size) > this.dataEnd) return undefined;
    const at = Number(address) - PROGRAM_BASE;
    if (size === 8) return this.#view.getBigUint64(at, true);
    if (size === 4) return BigInt(this.#view.getUint32(at, true));
    return BigInt(size === 2 ? this.#view.getUint16(at, true) : this.#view.getUint8(at));
  }

  /** `size` bytes of the program's data, undefined if they are not all inside. */
  bytes(address: bigint, size: number): Uint8Array | undefined {
    if (this.region(address) !== 'data' || address + BigInt(size) > this.dataEnd) return undefined;
    const at = Number(address) - PROGRAM_BASE;
    return this.#bytes.subarray(at, at + size);
  }

  /** The bytes of a string up to its NUL, undefined if it does not end inside the data. */
  string(address: bigint): Uint8Array | undefined {
    if (this.region(address) !== 'data') return undefined;
    const at = Number(address) - PROGRAM_BASE;
    const end = this.#bytes.indexOf(0, at);
    return end === -1 ? undefined : this.#bytes.subarray(at, end);
  }

  /** The name of a word of the data page: a slot's, or what the executor calls it. */
  pageWord(address: bigint): string | undefined {
    if (this.region(address) !== 'page') return undefined;
    const offset = Number(address) - DATA_BASE;
    const index = (offset - DATA.slots) / 8;
    if (offset < DATA.slots) return PAGE_WORDS[offset];
    if (!Number.isInteger(index) || index >= SLOTS) return undefined;
    return this.#slotNames[index] ?? `slot${index}`;
  }

  #decode(index: number): DecodedOp {
    const at = index * OP_SIZE;
    const view = this.#view;
    const load = view.getUint8(at + OP.load);
    return {
      index,
      nr: view.getUint16(at + OP.nr, true),
      flags: view.getUint8(at + OP.flags),
      target: view.getUint16(at + OP.target, true),
      tolerated: [view.getUint8(at + OP.tolerate0), view.getUint8(at + OP.tolerate1)].filter(
        (errno) => errno !== 0,
      ),
      result: view.getBigUint64(at + OP.result, true),
      args: Array.from({ length: 6 }, (_, k) => ({
        value: view.getBigUint64(at + OP.args + 8 * k, true),
        loaded: (load & (1 << k)) !== 0,
      })),
    };
  }
}

/** The body behind the wire header; a header that does not fit it is a broken encoding. */
function bodyOf(program: Program): Uint8Array {
  const { bytes } = program;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sound =
    bytes.length >= WIRE_HEADER_SIZE &&
    view.getUint32(0, true) === WIRE_MAGIC &&
    view.getUint32(4, true) === 0 &&
    view.getBigUint64(8, true) === BigInt(bytes.length - WIRE_HEADER_SIZE);
  if (!sound) throw new RangeError('the wire header does not describe the program');
  return bytes.subarray(WIRE_HEADER_SIZE);
}

/** Slots of one name are told apart by their index. */
function unique(names: readonly string[]): readonly string[] {
  const count = new Map<string, number>();
  for (const name of names) count.set(name, (count.get(name) ?? 0) + 1);
  return names.map((name, index) => (count.get(name) === 1 ? name : `${name}#${index}`));
}
