/** What is asked of the kernel by system calls is what its files say. */

import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { expect, test } from 'vitest';
import { kernelVersion, probeCapabilities } from '../../../src/libcontainer/host/probe.ts';

test('kernelVersion is that of uname -r', () => {
  const [major, minor] = release().split(/[.-]/).map(Number);
  expect(kernelVersion()).toEqual([major, minor]);
});

test('probeCapabilities: the permitted set of /proc/self/status, the last of cap_last_cap', () => {
  const [, permitted] = /^CapPrm:\t([0-9a-f]{16})$/m.exec(
    readFileSync('/proc/self/status', 'utf8'),
  )!;
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  expect(probeCapabilities()).toEqual({ permitted: BigInt(`0x${permitted}`), last });
});
