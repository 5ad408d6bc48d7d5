/** Which scope a `cgroupsPath` means (runtime-cli.md §6.1). */

import { expect, test } from 'vitest';
import {
  expandSlice,
  scopeUnit,
  versionNumber,
} from '../../../src/libcontainer/cgroups/systemd-unit.ts';

const unit = (cgroupsPath: string | undefined, user = false, id = 'c1') =>
  scopeUnit({ cgroupsPath, id, user });

test.each([
  ['system.slice:docker:abc', 'docker-abc.scope', '/system.slice/docker-abc.scope'],
  [':crio:abc', 'crio-abc.scope', '/system.slice/crio-abc.scope'],
  ['-.slice:p:n', 'p-n.scope', '/p-n.scope'],
  ['a-b-c.slice:p:n', 'p-n.scope', '/a.slice/a-b.slice/a-b-c.slice/p-n.scope'],
  ['a.slice::n', '-n.scope', '/a.slice/-n.scope'],
  ['a.slice:_p:n', '_p-n.scope', '/a.slice/__p-n.scope'],
  ['cgroup.a.slice:p:n', 'p-n.scope', '/_cgroup.a.slice/p-n.scope'],
  ['a.slice:memory.x:n', 'memory.x-n.scope', '/a.slice/_memory.x-n.scope'],
])('%s is %s at %s', (given, name, path) => {
  expect(unit(given)).toMatchObject({ name, path });
});

test('without a path it is a scope of the id in the manager’s usual slice', () => {
  for (const path of [undefined, '']) {
    expect(unit(path)).toEqual({
      name: 'runcell-c1.scope',
      slice: 'system.slice',
      path: '/system.slice/runcell-c1.scope',
      description: 'libcontainer container c1',
    });
  }
  expect(unit('', true)).toMatchObject({ slice: 'user.slice' });
  expect(unit('', false, 'a+b')).toMatchObject({
    name: 'runcell-a\\x2bb.scope',
    description: 'libcontainer container a+b',
  });
});

test.each([
  [
    '/a/b',
    'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/a/b" instead',
  ],
  ['a:b', 'expected cgroupsPath to be of format'],
  ['a.slice:b:c:d', 'expected cgroupsPath to be of format'],
  ['a:p:n', 'invalid slice name: a'],
  ['.slice:p:n', 'invalid slice name: .slice'],
  ['a--b.slice:p:n', 'invalid slice name: a--b.slice'],
  ['-a.slice:p:n', 'invalid slice name: -a.slice'],
  ['a-.slice:p:n', 'invalid slice name: a-.slice'],
  ['a/b.slice:p:n', 'invalid slice name: a/b.slice'],
  ['a b.slice:p:n', 'invalid slice name: a b.slice'],
  ['a.slice:p:', 'is no name of a unit'],
  ['a.slice:p:x y', 'is no name of a unit'],
  ['a.slice:p:x/y', 'is no name of a unit'],
  ['a.slice:p:x\ny', 'is no name of a unit'],
  ['a.slice:p@:x', 'is no name of a unit'],
  [`a.slice:p:${'x'.repeat(250)}`, 'is no name of a unit'],
  [`${'x'.repeat(250)}.slice:p:n`, 'invalid slice name'],
  ['a.slice:p:b.slice', 'b.slice is a slice'],
])('%j is refused: %s', (given, reason) => {
  expect(() => unit(given)).toThrow(reason);
});

test('a name of 255 characters is one', () => {
  const last = 'x'.repeat(255 - 'p-.scope'.length);
  expect(unit(`a.slice:p:${last}`).name).toHaveLength(255);
  expect(() => unit(`a.slice:p:${last}x`)).toThrow('is no name of a unit');
});

test('a slice is below those whose names begin its own', () => {
  expect(expandSlice('system.slice')).toBe('/system.slice');
  expect(expandSlice('kubepods-burstable-pod1.slice')).toBe(
    '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice',
  );
  expect(expandSlice('-.slice')).toBe('');
});

test.each([
  ['252.38-1~deb12u1', 252],
  ['v245.4-1.fc32', 245],
  ['257', 257],
  ['', -1],
  ['systemd 249', -1],
])('version %j is %i', (text, number) => {
  expect(versionNumber(text)).toBe(number);
});
