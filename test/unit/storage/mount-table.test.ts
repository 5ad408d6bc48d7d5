/** /proc/self/mountinfo as storage reads it. */

import { expect, test } from 'vitest';
import {
  isMountPoint,
  loadMountTable,
  mountsBelow,
  parseMountTable,
} from '../../../src/storage/mount-table.ts';

const TEXT = [
  '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
  '54 22 0:47 / /srv/a\\040b,c\\134d rw - overlay none rw,lowerdir=/x',
  '55 54 0:48 / /srv/a\\040b,c\\134d/deep rw master:3 propagate_from:1 - tmpfs t rw',
  '56 22 0:49 / /srv/other rw - tmpfs - rw',
  '',
].join('\n');

test('parseMountTable unescapes targets and finds the type after the optional fields', () => {
  expect(parseMountTable(TEXT)).toEqual([
    { target: '/', type: 'ext4' },
    { target: '/srv/a b,c\\d', type: 'overlay' },
    { target: '/srv/a b,c\\d/deep', type: 'tmpfs' },
    { target: '/srv/other', type: 'tmpfs' },
  ]);
});

test('mountsBelow is about whole components', () => {
  const table = parseMountTable(TEXT);
  expect(mountsBelow(table, '/srv/a b,c\\d')).toEqual(['/srv/a b,c\\d/deep']);
  expect(mountsBelow(table, '/srv/oth')).toEqual([]);
  expect(mountsBelow(table, '/')).toHaveLength(3);
  expect(isMountPoint(table, '/srv/other')).toBe(true);
  expect(isMountPoint(table, '/srv')).toBe(false);
});

test('loadMountTable sees this machine', () => {
  expect(loadMountTable()).toContainEqual(expect.objectContaining({ target: '/proc' }));
});
