/** GVariant texts read for a type that is known. */

import { expect, test } from 'vitest';
import { GvariantError, parseGvariant } from '../../../src/libcontainer/cgroups/gvariant.ts';

test.each([
  ['b', 'true', true],
  ['b', ' false ', false],
  ['b', 'boolean true', true],
  ['i', '15', 15n],
  ['i', 'int32 -5', -5n],
  ['i', '@i +7', 7n],
  ['u', '0xff', 255n],
  ['u', '017', 15n],
  ['y', 'byte 0x10', 16n],
  ['t', 'uint64 18446744073709551615', 18446744073709551615n],
  ['x', '-9223372036854775808', -9223372036854775808n],
  ['d', '1.5', 1.5],
  ['d', 'double -2e3', -2000],
  ['s', "'a b'", 'a b'],
  ['s', '"it\'s"', "it's"],
  ['s', "'it\\'s'", "it's"],
  ['s', "'\\u00e9\\U0001f600\\t\\\\'", 'é😀\t\\'],
  ['s', "string ''", ''],
  ['as', '[]', []],
  ['as', '@as []', []],
  ['as', '[\'a\', "b"]', ['a', 'b']],
  ['ay', '[1, 0x02, 255]', [1n, 2n, 255n]],
  ['ay', '@ay [byte 1]', [1n]],
  [
    'a(st)',
    "[('/dev/sda', uint64 5), ('/dev/sdb', 6)]",
    [
      ['/dev/sda', 5n],
      ['/dev/sdb', 6n],
    ],
  ],
])('%s %s', (type, text, value) => {
  expect(parseGvariant(text, type)).toEqual(value);
});

test.each([
  ['b', '1', 'true or false'],
  ['b', 'truefalse', 'true or false'],
  ['b', 'true false', 'the end'],
  ['i', 'uint64 5', 'a value of type i'],
  ['t', '-1', 'a number from 0 to 18446744073709551615'],
  ['t', '18446744073709551616', 'a number from 0'],
  ['y', '256', 'a number from 0 to 255'],
  ['i', '5.0', 'a whole number'],
  ['i', '08', 'a whole number'],
  ['i', "'5'", 'a whole number'],
  ['i', '5x', 'a whole number'],
  ['i', '', 'a whole number'],
  ['d', 'x', 'a number'],
  ['s', 'bare', 'a string in quotes'],
  ['s', "'open", 'the quote that ends the string'],
  ['s', "'open\\", 'the quote that ends the string'],
  ['s', "'a' 'b'", 'the end'],
  ['s', "'\\u0000'", 'text'],
  ['s', "'\\ud800'", 'text'],
  ['s', "'\\UFFFFFFFF'", 'a character of Unicode'],
  ['as', "'a'", '"["'],
  ['as', "['a' 'b']", '"]"'],
  ['as', "['a',]", 'a string in quotes'],
  ['as', '@au []', 'a value of type as'],
  ['as', '[5]', 'a string in quotes'],
  ['a(st)', "[('a')]", '","'],
  ['a(st)', "[('a', 5, 6)]", '")"'],
])('%s %j is none: expected %s', (type, text, wanted) => {
  expect(() => parseGvariant(text, type)).toThrow(GvariantError);
  expect(() => parseGvariant(text, type)).toThrow(`expected ${wanted}`);
});
