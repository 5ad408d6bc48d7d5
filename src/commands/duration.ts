/**
 * A length of time as Go writes it (time.ParseDuration): `5s`, `1m30s`, `1.5h`, `300ms`, and `0`
 * alone without a unit.
 */

import { type CommandLine, usageError } from '../argv.ts';
import { RuncellError } from '../error.ts';

const MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5, the micro sign
  μs: 1e-3, // U+03BC, the Greek letter
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
/** The letters escaped: a bundle is read as Latin-1, and a pattern stays as it is written. */
const PARTS = /([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/gy;
/** Go counts nanoseconds in 63 bits. */
const MAX_MS = 2 ** 63 / 1e6;

/** Milliseconds; undefined for what Go would not take. */
export function parseDuration(text: string): number | undefined {
  const [, sign, rest] = /^([-+]?)(.*)$/s.exec(text)!;
  if (rest === '0') return 0;
  let total = 0;
  let at = 0;
  for (const part of rest!.matchAll(PARTS)) {
    total += Number(part[1]) * MS[part[2]!]!;
    at += part[0].length;
  }
  if (at === 0 || at !== rest!.length || total >= MAX_MS) return undefined;
  return sign === '-' ? -total : total;
}

/** The value of `--interval`, which must be more than nothing. */
export function intervalFlag(line: CommandLine, standard: string): number {
  const text = line.flags.text('interval') ?? standard;
  const ms = parseDuration(text);
  if (ms === undefined) {
    throw usageError(line.verb, `invalid value "${text}" for flag -interval: parse error`);
  }
  if (ms > 0) return ms;
  throw new RuncellError({ code: 'usage', reason: 'duration interval must be greater than 0' });
}
