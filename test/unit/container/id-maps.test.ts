/** Id maps are written for a process that waits in a new user namespace; nobody is there here. */

import { describe, expect, test } from 'vitest';
import { writeIdMaps } from '../../../src/libcontainer/container/id-maps.ts';
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
