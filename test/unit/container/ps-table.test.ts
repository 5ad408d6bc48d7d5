/** The lines of ps that are the container's, by the column PID wherever it is; where ps is found. */

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { filterTable, findPs } from '../../../src/libcontainer/container/ps-table.ts';

describe('filterTable', () => {
  const text = [
    'UID          PID    PPID  C STIME TTY          TIME CMD',
    'root           1       0  0 10:00 ?        00:00:01 /sbin/init',
    'root          12       1  0 10:00 ?        00:00:00 sleep 12',
    '1000         120      12  0 10:00 pts/0    00:00:00 sh -c echo 1',
    '',
  ].join('\n');

  test('keeps the heading and the lines of the pids', () => {
    expect(filterTable(text, [12, 120])).toBe(
      `${text
        .split('\n')
        .filter((_, line) => [0, 2, 3].includes(line))
        .join('\n')}\n`,
    );
  });

  test('no pid leaves the heading', () => {
    expect(filterTable(text, [])).toBe(`${text.split('\n')[0]}\n`);
  });

  test('a number elsewhere in the line does not count', () => {
    expect(filterTable(text, [0])).toBe(`${text.split('\n')[0]}\n`);
  });

  test('PID may be the first column, right-aligned', () => {
    expect(filterTable('  PID CMD\n    1 init\n   12 sleep\n', [12])).toBe(
      '  PID CMD\n   12 sleep\n',
    );
  });

  test.each(['CMD\ninit\n', '', 'PPID CMD\n1 x\n'])('%j has no PID', (output) => {
    expect(() => filterTable(output, [1])).toThrow("couldn't find PID field in ps output");
  });
});

describe('findPs', () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'runcell-ps-'));
    for (const name of ['a', 'b', 'c']) mkdirSync(join(root, name));
    writeFileSync(join(root, 'a/ps'), 'not executable');
    for (const name of ['b', 'c']) {
      writeFileSync(join(root, name, 'ps'), '');
      chmodSync(join(root, name, 'ps'), 0o755);
    }
  });
  afterAll(() => rmSync(root, { recursive: true }));

  test('takes the first that can be executed', () => {
    expect(findPs(`${root}/a:${root}/c:${root}/b`, [])).toBe(`${root}/c/ps`);
  });

  test('the usual places come before PATH', () => {
    expect(findPs(`${root}/b`, [`${root}/c`])).toBe(`${root}/c/ps`);
  });

  test.each(['', '.', 'relative/b', '::'])('PATH %j has none', (path) => {
    expect(() => findPs(path, [])).toThrow(
      'ps: executable file not found in $PATH - install procps, or ask with --format json',
    );
  });
});
