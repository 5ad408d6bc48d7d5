/** Whose memory limit was reached; directories of ordinary files stand for the groups. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RuncellError } from '../../../src/error.ts';
import {
  eventOf,
  findOomKill,
  findTightLimit,
  tellOutOfMemory,
} from '../../../src/libcontainer/cgroups/oom-kill.ts';
import { withMemory } from '../../../src/libcontainer/container/failure.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/oom-`);
});
afterEach(() => rmSync(root, { recursive: true }));

/** `events` of the group and below, `local` of the group itself. */
function make(path: string, events: string, local: string, max = '1048576'): string {
  const group = `${root}/${path}`;
  mkdirSync(group, { recursive: true });
  writeFileSync(`${group}/memory.events`, `${events}\n`);
  writeFileSync(`${group}/memory.events.local`, `${local}\n`);
  writeFileSync(`${group}/memory.max`, `${max}\n`);
  writeFileSync(`${group}/memory.peak`, '1044480\n');
  return group;
}

const LOW = 'low 0\nhigh 0';

describe('a kill', () => {
  test('for the own limit', () => {
    make('pod', `${LOW}\noom 1\noom_kill 1`, `${LOW}\noom 0\noom_kill 0`);
    const group = make('pod/c', `${LOW}\noom 1\noom_kill 1`, `${LOW}\noom 1\noom_kill 1`);
    expect(findOomKill(group)).toEqual({ group, limit: '1048576', peak: '1044480' });
  });

  test('for the limit of a group above', () => {
    const pod = make('pod', `${LOW}\noom 1\noom_kill 1`, `${LOW}\noom 1\noom_kill 0`, '4096');
    const group = make('pod/c', `${LOW}\noom 0\noom_kill 1`, `${LOW}\noom 0\noom_kill 1`, 'max');
    expect(findOomKill(group)).toMatchObject({ group: pod, limit: '4096' });
  });

  test('because the machine had none left', () => {
    const group = make('c', `${LOW}\noom 0\noom_kill 1`, `${LOW}\noom 0\noom_kill 1`);
    expect(findOomKill(group)?.group).toBeUndefined();
  });

  test('did not happen', () => {
    const group = make('c', `${LOW}\noom 3\noom_kill 0`, `${LOW}\noom 3\noom_kill 0`);
    expect(findOomKill(group)).toBeUndefined();
    expect(findOomKill(`${root}/gone`)).toBeUndefined();
  });
});

test('a number is found by its whole name', () => {
  const group = make('c', 'oom 1\noom_kill 22\noom_group_kill 333', '');
  expect(eventOf(group, 'memory.events', 'oom_kill')).toBe(22);
  expect(eventOf(group, 'memory.events', 'kill')).toBe(0);
});

test('a limit that was reached', () => {
  const group = make('c', '', 'max 5\noom 0');
  expect(findTightLimit(group)).toMatchObject({ group });
  expect(findTightLimit(make('d', '', 'max 0\noom 0'))).toBeUndefined();
});

test('is told with limit and peak', () => {
  expect(tellOutOfMemory({ group: '/g', limit: '5', peak: '4' })).toBe(
    '/g reached its limit of 5 bytes, its peak was 4',
  );
  expect(tellOutOfMemory({ group: '/g', limit: '5', peak: '' })).toBe(
    '/g reached its limit of 5 bytes',
  );
  const machine = { group: undefined, limit: '', peak: '' };
  expect(tellOutOfMemory(machine)).toBe('the machine had no memory left');
});

describe('the error of a create', () => {
  const ended = new RuncellError({ code: 'kernel.init', reason: 'init ended' });

  test('says runc’s words, who, how much and what to do', () => {
    const group = make('c', 'oom_kill 1', 'oom 1');
    expect(withMemory(ended, group).message).toBe(
      'container init was OOM-killed (memory limit too low?): ' +
        `${group} reached its limit of 1048576 bytes, its peak was 1044480` +
        ' - raise linux.resources.memory.limit',
    );
  });

  test('does not tell to raise what somebody else set', () => {
    make('pod', 'oom_kill 1', 'oom 1');
    const group = make('pod/c', 'oom_kill 1', 'oom 0', 'max');
    expect(withMemory(ended, group).fields.hint).toBeUndefined();
  });

  test('of a failed allocation keeps what failed', () => {
    const group = make('c', 'oom_kill 0', 'max 2');
    const failed = new RuncellError({ code: 'kernel.operation', operation: 'fsopen', errno: 12 });
    expect(withMemory(failed, group).message).toMatch(
      /^fsopen: .*\(ENOMEM\) - memory limit too low\? .*its peak was 1044480; raise linux\./,
    );
  });

  test('of something else stays', () => {
    const killed = make('c', 'oom_kill 1', 'oom 1');
    const config = new RuncellError({ code: 'config.executable', reason: 'not found' });
    expect(withMemory(config, killed)).toBe(config);
    const quiet = make('d', 'oom_kill 0', 'oom 0');
    expect(withMemory(ended, quiet)).toBe(ended);
  });
});
