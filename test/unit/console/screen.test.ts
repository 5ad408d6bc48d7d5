/** A picture in place of another: only lines that are others are written. */

import { describe, expect, test } from 'vitest';
import { pictureUpdate } from '../../../src/libcontainer/console/screen.ts';

const ESC = '\u001b';
const at = (row: number, text: string) => `${ESC}[${row};1H${text}${ESC}[K`;

describe('pictureUpdate', () => {
  test('the first picture clears the screen', () => {
    expect(pictureUpdate(undefined, ['a', 'b'])).toBe(`${ESC}[2J${at(1, 'a')}${at(2, 'b')}`);
  });

  test('the same picture writes nothing', () => {
    expect(pictureUpdate(['a', 'b'], ['a', 'b'])).toBe('');
  });

  test('a line that changed is written at its place', () => {
    expect(pictureUpdate(['a', 'b', 'c'], ['a', 'x', 'c'])).toBe(at(2, 'x'));
  });

  test('a line more is written', () => {
    expect(pictureUpdate(['a'], ['a', ''])).toBe(at(2, ''));
  });

  test('lines that are gone are erased', () => {
    expect(pictureUpdate(['a', 'b', 'c'], ['a'])).toBe(`${ESC}[2;1H${ESC}[J`);
  });
});
