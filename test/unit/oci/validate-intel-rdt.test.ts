/** linux.intelRdt: what can be told without a machine that has it. */

import type { Config, LinuxIntelRdt } from '@opencontainers-ts/spec';
import { expect, test } from 'vitest';
import { noFindings } from '../../../src/oci/validate/findings.ts';
import { checkIntelRdt } from '../../../src/oci/validate/intel-rdt.ts';

function problems(intelRdt: LinuxIntelRdt, id = 'c1'): string[] {
  const findings = noFindings();
  const config = { ociVersion: '1.3.0', linux: { intelRdt } } as Config;
  checkIntelRdt({ config, linux: { intelRdt }, findings }, id);
  return findings.problems.map(({ path, reason }) => `${path}: ${reason}`);
}

test.each(['', '/', 'gold', 'a b', '...'])('closID %j', (closID) => {
  expect(problems({ closID })).toEqual([]);
});

test.each(['.', '..', 'a/b', '/a', 'a\nb', 'info', 'mon_groups', 'mon_data'])(
  'closID %j is none',
  (closID) => {
    expect(problems({ closID })).toEqual(['linux.intelRdt.closID: is no name of a group']);
  },
);

test("the container's id counts where there is no closID", () => {
  const reason = "the container's id info is no name of a group";
  expect(problems({}, 'info')).toEqual([`linux.intelRdt.closID: ${reason}`]);
  expect(problems({ closID: 'gold' }, 'info')).toEqual([]);
});

test('lines are lines; of the cache there may be several', () => {
  expect(problems({ schemata: ['L3:0=f', 'MB:0=1\nL2:0=1'] })).toEqual([
    'linux.intelRdt.schemata[1]: must be one line',
  ]);
  expect(problems({ memBwSchema: 'MB:0=1\nMB:1=1' })).toEqual([
    'linux.intelRdt.memBwSchema: must be one line',
  ]);
  expect(problems({ memBwSchema: 'MB:0=1\n', l3CacheSchema: 'L3:0=1\nMB:0=1' })).toEqual([]);
});
