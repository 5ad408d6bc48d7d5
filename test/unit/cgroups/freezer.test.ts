/**
 * Freezing on plain files that play a group whose processes do not stop, or stop on their own: what
 * waits, what is undone, what is told. The kernel's side is in test/integration/pause.test.ts.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freezeCgroup, thawCgroup } from '../../../src/libcontainer/cgroups/freezer.ts';

let root: string;
let group: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'runcell-freezer-'));
  group = join(root, 'parent/group');
  mkdirSync(group, { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

function play(frozen: 0 | 1, wish: 0 | 1): void {
  writeFileSync(`${group}/cgroup.events`, `populated 1\nfrozen ${frozen}\n`);
  writeFileSync(`${group}/cgroup.freeze`, `${wish}\n`);
  writeFileSync(`${group}/cgroup.procs`, '41\n42\n');
}

const wish = () => readFileSync(`${group}/cgroup.freeze`, 'latin1');

describe('freezeCgroup', () => {
  test('returns when all have stopped', () => {
    play(1, 0);
    freezeCgroup(group, 50);
    expect(wish()).toBe('1');
  });

  test('thaws again what does not stop in time, and names who was waited for', () => {
    play(0, 0);
    const started = performance.now();
    expect(() => freezeCgroup(group, 50)).toThrow(
      `freeze the cgroup ${group}: its processes have not stopped after 0.05 s` +
        ' - see /proc/PID/stack for what they wait for: 41 42',
    );
    expect(performance.now() - started).toBeGreaterThan(45);
    expect(wish()).toBe('0');
  });

  test('of a group that is gone names it', () => {
    expect(() => freezeCgroup(`${group}/none`, 50)).toThrow(
      `freeze the cgroup ${group}/none: no such file or directory (ENOENT)`,
    );
  });
});

describe('thawCgroup', () => {
  test('returns when they run', () => {
    play(0, 1);
    thawCgroup(group, 50);
    expect(wish()).toBe('0');
  });

  test('below a frozen group is refused at once and left frozen', () => {
    play(1, 1);
    writeFileSync(join(root, 'parent/cgroup.freeze'), '1\n');
    const started = performance.now();
    expect(() => thawCgroup(group, 5000)).toThrow(
      `thaw the cgroup ${group}: ${root}/parent above it is frozen`,
    );
    expect(performance.now() - started).toBeLessThan(2000);
    expect(wish()).toBe('1');
  });

  test('freezes again what does not run in time', () => {
    play(1, 1);
    expect(() => thawCgroup(group, 50)).toThrow('its processes do not run after 0.05 s');
    expect(wish()).toBe('1');
  });
});
