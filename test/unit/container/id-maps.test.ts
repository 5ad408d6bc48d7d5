/**
 * Id maps are written for a process that waits in a new user namespace, and nobody is there here; of
 * one that is joined they are compared with what the kernel says of a process.
 */

import { readFileSync } from 'node:fs';
import type { IDMapping } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { compareIdMaps, writeIdMaps } from '../../../src/libcontainer/container/id-maps.ts';
import { errorOf } from '../oci/helpers.ts';

describe('writeIdMaps', () => {
  test('names the field, the file and the map that could not be written', () => {
    const maps = {
      uidMappings: [{ containerID: 0, hostID: 1000, size: 2 }],
      gidMappings: [],
    };
    // No process has this number: pid_max is at most 2^22.
    const error = errorOf(() => writeIdMaps(2 ** 22 + 1, maps, 'linux'));
    const file = process.geteuid!() === 0 ? 'uid_map' : 'setgroups';
    expect(error.fields.operation).toBe(`write ${file}`);
    expect(error.fields.specPath).toMatch(/^linux\.[ug]idMappings$/);
    expect(error.errnoName).toBe('ENOENT');
  });
});

const own = (): IDMapping[] =>
  readFileSync('/proc/self/uid_map', 'latin1')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number, number])
    .map(([containerID, hostID, size]) => ({ containerID, hostID, size }));

describe('compareIdMaps', () => {
  test('none are asked for, or its own', () => {
    expect(() => compareIdMaps(process.pid, {})).not.toThrow();
    expect(() => compareIdMaps(process.pid, { uidMappings: own() })).not.toThrow();
  });

  test('others are refused with both', () => {
    const uidMappings = [{ containerID: 0, hostID: 7, size: 1 }];
    expect(() => compareIdMaps(process.pid, { uidMappings })).toThrow(
      /^linux\.uidMappings 0 7 1: the user namespace that is joined has other mappings: \d/,
    );
  });
});
