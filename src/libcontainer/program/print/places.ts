/**
 * Names for addresses: a word of a struct is called after the call the struct is given to.
 *
 * A program refers to places in three ways: results are stored there, arguments are loaded from
 * there, `check` looks there. Each decoded struct and buffer registers itself here, so that such
 * references read `clone3.cgroup`, `pipe2[0]`, `statx#2.mode` and not as addresses. A place that is
 * in no struct is a variable: `word`, `word#2`, … in the order of first use.
 */

import type { Image } from './image.ts';
import { hex } from './names.ts';

interface Range {
  readonly start: bigint;
  size: number;
  readonly owner: string;
  readonly fields: Map<number, string>;
  /** The kernel writes here: the encoded content means nothing. */
  filled: boolean;
}

export class Places {
  readonly #image: Image;
  readonly #ranges = new Map<bigint, Range>();
  readonly #variables: bigint[] = [];

  constructor(image: Image) {
    this.#image = image;
  }

  /** Forgets the variables of a first pass, in which not all structs were known yet. */
  settle(): void {
    this.#variables.length = 0;
  }

  /** A struct or buffer that `owner`, a system call, is given; its first owner names it. */
  register(start: bigint, size: number, owner: string): void {
    this.#register(start, size, owner, false);
  }

  /** The same for memory that the kernel fills. */
  registerFilled(start: bigint, size: number, owner: string): void {
    this.#register(start, size, owner, true);
  }

  #register(start: bigint, size: number, owner: string, filled: boolean): void {
    if (this.#image.region(start) !== 'data') return;
    const known = this.#ranges.get(start);
    if (known === undefined) {
      this.#ranges.set(start, { start, size, owner, fields: new Map(), filled });
      return;
    }
    known.size = Math.max(known.size, size);
    known.filled ||= filled;
  }

  /** A field at `offset` of the struct at `start`; `name` as `.mode` or `[0]`. */
  field(start: bigint, offset: number, name: string): void {
    const fields = this.#ranges.get(start)?.fields;
    if (fields !== undefined && !fields.has(offset)) fields.set(offset, name);
  }

  /** Whether the kernel fills the memory that begins here. */
  isFilled(address: bigint): boolean {
    return this.#ranges.get(address)?.filled === true;
  }

  /** Whether the address is in a struct or buffer, or a word that is stored to. */
  isNamed(address: bigint): boolean {
    return this.#rangeOf(address) !== undefined || this.#image.stored.has(address);
  }

  /** Whether the address lies anywhere in memory that the kernel fills. */
  isInFilled(address: bigint): boolean {
    return this.#rangeOf(address)?.filled === true;
  }

  /** The name of the struct or buffer at `address`; of the word where none begins there. */
  whole(address: bigint): string {
    const range = this.#ranges.get(address);
    return range === undefined ? this.name(address) : this.#rangeName(range);
  }

  /** The name of the word at `address`. */
  name(address: bigint): string {
    const page = this.#image.pageWord(address);
    if (page !== undefined) return page;
    const region = this.#image.region(address);
    if (region !== 'data') return region === 'none' ? `${hex(address)}(outside)` : hex(address);
    const range = this.#rangeOf(address);
    if (range !== undefined) return this.#inRange(range, Number(address - range.start));
    let index = this.#variables.indexOf(address);
    if (index === -1) index = this.#variables.push(address) - 1;
    return index === 0 ? 'word' : `word#${index + 1}`;
  }

  #inRange(range: Range, offset: number): string {
    const field = range.fields.get(offset);
    if (field !== undefined) return this.#rangeName(range) + field;
    return offset === 0 ? this.#rangeName(range) : `${this.#rangeName(range)}+${offset}`;
  }

  /** The smallest registered range around the address. */
  #rangeOf(address: bigint): Range | undefined {
    let best: Range | undefined;
    for (const range of this.#ranges.values()) {
      const inside = address >= range.start && address < range.start + BigInt(range.size);
      if (inside && (best === undefined || range.size < best.size)) best = range;
    }
    return best;
  }

  #rangeName(range: Range): string {
    const siblings = [...this.#ranges.values()].filter((other) => other.owner === range.owner);
    if (siblings.length === 1) return range.owner;
    return `${range.owner}#${siblings.indexOf(range) + 1}`;
  }
}
