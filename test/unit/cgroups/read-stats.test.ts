/** Which files of a group are read, and what counts as not there. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { groupFiles } from '../../../src/libcontainer/cgroups/read-stats.ts';

let group: string;

beforeEach(() => {
  group = mkdtempSync(join(tmpdir(), 'runcell-stats-'));
});
afterEach(() => rmSync(group, { recursive: true, force: true }));

describe('groupFiles', () => {
  test('gives what is there, and undefined for the rest', () => {
    writeFileSync(join(group, 'cpu.stat'), 'usage_usec 1\n');
    const files = groupFiles(group)!;
    expect(files.names).toEqual(['cpu.stat']);
    expect(files.read('cpu.stat')).toBe('usage_usec 1\n');
    expect(files.read('memory.current')).toBeUndefined();
  });

  test('a file that went since is not there', () => {
    writeFileSync(join(group, 'cpu.stat'), '');
    const files = groupFiles(group)!;
    rmSync(join(group, 'cpu.stat'));
    expect(files.read('cpu.stat')).toBeUndefined();
  });

  test('of a group that is gone there is nothing', () => {
    expect(groupFiles(join(group, 'none'))).toBeUndefined();
  });

  test('threads are counted in every group below', () => {
    mkdirSync(join(group, 'a/b'), { recursive: true });
    mkdirSync(join(group, 'c'));
    writeFileSync(join(group, 'cgroup.threads'), '1\n2\n');
    writeFileSync(join(group, 'a/cgroup.threads'), '');
    writeFileSync(join(group, 'a/b/cgroup.threads'), '3\n4\n5\n');
    expect(groupFiles(group)!.countThreads()).toBe(5);
  });
});
