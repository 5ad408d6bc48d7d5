/**
 * The signal argument of `kill` (reference/runtime-cli.md §1.6), names beside those of the libc.
 */

import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { parseSignal } from '../../../src/commands/kill.ts';
import { RuncellError } from '../../../src/error.ts';

test.each([
  ['9', 9],
  ['0', 0],
  ['64', 64],
  ['KILL', 9],
  ['SIGKILL', 9],
  ['sigkill', 9],
  ['Term', 15],
  ['usr1', 10],
  ['SIGSTKFLT', 16],
  ['SIGPWR', 30],
])('%s is signal %i', (text, number) => {
  expect(parseSignal(text)).toBe(number);
});

test('every name of the libc has its number', () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    expect({ name, number: parseSignal(name) }).toEqual({ name, number });
  }
});

test.each(['BAD', '', '65', '-9', '1.0', 'SIGRTMIN+1', 'SIGSIGKILL', 'toString', '009999'])(
  '%j is no signal',
  (text) => {
    expect(() => parseSignal(text)).toThrow(
      new RuncellError({ code: 'usage', reason: `unknown signal "${text}"` }),
    );
  },
);
