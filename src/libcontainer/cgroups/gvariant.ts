/**
 * GVariant's text form, as far as properties of units need it, read for a type that is known
 * ("GVariant Text Format" in GLib's manual): numbers, booleans, strings, arrays and tuples, with the
 * type written before a value (`uint64 5`, `@as []`) or left out.
 *
 * The reader never guesses: a type that is written must be the expected one, a number must fit it,
 * and nothing may follow. Pure.
 */

import type { BusData } from '../native/bus-value.ts';
import { completeTypes } from '../native/bus-value.ts';

/** Why a text is not a value of its type; the caller knows where it stands. */
export class GvariantError extends Error {}

/** The value of `text`, which must be of the D-Bus type `type`. */
export function parseGvariant(text: string, type: string): BusData {
  const reader = new Reader(text);
  const value = reader.value(type);
  reader.end();
  return value;
}

/** The words that name a type in front of a value. */
const KEYWORDS: Readonly<Record<string, string>> = {
  boolean: 'b',
  byte: 'y',
  int16: 'n',
  uint16: 'q',
  int32: 'i',
  uint32: 'u',
  int64: 'x',
  uint64: 't',
  double: 'd',
  string: 's',
  objectpath: 'o',
  signature: 'g',
};

/** Lowest and highest value of the whole numbers. */
const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  y: [0n, 0xffn],
  n: [-0x8000n, 0x7fffn],
  q: [0n, 0xffffn],
  i: [-0x80000000n, 0x7fffffffn],
  u: [0n, 0xffffffffn],
  x: [-0x8000000000000000n, 0x7fffffffffffffffn],
  t: [0n, 0xffffffffffffffffn],
};

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(type: string): BusData {
    this.#typeBefore(type);
    if (type.startsWith('a')) return this.#list('[', ']', () => type.slice(1));
    if (type.startsWith('(')) return this.#tuple(completeTypes(type.slice(1, -1)));
    if (type === 's') return this.#string();
    if (type === 'b') return this.#boolean();
    if (type === 'd') return this.#double();
    return this.#integer(type);
  }

  end(): void {
    this.#blank();
    if (this.#at < this.#text.length) throw this.#error('the end');
  }

  #blank(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }

  #error(wanted: string): GvariantError {
    const found = this.#text.slice(this.#at, this.#at + 12);
    return new GvariantError(
      `expected ${wanted}, found ${found === '' ? 'the end' : JSON.stringify(found)}`,
    );
  }

  /** What the expression matches here, and past it; undefined when it does not. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match[0];
  }

  /** A type written before the value: there may be one, and it must be this one. */
  #typeBefore(type: string): void {
    this.#blank();
    const start = this.#at;
    const at = this.#take(/@[a-z()]+/y);
    const word = at === undefined ? this.#take(/[a-z]+[0-9]*(?=\s)/y) : undefined;
    const written = at?.slice(1) ?? (word === undefined ? undefined : KEYWORDS[word]);
    if (written === undefined) {
      this.#at = start;
      return;
    }
    if (written !== type) {
      this.#at = start;
      throw this.#error(`a value of type ${type}`);
    }
    this.#blank();
  }

  #expect(character: string): void {
    this.#blank();
    if (this.#text[this.#at] !== character) throw this.#error(JSON.stringify(character));
    this.#at++;
  }

  #accept(character: string): boolean {
    this.#blank();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #list(open: string, close: string, typeOf: (index: number) => string): BusData[] {
    this.#expect(open);
    const items: BusData[] = [];
    if (this.#accept(close)) return items;
    do items.push(this.value(typeOf(items.length)));
    while (this.#accept(','));
    this.#expect(close);
    return items;
  }

  #tuple(types: readonly string[]): BusData[] {
    this.#expect('(');
    return types.map((type, index) => {
      const value = this.value(type);
      this.#expect(index === types.length - 1 ? ')' : ',');
      return value;
    });
  }

  #boolean(): boolean {
    const word = this.#take(/true\b|false\b/y);
    if (word === undefined) throw this.#error('true or false');
    return word === 'true';
  }

  #double(): number {
    const digits = this.#take(/[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?/y);
    if (digits === undefined) throw this.#error('a number');
    return Number(digits);
  }

  #integer(type: string): bigint {
    const start = this.#at;
    const digits = this.#take(/[-+]?(0[xX][0-9a-fA-F]+|\d+)(?![\w.])/y);
    const range = RANGES[type];
    if (digits === undefined || range === undefined) throw this.#error('a whole number');
    const negative = digits.startsWith('-');
    const bare = digits.replace(/^[-+]/, '');
    // A leading zero means octal, as in C.
    const octal = /^0[0-7]+$/.test(bare);
    if (/^0\d/.test(bare) && !octal) {
      this.#at = start;
      throw this.#error('a whole number');
    }
    const size = BigInt(octal ? `0o${bare.slice(1)}` : bare);
    const value = negative ? -size : size;
    if (value >= range[0] && value <= range[1]) return value;
    this.#at = start;
    throw this.#error(`a number from ${range[0]} to ${range[1]}`);
  }

  #string(): string {
    const quote = this.#text[this.#at];
    if (quote !== "'" && quote !== '"') throw this.#error('a string in quotes');
    this.#at++;
    let value = '';
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) throw this.#error('the quote that ends the string');
      this.#at++;
      if (character === quote) break;
      value += character === '\\' ? this.#escape() : character;
    }
    // D-Bus takes neither; sd-bus would cut at the first and refuse the second.
    if (value.includes('\0') || !value.isWellFormed()) throw this.#error('text');
    return value;
  }

  #escape(): string {
    const number = this.#take(/u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}/y);
    if (number !== undefined) {
      const point = Number.parseInt(number.slice(1), 16);
      if (point > 0x10ffff) throw this.#error('a character of Unicode');
      return String.fromCodePoint(point);
    }
    const character = this.#text[this.#at];
    if (character === undefined) throw this.#error('the quote that ends the string');
    this.#at++;
    return ESCAPES[character] ?? character;
  }
}
