/** Lists of CPUs. */

import { expect, test } from 'vitest';
import { parseCpuList } from '../../../src/libcontainer/linux/cpu-list.ts';

test.each([
  [
    '0-3,7',
    [
      [0, 3],
      [7, 7],
    ],
  ],
  [
    ' 1 , 2-2 ,',
    [
      [1, 1],
      [2, 2],
    ],
  ],
  ['', []],
  [',', []],
  ['8191', [[8191, 8191]]],
  ['8192', undefined],
  ['1 2', undefined],
  ['-1', undefined],
  ['1-', undefined],
  ['3-1', undefined],
  ['0x1', undefined],
])('parseCpuList %j', (text, ranges) => {
  expect(parseCpuList(text)).toEqual(ranges);
});
