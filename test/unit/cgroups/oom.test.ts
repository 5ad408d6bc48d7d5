/** Whose memory ran out: files of a tree of groups that play each case. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OomWatch, readOomCounts } from '../../../src/libcontainer/cgroups/oom.ts';

let root: string;
let group: string;

/** `slice/container/inner`: counters of each, as `oom` and `oom_kill` of memory.events.local. */
function play(path: string, local: { oom: number; kill: number }, max = 'max'): void {
  const directory = join(root, path);
  mkdirSync(directory, { recursive: true });
  const text = (oom: number, kill: number) =>
    `low 0\nhigh 0\nmax ${oom}\noom ${oom}\noom_kill ${kill}\noom_group_kill 0\n`;
  writeFileSync(join(directory, 'memory.events.local'), text(local.oom, local.kill));
  writeFileSync(join(directory, 'memory.max'), `${max}\n`);
}

/** memory.events of the container counts what is below, too. */
function kills(count: number): void {
  writeFileSync(join(group, 'memory.events'), `oom 0\noom_kill ${count}\n`);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'runcell-oom-'));
  group = join(root, 'slice/container');
  play('slice', { oom: 0, kill: 0 }, '200');
  play('slice/container', { oom: 0, kill: 0 }, '100');
  play('slice/container/inner', { oom: 0, kill: 0 }, '50');
  kills(0);
});
afterEach(() => rmSync(root, { recursive: true }));

describe('OomWatch', () => {
  test('tells nothing while nobody was killed', () => {
    const watch = new OomWatch(group);
    expect(watch.take()).toBeUndefined();
    // The limit was reached, and memory was found after all.
    play('slice/container', { oom: 1, kill: 0 }, '100');
    expect(watch.take()).toBeUndefined();
  });

  test('the limit of the container', () => {
    const watch = new OomWatch(group);
    play('slice/container', { oom: 1, kill: 1 }, '100');
    kills(1);
    expect(watch.take()).toEqual({ kills: 1n, level: 'container', cgroup: group, limit: 100n });
    expect(watch.take()).toBeUndefined();
  });

  test('the limit of a group inside', () => {
    const watch = new OomWatch(group);
    play('slice/container/inner', { oom: 2, kill: 2 }, '50');
    kills(2);
    const cgroup = `${group}/inner`;
    expect(watch.take()).toEqual({ kills: 2n, level: 'inside', cgroup, limit: 50n });
  });

  test('the limit of a group above, which killed in the container', () => {
    const watch = new OomWatch(group);
    play('slice', { oom: 1, kill: 0 }, '200');
    kills(1);
    const cgroup = join(root, 'slice');
    expect(watch.take()).toEqual({ kills: 1n, level: 'above', cgroup, limit: 200n });
  });

  test('no limit of anybody: the host', () => {
    const watch = new OomWatch(group);
    play('slice/container', { oom: 0, kill: 1 }, '100');
    kills(1);
    expect(watch.take()).toEqual({ kills: 1n, level: 'host' });
  });

  test('the container comes before others whose limit was reached at the same time', () => {
    const watch = new OomWatch(group);
    play('slice', { oom: 1, kill: 0 }, '200');
    play('slice/container', { oom: 1, kill: 1 }, '100');
    kills(1);
    expect(watch.take()).toMatchObject({ level: 'container' });
  });

  test('kills of before it began are not told', () => {
    play('slice/container', { oom: 3, kill: 3 }, '100');
    kills(3);
    const watch = new OomWatch(group);
    kills(4);
    play('slice/container', { oom: 4, kill: 4 }, '100');
    expect(watch.take()).toMatchObject({ kills: 1n });
  });

  test('a limit that was lifted meanwhile is left out', () => {
    const watch = new OomWatch(group);
    play('slice/container', { oom: 1, kill: 1 }, 'max');
    kills(1);
    expect(watch.take()).toEqual({ kills: 1n, level: 'container', cgroup: group });
  });

  test('without the controller there is nothing to watch', () => {
    rmSync(join(group, 'memory.events'));
    const watch = new OomWatch(group);
    expect(watch.watches).toBe(false);
    expect(watch.take()).toBeUndefined();
  });

  test('a group that goes is no failure', () => {
    const watch = new OomWatch(group);
    rmSync(group, { recursive: true });
    expect(watch.take()).toBeUndefined();
    expect(readOomCounts(group)).toBeUndefined();
  });
});
