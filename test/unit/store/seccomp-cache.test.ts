/** Kept filters: what fits comes back, what does not is nothing. */

import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readFilter, writeFilter } from '../../../src/libcontainer/store/seccomp-cache.ts';

const SOURCE = Buffer.from('v1 x64 {"defaultAction":"SCMP_ACT_ALLOW"}');
const FILTER = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]);

let root = '';
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/runcell-filters-`);
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const entry = () => `${root}/seccomp/${readdirSync(`${root}/seccomp`)[0]}`;

describe('an entry', () => {
  test('comes back, and is nobody else’s to write', () => {
    expect(readFilter(root, SOURCE)).toBeUndefined();
    writeFilter(root, SOURCE, FILTER);
    expect(readFilter(root, SOURCE)?.equals(FILTER)).toBe(true);
    expect(statSync(entry()).mode & 0o777).toBe(0o600);
    expect(statSync(`${root}/seccomp`).mode & 0o777).toBe(0o700);
  });

  test('is of its source alone, under whatever name', () => {
    writeFilter(root, SOURCE, FILTER);
    const bytes = readFileSync(entry());
    rmSync(entry());
    const other = Buffer.from('v2 x64 {"defaultAction":"SCMP_ACT_ALLOW"}');
    writeFilter(root, other, FILTER);
    // As if the two names were equal.
    writeFileSync(entry(), bytes);
    expect(readFilter(root, other)).toBeUndefined();
  });

  test('that was damaged anywhere is none', () => {
    writeFilter(root, SOURCE, FILTER);
    const whole = readFileSync(entry());
    for (let i = 0; i < whole.length; i++) {
      const damaged = Buffer.from(whole);
      damaged[i]! ^= 0x10;
      writeFileSync(entry(), damaged);
      expect(readFilter(root, SOURCE), `byte ${i}`).toBeUndefined();
    }
    for (const length of [0, 3, 15, 16, whole.length - 1]) {
      writeFileSync(entry(), whole.subarray(0, length));
      expect(readFilter(root, SOURCE), `${length} bytes`).toBeUndefined();
    }
  });

  test('that others may write, or a link, is none', () => {
    writeFilter(root, SOURCE, FILTER);
    const file = entry();
    chmodSync(file, 0o620);
    expect(readFilter(root, SOURCE)).toBeUndefined();
    chmodSync(file, 0o600);
    const bytes = readFileSync(file);
    writeFileSync(`${root}/elsewhere`, bytes, { mode: 0o600 });
    rmSync(file);
    symlinkSync(`${root}/elsewhere`, file);
    expect(readFilter(root, SOURCE)).toBeUndefined();
  });

  test('makes room when there are many', () => {
    for (let i = 0; i < 70; i++) writeFilter(root, Buffer.from(`source ${i}`), FILTER);
    expect(readdirSync(`${root}/seccomp`).length).toBeLessThanOrEqual(64);
    expect(readFilter(root, Buffer.from('source 69'))?.equals(FILTER)).toBe(true);
  });

  test('cannot be written: nothing happens', () => {
    writeFilter(`${root}/no/\0`, SOURCE, FILTER);
    writeFileSync(`${root}/seccomp`, '');
    writeFilter(root, SOURCE, FILTER);
    expect(readFilter(root, SOURCE)).toBeUndefined();
  });
});
