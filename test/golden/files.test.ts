/** Every golden file belongs to a test: one that no test names would never fail. */

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('every golden file is named by a test', () => {
  const files = readdirSync(import.meta.dirname);
  const source = files
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(`${import.meta.dirname}/${file}`, 'utf8'))
    .join('\n');
  const golden = files.filter((file) => file.endsWith('.txt')).map((file) => file.slice(0, -4));
  expect(golden.length).toBeGreaterThan(0);
  expect(golden.filter((name) => !source.includes(`'${name}'`))).toEqual([]);
});
