/** Types of D-Bus and the bytes of the basic ones. */

import { expect, test } from 'vitest';
import {
  completeTypes,
  decodeBasic,
  encodeBasic,
} from '../../../src/libcontainer/native/bus-value.ts';

test.each([
  ['', []],
  ['s', ['s']],
  ['ssa(sv)a(sa(sv))', ['s', 's', 'a(sv)', 'a(sa(sv))']],
  ['aauv(i(ss))', ['aau', 'v', '(i(ss))']],
])('%s is %j', (signature, types) => {
  expect(completeTypes(signature)).toEqual(types);
});

test.each(['a', '(', '()', '(s', 's)', 'z', 'a{sv}', 'h'])('%s is no signature', (signature) => {
  expect(() => completeTypes(signature)).toThrow('not a signature of D-Bus');
});

test.each([
  ['b', true, true],
  ['b', false, false],
  ['y', 255n, 255],
  ['n', -2n, -2],
  ['q', 65535, 65535],
  ['i', -5n, -5],
  ['u', 4294967295, 4294967295],
  ['x', -5n, -5n],
  ['t', 18446744073709551615n, 18446744073709551615n],
  ['d', 1.5, 1.5],
])('%s %s comes back', (type, value, back) => {
  expect(decodeBasic(type, encodeBasic(type, value))).toBe(back);
});
