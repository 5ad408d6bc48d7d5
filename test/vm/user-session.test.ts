/**
 * The ordinary user of the test system: what a rootless container has to work with. systemd's
 * user@.service delegates the controllers that scripts/vm/recipe.ts names.
 */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asUser, endSession, startSession, user } from '../helpers/user-session.ts';

beforeAll(startSession);
afterAll(endSession);

function output(...command: string[]): string {
  const { status, stdout, stderr } = asUser(command);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.trim();
}

test('is nobody special and has no capability', () => {
  expect(output('id', '-u')).toBe(`${user.uid}`);
  expect(output('sed', '-n', 's/CapEff:\\t//p', '/proc/self/status')).toBe('0000000000000000');
});

test('has a manager that answers', () => {
  expect(output('systemctl', '--user', 'is-system-running')).toMatch(/^(running|starting)$/);
});

test('has a scope below user.slice with the delegated controllers', () => {
  const script =
    'cut -d: -f3 /proc/self/cgroup; cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cgroup.controllers';
  const [group, controllers] = output('sh', '-c', script).split('\n');
  expect(group).toMatch(`/user.slice/user-${user.uid}.slice/user@${user.uid}.service/app.slice/`);
  expect(controllers).toBe('cpuset cpu io memory pids');
});

test('may make a group in its scope', () => {
  const script = 'd=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); mkdir "$d/x" && rmdir "$d/x"';
  expect(output('sh', '-c', script)).toBe('');
});

test('has subordinate ids that newuidmap maps', () => {
  expect(readFileSync('/etc/subuid', 'utf8')).toContain(
    `${user.name}:${user.firstSubordinate}:65536\n`,
  );
  const script = 'cat /proc/self/uid_map | tr -s " "';
  const map = output('unshare', '--user', '--map-auto', '--map-root-user', 'sh', '-c', script);
  const lines = map.split('\n').map((line) => line.trim());
  // unshare(1) leaves one of the range unused, to make room for root.
  expect(lines).toEqual([`0 ${user.uid} 1`, `1 ${user.firstSubordinate} 65535`]);
});
