/** Rates between two looks, and what is read of the host. */

import { describe, expect, test } from 'vitest';
import type { Usage } from '../../../src/libcontainer/cgroups/stats.ts';
import { countProcessors, ratesOf, totalMemory } from '../../../src/libcontainer/container/top.ts';

const usage = (more: Partial<Usage>): Usage => ({
  cpu: 0n,
  memory: 0n,
  memoryLimit: undefined,
  pids: 1n,
  pidsLimit: undefined,
  readBytes: 0n,
  writtenBytes: 0n,
  ...more,
});

describe('ratesOf', () => {
  test('a processor that was busy all the time is 100', () => {
    const before = { usage: usage({ cpu: 5n, readBytes: 100n }), atMs: 1000 };
    const now = { usage: usage({ cpu: 500_000_005n, readBytes: 1100n }), atMs: 1500 };
    expect(ratesOf(before, now)).toEqual({ cpuPercent: 100, readRate: 2000, writeRate: 0 });
  });

  test('the difference of large counters is exact', () => {
    const before = { usage: usage({ cpu: (1n << 63n) + 1n }), atMs: 0 };
    const now = { usage: usage({ cpu: (1n << 63n) + 10_000_001n }), atMs: 1000 };
    expect(ratesOf(before, now).cpuPercent).toBe(1);
  });

  test.each([
    ['the first look', undefined],
    ['no time between', { usage: usage({}), atMs: 1000 }],
    [
      'counters of another group',
      { usage: usage({ cpu: 2n, readBytes: 2n, writtenBytes: 2n }), atMs: 0 },
    ],
    [
      'no controller',
      { usage: usage({ cpu: undefined, readBytes: undefined, writtenBytes: undefined }), atMs: 0 },
    ],
  ])('%s: not known', (_, before) => {
    const now = { usage: usage({ cpu: 1n, readBytes: 1n, writtenBytes: 1n }), atMs: 1000 };
    expect(ratesOf(before, now)).toEqual({
      cpuPercent: undefined,
      readRate: undefined,
      writeRate: undefined,
    });
  });
});

test.each([
  ['0\n', 1],
  ['0-1\n', 2],
  ['0-3,8\n', 5],
  ['0,2,4-7', 6],
  ['', 1],
])('processors %j are %d', (text, count) => {
  expect(countProcessors(text)).toBe(count);
});

test('MemTotal is in KiB', () => {
  expect(totalMemory('MemFree: 1 kB\nMemTotal:       24684092 kB\n')).toBe(24684092n * 1024n);
  expect(totalMemory('')).toBe(0n);
});
