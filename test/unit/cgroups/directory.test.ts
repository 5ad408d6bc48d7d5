/** linux.cgroupsPath → directory: absolute, relative, absent; never out of the hierarchy. */

import { describe, expect, test } from 'vitest';
import { cgroupDirectory } from '../../../src/libcontainer/cgroups/v2.ts';

const ROOT = '/sys/fs/cgroup';
const directory = (path: string | undefined, own = '/user.slice/session'): string =>
  cgroupDirectory(ROOT, own, path, 'c1');

describe('cgroupDirectory', () => {
  test.each<[string | undefined, string]>([
    ['/a/b', '/a/b'],
    ['//a/./b/', '/a/b'],
    ['a/b', '/user.slice/a/b'],
    ['./a', '/user.slice/a'],
    [undefined, '/user.slice/c1'],
    ['', '/user.slice/c1'],
    ['/a..b/..c', '/a..b/..c'],
  ])('%s is %s', (path, expected) => {
    expect(directory(path)).toBe(ROOT + expected);
  });

  test.each([
    ['/', '/c1'],
    ['/one', '/c1'],
    ['', '/c1'],
  ])('beside the own group %j', (own, expected) => {
    expect(directory(undefined, own)).toBe(ROOT + expected);
  });

  test.each([
    ['/', 'is the root of the hierarchy'],
    ['//.', 'is the root of the hierarchy'],
    ['..', 'leads out with ..'],
    ['../x', 'leads out with ..'],
    ['a/../../b', 'leads out with ..'],
    ['/a/..', 'leads out with ..'],
  ])('%s is refused: %s', (path, reason) => {
    expect(() => directory(path)).toThrow(`linux.cgroupsPath ${path}: ${reason}`);
  });
});
