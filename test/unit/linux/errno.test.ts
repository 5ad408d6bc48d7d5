/** Every error number has its name and its text; the two tables are beside each other by number. */

import { expect, test } from 'vitest';
import { ERRNO, errnoName, errnoText } from '../../../src/libcontainer/linux/errno.ts';

test.each(Object.entries(ERRNO))('%s', (name, number) => {
  expect(errnoName(number)).toBe(name);
  expect(errnoText(number)).toMatch(/^[a-z./][a-z0-9 ./():-]+$/);
});

// From both ends and the middle: a text that is missing would shift those behind it.
test.each([
  ['EPERM', 'operation not permitted'],
  ['EDEADLK', 'resource deadlock avoided'],
  ['ENOSYS', 'function not implemented'],
  ['ENOMSG', 'no message of desired type'],
  ['EBADE', 'invalid exchange'],
  ['EOPNOTSUPP', 'operation not supported'],
  ['EHWPOISON', 'memory page has hardware error'],
] as const)('%s is %s', (name, text) => {
  expect(errnoText(ERRNO[name])).toBe(text);
});

test.each([0, -1, 41, 58, 134, 4095])('%i is none', (number) => {
  expect(errnoName(number)).toBeUndefined();
  expect(errnoText(number)).toBe(`unknown error ${number}`);
});
