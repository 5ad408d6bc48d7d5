/** Lengths of time as Go's time.ParseDuration reads them. */

import { describe, expect, test } from 'vitest';
import { parseArgv, Values } from '../../../src/argv.ts';
import { intervalFlag, parseDuration } from '../../../src/commands/duration.ts';

describe('parseDuration', () => {
  test.each([
    ['5s', 5000],
    ['300ms', 300],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['5.s', 5000],
    ['100us', 0.1],
    ['100µs', 0.1],
    ['100μs', 0.1],
    ['2000000ns', 2],
    ['1h1m1s1ms', 3_661_001],
    ['0', 0],
    ['0s', 0],
    ['-1s', -1000],
    ['+1s', 1000],
    ['-0', 0],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 6);
  });

  test.each([
    '',
    '5',
    's',
    '5 s',
    '5x',
    '5S',
    '1m 30s',
    '1e3s',
    '--5s',
    '.s',
    '5s5',
    'NaN',
    '1d',
    '300000h1',
    '9999999999h',
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

describe('intervalFlag', () => {
  const line = (...words: string[]) => parseArgv(['events', ...words, 'c1'], new Values());

  test('has a standard', () => {
    expect(intervalFlag(line(), '5s')).toBe(5000);
    expect(intervalFlag(line('--interval', '2s'), '5s')).toBe(2000);
  });

  test.each(['5', 'soon', ''])('%j is a usage error that names the flag', (text) => {
    expect(() => intervalFlag(line(`--interval=${text}`), '5s')).toThrow(
      `invalid value "${text}" for flag -interval: parse error`,
    );
  });

  test.each(['0', '0s', '-5s'])('%s is refused', (text) => {
    expect(() => intervalFlag(line('--interval', text), '5s')).toThrow(
      'duration interval must be greater than 0',
    );
  });
});
