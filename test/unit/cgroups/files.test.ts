/** Files of a group: only of cgroup2, only what exists, errors by number. */

import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  GroupDirectory,
  readGroupFile,
  writeGroupFile,
} from '../../../src/libcontainer/cgroups/files.ts';
import { ERRNO } from '../../../src/libcontainer/linux/errno.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/group-`);
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('files of a group', () => {
  test('are never made by a write', () => {
    expect(writeGroupFile(`${directory}/memory.max`, '1')).toBe(ERRNO.ENOENT);
    expect(readGroupFile(`${directory}/memory.max`)).toBe('');
  });

  test('are written as they are, and read back', () => {
    writeFileSync(`${directory}/memory.max`, '');
    expect(writeGroupFile(`${directory}/memory.max`, '12')).toBe(0);
    expect(readGroupFile(`${directory}/memory.max`)).toBe('12');
  });

  test('are not written through a link', () => {
    writeFileSync(`${directory}/victim`, 'x');
    symlinkSync('victim', `${directory}/memory.max`);
    expect(writeGroupFile(`${directory}/memory.max`, '12')).toBe(ERRNO.ELOOP);
    expect(readFileSync(`${directory}/victim`, 'utf8')).toBe('x');
  });
});

describe('GroupDirectory', () => {
  test('refuses a directory that is not of cgroup2', () => {
    expect(() => new GroupDirectory(directory)).toThrow(/is not on a cgroup2 filesystem/);
  });

  test('names the group that is not there', () => {
    expect(() => new GroupDirectory(`${directory}/none`)).toThrow(/open the cgroup .*none.*ENOENT/);
  });
});
