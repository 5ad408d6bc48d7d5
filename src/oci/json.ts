/**
 * Exact JSON (RFC 8259): what JSON.parse rounds, drops or lets through is kept or refused here.
 *
 * - 64-bit integers come back as bigint when a double cannot hold them (rlimits use 2^64-1);
 * - duplicate keys, `__proto__`, NUL and lone surrogates are refused: they would mean one thing to
 *   the reader of the file and another to the kernel (security.md §5.2);
 * - 16 MiB and 128 levels are the limits.
 *
 * Every verb that reads a bundle pays for this, so the ordinary document costs one JSON.parse, one
 * walk over the result and a few native searches. A duplicate key shows as a difference between the
 * quotes in the text and the strings in the value. Whatever looks odd goes to json-strict.ts, which
 * reads the text character by character and says where the trouble is.
 */

import { isUtf8 } from 'node:buffer';
import { type ErrorCode, RuncellError } from '../error.ts';
import { findJsonProblem } from './json-strict.ts';

export const JSON_BYTES_MAX = 16 * 1024 * 1024;
export const JSON_DEPTH_MAX = 128;

export interface ParseOptions {
  /** What an error names: the file the text comes from. */
  readonly source: string;
  /** `config.syntax` unless the document is another one. */
  readonly code?: ErrorCode;
}

/** What the walk over a parsed value learns of it. */
interface Census {
  /** Keys and string values: half the quotes of a text without duplicate keys. */
  strings: number;
  /** A number that JSON.parse may have rounded. */
  inexact: boolean;
  /** Deeper than the limit, or a key that must not be. */
  refused: boolean;
}

/** The value of a JSON text; an integer that needs it is a bigint. Throws one RuncellError. */
export function parseJson(input: string | Uint8Array, options: ParseOptions): unknown {
  const text = decode(input, options);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refuse(text, options);
    throw fault(options, { reason: (error as Error).message });
  }
  const escapes = text.includes('\\');
  const plain = escapes ? text.replaceAll('\\\\', '').replaceAll('\\"', '') : text;
  const pieces = plain.split('"');
  const census: Census = { strings: 0, inexact: false, refused: false };
  walk(value, 0, census);
  const odd = census.refused || pieces.length - 1 !== census.strings * 2;
  if (odd || (escapes && plain.includes('\\u')) || !text.isWellFormed()) refuse(text, options);
  if (census.inexact || hasFraction(pieces)) return JSON.parse(text, reviveExactly as never);
  return value;
}

/** JSON text; a bigint is printed in full. `indent` as JSON.stringify has it. */
export function stringifyJson(value: unknown, indent: string | number = ''): string {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch {
    return JSON.stringify(value, rawBigint, indent);
  }
}

function decode(input: string | Uint8Array, options: ParseOptions): string {
  if (input.length > JSON_BYTES_MAX) {
    throw fault(options, { reason: 'document is larger than 16 MiB' });
  }
  if (typeof input === 'string') return input;
  const text = Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString('utf8');
  // Only a replacement character can stand for bytes that were no UTF-8; it may also be meant.
  if (text.includes('\ufffd') && !isUtf8(input)) {
    throw fault(options, { reason: 'document is not UTF-8' });
  }
  return text;
}

function walk(value: unknown, depth: number, census: Census): void {
  if (typeof value === 'string') {
    census.strings++;
  } else if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) census.inexact = true;
  } else if (typeof value === 'object' && value !== null) {
    if (depth >= JSON_DEPTH_MAX) {
      census.refused = true;
    } else if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) walk(value[i], depth + 1, census);
    } else {
      for (const key in value) {
        census.strings++;
        if (key === '__proto__') census.refused = true;
        else walk((value as { [key: string]: unknown })[key], depth + 1, census);
      }
    }
  }
}

/** Pieces of even number lie outside strings; a dot there is in a number. */
function hasFraction(pieces: readonly string[]): boolean {
  for (let i = 0; i < pieces.length; i += 2) {
    if (pieces[i]!.includes('.')) return true;
  }
  return false;
}

function refuse(text: string, options: ParseOptions): void {
  const problem = findJsonProblem(text, JSON_DEPTH_MAX);
  if (problem === undefined) return;
  throw fault(options, {
    specPath: problem.path === '' ? undefined : problem.path,
    reason: `line ${problem.line}, column ${problem.column}: ${problem.reason}`,
  });
}

function fault(
  options: ParseOptions,
  fields: { reason: string; specPath?: string | undefined },
): RuncellError {
  return new RuncellError({
    code: options.code ?? 'config.syntax',
    target: options.source,
    ...fields,
  });
}

/** A reviver: `context.source` is the number as it was written (ECMAScript 2026). */
function reviveExactly(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== 'number' || context.source === undefined) return value;
  return exactNumber(context.source, value);
}

/**
 * The number a literal means. A fraction that a double would round to an integer becomes NaN, so
 * that no integer field takes it; there are no other fields in the specification.
 */
function exactNumber(source: string, rounded: number): number | bigint {
  const [mantissa = '', exponentText = '0'] = source.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const digits = whole + fraction.replace(/0+$/, '');
  const shift = Number(exponentText) - fraction.replace(/0+$/, '').length;
  if (!Number.isFinite(rounded) || Math.abs(shift) > 400) return rounded;
  let exact = BigInt(digits);
  if (shift >= 0) {
    exact *= 10n ** BigInt(shift);
  } else {
    const unit = 10n ** BigInt(-shift);
    if (exact % unit !== 0n) return Number.isInteger(rounded) ? Number.NaN : rounded;
    exact /= unit;
  }
  return Number.isSafeInteger(rounded) && exact === BigInt(rounded) ? rounded : exact;
}

function rawBigint(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}
