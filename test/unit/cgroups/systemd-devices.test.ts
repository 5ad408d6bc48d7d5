/** Device rules in systemd's words: never narrower than the filter (runtime-cli.md §6.2). */

import type { LinuxDeviceCgroup } from '@opencontainers-ts/spec';
import { expect, test } from 'vitest';
import { deviceRules } from '../../../src/libcontainer/cgroups/device-filter.ts';
import { deviceProperties } from '../../../src/libcontainer/cgroups/systemd-devices.ts';

const NONE = { allow: false, access: 'rwm' };
const STANDARD = [
  ['char-*', 'm'],
  ['block-*', 'm'],
  ['/dev/char/1:3', 'rwm'],
  ['/dev/char/1:8', 'rwm'],
  ['/dev/char/1:7', 'rwm'],
  ['/dev/char/5:0', 'rwm'],
  ['/dev/char/1:5', 'rwm'],
  ['/dev/char/1:9', 'rwm'],
  ['char-136', 'rwm'],
  ['/dev/char/5:2', 'rwm'],
  ['/dev/char/10:200', 'rwm'],
];

function read(devices: LinuxDeviceCgroup[], version = 257) {
  const list = deviceProperties(deviceRules({ resources: { devices } }), version);
  return list.map(({ name, value }) => [name, value]);
}

test('the default rules are those that every container has', () => {
  expect(read([NONE])).toEqual([
    ['DevicePolicy', 'strict'],
    ['DeviceAllow', []],
    ['DeviceAllow', STANDARD],
  ]);
});

test.each<[LinuxDeviceCgroup, [string, string]]>([
  [{ allow: true, type: 'b', major: 8, minor: 0, access: 'r' }, ['/dev/block/8:0', 'r']],
  [{ allow: true, type: 'c', major: 10, access: 'rw' }, ['char-10', 'rw']],
  [{ allow: true, type: 'b', access: 'r' }, ['block-*', 'rm']],
  [{ allow: true, type: 'c', minor: 5, access: 'r' }, ['char-*', 'rm']],
])('%j', (rule, entry) => {
  expect(read([NONE, rule])[2]![1]).toContainEqual(entry);
});

test('letters of one device are put together, in their order', () => {
  const rule = (access: string) => ({ allow: true, type: 'c', major: 7, minor: 7, access });
  expect(read([NONE, rule('w'), rule('r')])[2]![1]).toContainEqual(['/dev/char/7:7', 'rw']);
});

test('a rule that denies takes nothing from the list: that is the filter’s', () => {
  const all = { allow: true, type: 'c', major: 7, access: 'rwm' };
  const one = { allow: false, type: 'c', major: 7, minor: 1, access: 'rwm' };
  expect(read([NONE, all, one])[2]![1]).toContainEqual(['char-7', 'rwm']);
});

test('a rule about everything ends what came before', () => {
  const everything = { allow: true, access: 'rwm' };
  const auto = [
    ['DevicePolicy', 'auto'],
    ['DeviceAllow', []],
  ];
  expect(read([NONE, everything])).toEqual(auto);
  expect(read([everything, NONE])[2]![1]).toEqual(STANDARD);
});

test('an older systemd, which cannot say it, keeps out of it', () => {
  expect(read([NONE], 244)).toEqual([
    ['DevicePolicy', 'auto'],
    ['DeviceAllow', []],
  ]);
});
