/**
 * A block of memory for structs that point to one another, as argv vectors and msghdr do.
 *
 * The block is one array outside V8's heap, so that its address stays; a pointer into it is valid
 * as long as the block is reachable, which callers ensure by keeping it until after the call
 * (`keep`). Little endian, as both architectures are.
 */

import { openKoffi } from './koffi.ts';

/** Bytes and the addresses of the parts already in it. */
export class Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: bigint;
  #used = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.base = openKoffi().address(this.bytes);
  }

  /** Takes `size` zeroed bytes at a multiple of 16 and gives their offset. */
  take(size: number): number {
    const offset = (this.#used + 15) & ~15;
    if (offset + size > this.bytes.length) throw new RangeError('block too small');
    this.#used = offset + size;
    return offset;
  }

  /** Copies the bytes in. */
  put(bytes: Uint8Array): number {
    const offset = this.take(bytes.length);
    this.bytes.set(bytes, offset);
    return offset;
  }

  address(offset: number): bigint {
    return this.base + BigInt(offset);
  }

  setPointer(at: number, offset: number): void {
    this.view.setBigUint64(at, this.address(offset), true);
  }

  /** A NULL-terminated vector of NUL-terminated strings: argv or envp. */
  putVector(strings: readonly Uint8Array[]): number {
    const vector = this.take(8 * (strings.length + 1));
    strings.forEach((text, index) => {
      this.setPointer(vector + 8 * index, this.put(text));
    });
    return vector;
  }
}

/** Bytes that `putVector` needs for these strings. */
export function vectorSize(strings: readonly Uint8Array[]): number {
  return strings.reduce((sum, text) => sum + text.length + 16, 8 * (strings.length + 1) + 16);
}

let kept: Block | undefined;

/** Holds the block until the next one is held: a call that was just made has returned by then. */
export function keep(block: Block): Block {
  kept = block;
  return kept;
}
