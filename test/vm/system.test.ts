/**
 * What the test system is. Other tests in this directory rely on it; where one of these fails, theirs
 * say nothing.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { expect, test } from 'vitest';
import { cgroup2Root, hostMounts, procStatus } from '../helpers/proc.ts';

const words = (path: string) => readFileSync(path, 'utf8').trim().split(' ');

test('the kernel is 6.12 or newer', () => {
  const [major, minor] = release().split('.').map(Number);
  expect(major! * 100 + minor!).toBeGreaterThanOrEqual(612);
});

test('cgroup2 is the only hierarchy and is at /sys/fs/cgroup', () => {
  expect(hostMounts().filter(({ type }) => type === 'cgroup')).toEqual([]);
  expect(cgroup2Root()).toBe('/sys/fs/cgroup');
});

test('every controller is there', () => {
  const wanted = ['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids', 'rdma', 'misc'];
  expect(words('/sys/fs/cgroup/cgroup.controllers')).toEqual(expect.arrayContaining(wanted));
});

test('systemd is pid 1, has booted, and its bus answers', () => {
  expect(readFileSync('/proc/1/comm', 'utf8')).toBe('systemd\n');
  const says = execFileSync('busctl', [
    'get-property',
    'org.freedesktop.systemd1',
    '/org/freedesktop/systemd1',
    'org.freedesktop.systemd1.Manager',
    'ControlGroup',
  ]);
  expect(says.toString()).toBe('s ""\n');
});

test('the tests run in a unit with delegation', () => {
  const own = readFileSync('/proc/self/cgroup', 'utf8').trim();
  expect(own).toBe('0::/system.slice/runcell-job.service');
  const controllers = words('/sys/fs/cgroup/system.slice/runcell-job.service/cgroup.controllers');
  // Those systemd knows; a container that asks for another turns it on all along the path.
  expect(controllers).toEqual(expect.arrayContaining(['cpuset', 'cpu', 'io', 'memory', 'pids']));
});

test('root has every capability the kernel knows', () => {
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  const all = ((1n << BigInt(last + 1)) - 1n).toString(16).padStart(16, '0');
  const { CapPrm, CapEff, CapBnd } = procStatus(process.pid);
  expect({ CapPrm, CapEff, CapBnd }).toEqual({ CapPrm: all, CapEff: all, CapBnd: all });
});
