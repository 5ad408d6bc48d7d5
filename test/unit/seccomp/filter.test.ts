/** The code of a filter: every number finds its verdict, however far the code of it is. */

import { describe, expect, test } from 'vitest';
import { encodeFilter, type Segment } from '../../../src/libcontainer/seccomp/filter.ts';
import type { Condition, Rule } from '../../../src/libcontainer/seccomp/rules.ts';
import { checkFilter, runFilter } from '../../helpers/seccomp-machine.ts';

const ARCH = 0xc000003e;
const DEFAULT = 0x50001;
const ALL = { high: 0xffffffff, low: 0xffffffff };

const filterOf = (segments: Segment[]) => {
  const program = encodeFilter([{ audit: ARCH, segments }], DEFAULT);
  checkFilter(program);
  return (nr: number, ...args: bigint[]) => runFilter(program, { arch: ARCH, nr, args });
};

const equal = (arg: number, value: bigint): Condition => ({
  arg,
  test: 'eq',
  negated: false,
  mask: ALL,
  value: { high: Number(value >> 32n), low: Number(value & 0xffffffffn) },
});

describe('intervals', () => {
  test('one verdict for all', () => {
    const verdict = filterOf([{ start: 0, verdict: 7 }]);
    expect([verdict(0), verdict(0xffffffff)]).toEqual([7, 7]);
  });

  test('a thousand of them, with four thousand numbers between', () => {
    const segments = Array.from({ length: 1000 }, (_, i) => ({ start: 4 * i, verdict: 100 + i }));
    const verdict = filterOf(segments);
    for (let nr = 0; nr < 4100; nr++) expect(verdict(nr)).toBe(100 + Math.min(nr >> 2, 999));
  });

  test('single numbers in an interval', () => {
    const starts = [3, 4, 9, 10, 11, 12, 20, 21, 30, 31, 40, 41, 50, 51, 60, 62];
    const segments = [0, ...starts].map((start, i) => ({ start, verdict: i % 2 === 0 ? 1 : 2 }));
    const verdict = filterOf(segments);
    for (let nr = 0; nr < 80; nr++) {
      const expected = segments.findLast(({ start }) => start <= nr)!.verdict;
      expect(verdict(nr), String(nr)).toBe(expected);
    }
  });

  test('another architecture is killed', () => {
    const program = encodeFilter([{ audit: ARCH, segments: [{ start: 0, verdict: 7 }] }], DEFAULT);
    expect(runFilter(program, { arch: 3, nr: 0 })).toBe(0);
  });
});

describe('conditions', () => {
  test('long lists of different arguments, farther than a jump reaches', () => {
    const rules: Rule[] = Array.from({ length: 200 }, (_, i) => ({
      action: 1000 + i,
      conditions: [equal(i % 6, BigInt(i) << 20n)],
    }));
    const verdict = filterOf([
      { start: 0, verdict: 1 },
      { start: 5, verdict: rules },
      { start: 6, verdict: 2 },
    ]);
    for (let i = 1; i < 200; i++) {
      const args = [7n, 7n, 7n, 7n, 7n, 7n];
      args[i % 6] = BigInt(i) << 20n;
      expect(verdict(5, ...args)).toBe(1000 + i);
    }
    expect(verdict(5, 7n, 7n, 7n, 7n, 7n, 7n)).toBe(DEFAULT);
    expect([verdict(4), verdict(6)]).toEqual([1, 2]);
  });

  test('values of one argument become intervals: 29 of them in fewer than 50 instructions', () => {
    const values = Array.from({ length: 29 }, (_, i) => i + (i > 9 ? 5 : 0) + (i > 20 ? 9 : 0));
    const rules = values.map((value) => ({ action: 9, conditions: [equal(0, BigInt(value))] }));
    const program = encodeFilter([{ audit: ARCH, segments: [{ start: 0, verdict: rules }] }], 1);
    expect(program.length / 8).toBeLessThan(20);
    for (let value = 0; value < 60; value++) {
      const call = { arch: ARCH, nr: 0, args: [BigInt(value)] };
      expect(runFilter(program, call)).toBe(values.includes(value) ? 9 : 1);
    }
    expect(runFilter(program, { arch: ARCH, nr: 0, args: [0x100000001n] })).toBe(1);
  });

  test('the whole range of 32 bits has an end', () => {
    const last = { ...equal(0, 0xffffffffn), test: 'gt' as const };
    const verdict = filterOf([{ start: 0, verdict: [{ action: 9, conditions: [last] }] }]);
    expect([verdict(0, 0xffffffffn), verdict(0, 0x100000000n)]).toEqual([DEFAULT, 9]);
  });
});
