/**
 * Raw programs for tests of the executor: ops and data encoded by hand from docs/program.md, so
 * that the executor is not judged by the builder it works with.
 *
 * Ops come first; data is appended behind them and addressed by what `data` returns. Since the
 * number of ops must be known before an address can be, a program reserves room for `MAX_OPS`.
 */

import {
  OP,
  OP_SIZE,
  PROGRAM_BASE,
  WIRE_HEADER_SIZE,
  WIRE_MAGIC,
} from '../../src/libcontainer/program/op.ts';

const MAX_OPS = 64;

export interface RawOp {
  readonly nr: number;
  readonly args?: readonly (number | bigint)[];
  readonly flags?: number;
  readonly load?: number;
  readonly target?: number;
  readonly tolerate?: readonly number[];
  readonly result?: number;
}

export class RawProgram {
  readonly #ops: RawOp[] = [];
  #data: Buffer = Buffer.alloc(0);

  /** Appends an op; returns its index. */
  op(
    nr: number,
    args: readonly (number | bigint)[] = [],
    more: Omit<RawOp, 'nr' | 'args'> = {},
  ): number {
    return this.#ops.push({ nr, args, ...more }) - 1;
  }

  /** Appends bytes, aligned to 8; returns their address. */
  data(bytes: Uint8Array | string): number {
    const at = PROGRAM_BASE + MAX_OPS * OP_SIZE + this.#data.length;
    const content = Buffer.from(bytes as string);
    this.#data = Buffer.concat([this.#data, content, Buffer.alloc(-content.length & 7)]);
    return at;
  }

  /** A NUL-terminated string. */
  text(value: string): number {
    return this.data(`${value}\0`);
  }

  words(...values: (number | bigint)[]): number {
    return this.data(words(...values));
  }

  body(): Buffer {
    const ops = Buffer.alloc(MAX_OPS * OP_SIZE);
    this.#ops.forEach((op, index) => {
      encode(op).copy(ops, index * OP_SIZE);
    });
    return Buffer.concat([ops, this.#data]);
  }

  /** Header and body. */
  wire(): Buffer {
    const body = this.body();
    return Buffer.concat([wireHeader(WIRE_MAGIC, body.length), body]);
  }
}

export function wireHeader(magic: number, length: number): Buffer {
  const header = Buffer.alloc(WIRE_HEADER_SIZE);
  header.writeUInt32LE(magic, 0);
  header.writeBigUInt64LE(BigInt(length), 8);
  return header;
}

/** 64-bit words; negative ones in two's complement. */
export function words(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => {
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), index * 8);
  });
  return bytes;
}

function encode(op: RawOp): Buffer {
  const bytes = Buffer.alloc(OP_SIZE);
  bytes.writeUInt16LE(op.nr, OP.nr);
  bytes.writeUInt8(op.flags ?? 0, OP.flags);
  bytes.writeUInt8(op.load ?? 0, OP.load);
  bytes.writeUInt16LE(op.target ?? 0, OP.target);
  bytes.writeUInt8(op.tolerate?.[0] ?? 0, OP.tolerate0);
  bytes.writeUInt8(op.tolerate?.[1] ?? 0, OP.tolerate1);
  bytes.writeBigUInt64LE(BigInt(op.result ?? 0), OP.result);
  words(...(op.args ?? [])).copy(bytes, OP.args);
  return bytes;
}
