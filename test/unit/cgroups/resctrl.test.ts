/** The resctrl filesystem: where it is, and errors in the kernel's own words. */

import { describe, expect, test } from 'vitest';
import { Resctrl, resctrlMount } from '../../../src/libcontainer/cgroups/resctrl.ts';
import { errorOf } from '../oci/helpers.ts';
import { FakeResctrl } from './fake-resctrl.ts';

describe('resctrlMount', () => {
  const LINES = [
    '23 29 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw',
    '45 23 0:40 / /sys/fs/a\\040b rw,relatime shared:12 - resctrl resctrl rw,cdp',
  ];

  test('is the mount point of the first, with its blanks', () => {
    expect(resctrlMount(LINES.join('\n'))).toBe('/sys/fs/a b');
  });

  test('is undefined where no filesystem has the type', () => {
    expect(resctrlMount(LINES[0]!)).toBeUndefined();
    expect(resctrlMount('1 2 0:3 / / rw - tmpfs resctrl rw\n')).toBeUndefined();
  });
});

describe('Resctrl', () => {
  test('errors have the words of last_cmd_status', () => {
    using tree = new FakeResctrl();
    tree.lastStatus('Mask out of range\nand more\n');
    const error = errorOf(() => tree.write('no', 'schemata', 'L3:0=0\n'));
    expect(error.message).toBe(
      `write ${tree.root}/no/schemata: Mask out of range; and more (ENOENT)`,
    );
    tree.lastStatus('ok\n');
    expect(errorOf(() => tree.make('a/b')).message).toMatch(
      /no such file or directory \(ENOENT\)$/,
    );
  });

  test('a file that the kernel did not make is not made', () => {
    using tree = new FakeResctrl();
    expect(errorOf(() => tree.write('', 'task', '1')).errnoName).toBe('ENOENT');
  });

  test('removing what is gone is done; what is in use is told', () => {
    using tree = new FakeResctrl();
    expect(() => tree.remove('gone')).not.toThrow();
    tree.make('full');
    // Of an ordinary directory rmdir(2) removes nothing that has files.
    expect(errorOf(() => new Resctrl(tree.root).remove('full')).errnoName).toBe('ENOTEMPTY');
  });
});
