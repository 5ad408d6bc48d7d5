/**
 * Paths of the command line become absolute by words alone.
 */

import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { absolutePath, optionalPath } from '../../../src/commands/path.ts';

test.each(['/', '/a', '/a/../../b', 'a', './a', '../a', 'a//b/', '', '.', '..', '...', 'a/./b'])(
  '%j is what path.resolve says',
  (path) => {
    expect(absolutePath(path, '/cw/d')).toBe(posix.resolve('/cw/d', path));
  },
);

test('an empty path is none', () => {
  expect(optionalPath('', '/c')).toBeUndefined();
  expect(optionalPath(undefined, '/c')).toBeUndefined();
  expect(optionalPath('a', '/c')).toBe('/c/a');
});
