/** What brings a group's file back to what was in it. */

import { describe, expect, test } from 'vitest';
import { rollbackValue } from '../../../src/libcontainer/cgroups/rollback.ts';

describe('rollbackValue', () => {
  test.each([
    ['memory.max', '5', 'max\n', 'max'],
    ['cpu.max', '5000 10000', '7000 10000\n', '7000 10000'],
    ['cpuset.cpus', '0', '\n', '\n'],
    ['cpuset.cpus', '0', '', '\n'],
    ['io.max', '8:0 rbps=5', '', '8:0 rbps=max wbps=max riops=max wiops=max'],
    [
      'io.max',
      '8:0 rbps=5',
      '8:16 rbps=1 wbps=max riops=max wiops=max\n8:0 rbps=9 wbps=max riops=max wiops=max\n',
      '8:0 rbps=9 wbps=max riops=max wiops=max',
    ],
    ['io.weight', '50', 'default 100\n8:0 7\n', 'default 100'],
    ['io.weight', '8:0 50', 'default 100\n8:0 7\n', '8:0 7'],
    ['io.weight', '8:0 50', 'default 100\n8:01 7\n', '8:0 default'],
    ['io.weight', 'default 50', 'default 100\n', 'default 100'],
    ['io.bfq.weight', '50', '100\n', '100'],
    ['io.bfq.weight', '50', 'default 100\n', 'default 100'],
    [
      'rdma.max',
      'mlx hca_handle=1',
      'mlx hca_handle=max hca_object=2\n',
      'mlx hca_handle=max hca_object=2',
    ],
    ['rdma.max', 'mlx hca_handle=1', '', 'mlx hca_handle=max hca_object=max'],
  ])('%s after %j over %j', (file, written, before, expected) => {
    expect(rollbackValue(file, written, before)).toBe(expected);
  });
});
