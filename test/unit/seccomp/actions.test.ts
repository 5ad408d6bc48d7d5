/** SCMP_ACT_* as seccomp(2) has them. */

import { expect, test } from 'vitest';
import { actionOf } from '../../../src/libcontainer/seccomp/actions.ts';

test('every action, with its errno or message', () => {
  expect(actionOf('SCMP_ACT_KILL', undefined)).toBe(0);
  expect(actionOf('SCMP_ACT_KILL_THREAD', undefined)).toBe(0);
  expect(actionOf('SCMP_ACT_KILL_PROCESS', undefined)).toBe(0x80000000);
  expect(actionOf('SCMP_ACT_TRAP', undefined)).toBe(0x30000);
  expect(actionOf('SCMP_ACT_ERRNO', undefined)).toBe(0x50001);
  expect(actionOf('SCMP_ACT_ERRNO', 0)).toBe(0x50000);
  expect(actionOf('SCMP_ACT_ERRNO', 38)).toBe(0x50026);
  expect(actionOf('SCMP_ACT_TRACE', undefined)).toBe(0x7ff00001);
  expect(actionOf('SCMP_ACT_TRACE', 0xffff)).toBe(0x7ff0ffff);
  expect(actionOf('SCMP_ACT_NOTIFY', undefined)).toBe(0x7fc00000);
  expect(actionOf('SCMP_ACT_LOG', undefined)).toBe(0x7ffc0000);
  expect(actionOf('SCMP_ACT_ALLOW', undefined)).toBe(0x7fff0000);
});
