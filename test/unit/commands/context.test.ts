/**
 * Global flags and the caller's environment made into a context (reference/runtime-cli.md §1.2, §1.3).
 */

import { expect, test } from 'vitest';
import { Values } from '../../../src/argv.ts';
import { defaultRoot, makeContext, openVerbLog } from '../../../src/commands/context.ts';
import type { HandOver } from '../../../src/launcher/hand-over.ts';

const HAND_OVER = { env: ['A=1'], umask: 0o22, listenFds: 0 } as unknown as HandOver;

function context(given: Record<string, string | boolean>) {
  const globals = new Values();
  for (const [name, value] of Object.entries(given)) globals.set(name, value, false);
  return makeContext(globals, HAND_OVER, '/cwd', openVerbLog(globals, '/cwd'));
}

test('--root is made absolute', () => {
  expect(context({ root: 'r/../s' })).toMatchObject({ root: '/cwd/s', explicitRoot: true });
});

test('without --root the root is a default one', () => {
  expect(context({}).explicitRoot).toBe(false);
});

test.each([
  ['/', 'Option --root argument should not be set to /'],
  ['/a/..', 'Option --root argument should not be set to /'],
  ['', 'Option --root argument should not be empty'],
])('--root %j is refused', (root, message) => {
  expect(() => context({ root })).toThrow(message);
});

test.each([
  [['XDG_RUNTIME_DIR=/x'], 1000, '/x/runcell'],
  [['XDG_RUNTIME_DIR='], 1000, '/run/runcell'],
  [['XDG_RUNTIME_DIR=relative'], 1000, '/run/runcell'],
  [[], 1000, '/run/runcell'],
  [['XDG_RUNTIME_DIR=/x', 'USER=root'], 0, '/run/runcell'],
])('with %j user %i has root %s', (env, uid, root) => {
  expect(defaultRoot(env, uid)).toBe(root);
});

test.each([
  [{ rootless: 'true' }, '--rootless true: not supported yet'],
  [{ rootless: 'maybe' }, '--rootless: invalid value "maybe", it may be true, false or auto'],
  [{ 'cgroup-manager': 'x' }, '--cgroup-manager: invalid value "x"'],
  [{ 'log-format': 'xml' }, 'invalid log-format: xml'],
])('%j is refused', (given, message) => {
  expect(() => context(given as Record<string, string | boolean>)).toThrow(message);
});

test.each([
  { 'systemd-cgroup': false },
  { rootless: 'auto' },
  { rootless: 'false' },
  { 'cgroup-manager': 'cgroupfs' },
])('%j is accepted', (given) => {
  expect(context(given as Record<string, string | boolean>).env).toEqual(['A=1']);
});

test.each([
  [{}, 'cgroupfs'],
  [{ 'systemd-cgroup': true }, 'systemd'],
  [{ 'cgroup-manager': 'systemd' }, 'systemd'],
  [{ 'cgroup-manager': 'disabled' }, 'disabled'],
  [{ 'systemd-cgroup': true, 'cgroup-manager': 'cgroupfs' }, 'cgroupfs'],
  [{ 'systemd-cgroup': false, 'cgroup-manager': 'systemd' }, 'systemd'],
])('with %j groups are made by %s', (given, manager) => {
  expect(context(given as Record<string, string | boolean>).cgroupManager).toBe(manager);
});

test.each([
  [{}, false],
  [{ debug: true }, true],
  [{ verbose: true }, true],
])('with %j debug is %s', (given, debug) => {
  expect(context(given as Record<string, string | boolean>).debug).toBe(debug);
});
