/**
 * Values of D-Bus with their types, and the signatures that name them (D-Bus Specification, "Type
 * System"): basic types of one letter, `aT` arrays, `(T…)` structs, `v` a value with its own type.
 * Dictionaries and descriptors are left out: nothing that runcell says to systemd has any. Pure.
 */

import { RuncellError } from '../../error.ts';

/** What a signature's type looks like here: strings, numbers (bigint for 64 bits), arrays for `a` and `(`. */
export type BusData = string | number | bigint | boolean | readonly BusData[] | Variant;

export interface Variant {
  /** One complete type. */
  readonly signature: string;
  readonly value: BusData;
}

/** A property of a unit, as StartTransientUnit and SetUnitProperties take them: `(sv)`. */
export interface BusProperty extends Variant {
  readonly name: string;
}

/** Letters of the basic types, without descriptors. */
export const BASIC_TYPES = 'ybnqiuxtdsog';

/** A signature's complete types: `sa(sv)u` is `s`, `a(sv)` and `u`. */
export function completeTypes(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = endOfType(signature, at);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function endOfType(signature: string, start: number): number {
  let at = start;
  while (signature[at] === 'a') at++;
  const letter = signature[at];
  if (letter !== undefined && (letter === 'v' || BASIC_TYPES.includes(letter))) return at + 1;
  if (letter === '(' && signature[at + 1] !== ')') {
    at++;
    while (at < signature.length && signature[at] !== ')') at = endOfType(signature, at);
    if (signature[at] === ')') return at + 1;
  }
  const reason = `not a signature of D-Bus: ${JSON.stringify(signature)}`;
  throw new RuncellError({ code: 'internal', operation: 'sd-bus', reason });
}

/** The bytes of a basic type that is not a string, little endian as both architectures are. */
export function encodeBasic(type: string, value: BusData): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  if (type === 'd') view.setFloat64(0, Number(value), true);
  else if (type === 'b') view.setInt32(0, value === true ? 1 : 0, true);
  else view.setBigInt64(0, BigInt(value as number | bigint), true);
  return bytes;
}

/** The other way: 64 bits as bigint, everything else as number or boolean. */
export function decodeBasic(type: string, bytes: Uint8Array): BusData {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  switch (type) {
    case 'y':
      return view.getUint8(0);
    case 'b':
      return view.getInt32(0, true) !== 0;
    case 'n':
      return view.getInt16(0, true);
    case 'q':
      return view.getUint16(0, true);
    case 'i':
      return view.getInt32(0, true);
    case 'u':
      return view.getUint32(0, true);
    case 'x':
      return view.getBigInt64(0, true);
    case 'd':
      return view.getFloat64(0, true);
    default:
      return view.getBigUint64(0, true);
  }
}
