/**
 * docs/errors.md lists every code of src/error.ts, and nothing else.
 */

import fs from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '../../../src/error.ts';

const rows = fs
  .readFileSync(`${import.meta.dirname}/../../../docs/errors.md`, 'utf8')
  .split('\n')
  .map((line) => /^\| (RC\d{4}) \| `([^`]+)` \| (.+) \|$/.exec(line))
  .filter((match) => match !== null);

test('docs/errors.md has the code of every name', () => {
  const documented = Object.fromEntries(rows.map(([, code, name]) => [name, code]));
  expect(documented).toEqual(ERROR_CODES);
});

test('no code is used twice', () => {
  const codes = Object.values(ERROR_CODES);
  expect(new Set(codes).size).toBe(codes.length);
});
