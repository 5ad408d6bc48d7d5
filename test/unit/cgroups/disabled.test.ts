/** What can do without a group, and what cannot. */

import { expect, test } from 'vitest';
import { checkNoGroup } from '../../../src/libcontainer/cgroups/disabled.ts';

const OPTIONS = { at: 'linux.resources', zeroPids: true };

test.each([
  [{}],
  [{ cgroupsPath: '', resources: {} }],
  [{ resources: { devices: [{ allow: false, access: 'rwm' }] } }],
  [{ resources: { memory: { limit: 0 }, pids: { limit: -1 }, cpu: { shares: 0 }, unified: {} } }],
])('%j is nothing', (linux) => {
  expect(() => checkNoGroup(linux, OPTIONS)).not.toThrow();
});

test.each([
  [{ cgroupsPath: '/a' }, 'linux.cgroupsPath /a: needs a cgroup'],
  [{ resources: { memory: { limit: 5 } } }, 'linux.resources.memory.limit 5: needs a cgroup'],
  [{ resources: { pids: { limit: 0 } } }, 'linux.resources.pids.limit 1: needs a cgroup'],
  [{ resources: { unified: { 'cgroup.max.depth': '1' } } }, 'unified["cgroup.max.depth"] 1'],
])('%j needs one', (linux, text) => {
  expect(() => checkNoGroup(linux, OPTIONS)).toThrow(text);
});
