/** What the caller's environment says of its terminal. */

import { describe, expect, test } from 'vitest';
import { usesUnicode, wantsColour } from '../../../src/commands/top.ts';

describe('usesUnicode', () => {
  test.each<[string[], boolean]>([
    [['LANG=C.UTF-8'], true],
    [['LANG=de_DE.utf8'], true],
    [['LANG=C.UTF-8', 'LC_ALL=C'], false],
    [['LANG=C', 'LC_CTYPE=en_US.UTF-8'], true],
    [['LANG=C.UTF-8', 'LC_ALL='], true],
    [['LANG=C'], false],
    [[], false],
  ])('%j: %s', (env, expected) => {
    expect(usesUnicode(env)).toBe(expected);
  });
});

describe('wantsColour', () => {
  test.each<[string[], boolean]>([
    [['TERM=xterm'], true],
    [['TERM=dumb'], false],
    [['TERM=xterm', 'NO_COLOR=1'], false],
    [['TERM=xterm', 'NO_COLOR='], true],
  ])('%j: %s', (env, expected) => {
    expect(wantsColour(env)).toBe(expected);
  });
});
