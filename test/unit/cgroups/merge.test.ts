/** Limits in force after an update: absent stays, given counts, lists by their keys. */

import { describe, expect, test } from 'vitest';
import { mergeResources } from '../../../src/libcontainer/cgroups/merge.ts';

const OLD = {
  devices: [{ allow: false, access: 'rwm' }],
  memory: { limit: 100, swap: 200, checkBeforeUpdate: true },
  cpu: { quota: 5000, period: 10000, cpus: '0' },
  pids: { limit: 10 },
  blockIO: {
    weight: 100,
    throttleReadBpsDevice: [
      { major: 8, minor: 0, rate: 1 },
      { major: 8, minor: 16, rate: 2 },
    ],
  },
  hugepageLimits: [{ pageSize: '2MB', limit: 5 }],
  unified: { 'memory.high': '50' },
};

describe('mergeResources', () => {
  test('nothing given changes nothing', () => {
    expect(mergeResources(OLD, {})).toEqual(OLD);
    const zeros = { memory: { limit: 0, swap: 0 }, cpu: { quota: 0, cpus: '' }, devices: [] };
    expect(mergeResources(OLD, zeros)).toEqual(OLD);
  });

  test('a field replaces its own alone', () => {
    const merged = mergeResources(OLD, { cpu: { quota: 7000 }, memory: { limit: 2n ** 62n } });
    expect(merged.cpu).toEqual({ quota: 7000, period: 10000, cpus: '0' });
    expect(merged.memory).toEqual({ limit: 2n ** 62n, swap: 200, checkBeforeUpdate: true });
  });

  test('zeros that are values count', () => {
    const merged = mergeResources(OLD, { pids: { limit: 0 }, cpu: { idle: 0, burst: 0 } });
    expect(merged.pids).toEqual({ limit: 0 });
    expect(merged.cpu).toMatchObject({ idle: 0, burst: 0, quota: 5000 });
  });

  test('memory without limit has swap without limit, unless one is given', () => {
    expect(mergeResources(OLD, { memory: { limit: -1 } }).memory).toMatchObject({ swap: -1 });
    const both = { memory: { limit: -1, swap: 7 } };
    expect(mergeResources(OLD, both).memory).toMatchObject({ swap: 7 });
  });

  test('devices and page sizes are told apart by their numbers', () => {
    const merged = mergeResources(OLD, {
      blockIO: {
        throttleReadBpsDevice: [
          { major: 8, minor: 16, rate: 9 },
          { major: 8, minor: 32, rate: 3 },
        ],
      },
      hugepageLimits: [{ pageSize: '1GB', limit: 1 }],
      unified: { 'memory.high': '', 'pids.max': '3' },
    });
    expect(merged.blockIO).toEqual({
      weight: 100,
      throttleReadBpsDevice: [
        { major: 8, minor: 0, rate: 1 },
        { major: 8, minor: 16, rate: 9 },
        { major: 8, minor: 32, rate: 3 },
      ],
    });
    expect(merged.hugepageLimits).toEqual([
      { pageSize: '2MB', limit: 5 },
      { pageSize: '1GB', limit: 1 },
    ]);
    expect(merged.unified).toEqual({ 'memory.high': '', 'pids.max': '3' });
  });

  test('rules for devices and what was before are left as they are', () => {
    const before = structuredClone(OLD);
    const merged = mergeResources(OLD, { devices: [{ allow: true }], pids: { limit: 1 } });
    expect(merged.devices).toEqual(OLD.devices);
    expect(OLD).toEqual(before);
    expect(mergeResources({}, { pids: { limit: 1 } })).toEqual({ pids: { limit: 1 } });
  });
});
