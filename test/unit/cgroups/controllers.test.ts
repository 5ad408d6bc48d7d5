/** Which groups get which controllers; a tree of ordinary files stands for the hierarchy. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  checkControllers,
  enableControllers,
} from '../../../src/libcontainer/cgroups/controllers.ts';
import { errorOf } from '../oci/helpers.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/controllers-`);
});
afterEach(() => rmSync(root, { recursive: true }));

interface Group {
  readonly controllers?: string;
  readonly on?: string;
  readonly type?: string;
  readonly procs?: string;
}

/** `path` is below the root, '' for the root itself. */
function make(path: string, group: Group): string {
  const directory = path === '' ? root : `${root}/${path}`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/cgroup.controllers`, `${group.controllers ?? ''}\n`);
  writeFileSync(`${directory}/cgroup.subtree_control`, `${group.on ?? ''}\n`);
  writeFileSync(`${directory}/cgroup.procs`, group.procs ?? '');
  if (group.type !== undefined) writeFileSync(`${directory}/cgroup.type`, `${group.type}\n`);
  return directory;
}

const control = (path: string): string =>
  readFileSync(`${root}/${path}/cgroup.subtree_control`, 'utf8');

const needs = (...controllers: string[]) =>
  new Map(controllers.map((name) => [name, `field.${name}`]));

describe('checkControllers', () => {
  test('what the hierarchy lacks is refused with controller and field', () => {
    make('', { controllers: 'cpu pids' });
    checkControllers(root, needs('cpu', 'pids'));
    const error = errorOf(() => checkControllers(root, needs('cpu', 'nosuch')));
    expect(error.code).toBe('kernel.unsupported');
    expect(error.message).toBe(
      `field.nosuch: controller "nosuch" is not in the cgroup2 hierarchy ${root}`,
    );
  });

  test('nothing is read where nothing is needed', () => {
    rmSync(root, { recursive: true });
    checkControllers(root, needs());
    mkdirSync(root);
  });
});

describe('enableControllers', () => {
  test('turns on what is off, from the root down', () => {
    make('', { controllers: 'cpu memory pids', on: 'pids' });
    make('a', { controllers: 'cpu memory pids', on: 'cpu memory pids', type: 'domain' });
    const directory = make('a/b', { controllers: 'cpu memory pids', type: 'domain' });
    enableControllers(root, directory, needs('memory'));
    expect(control('')).toMatch(/^\+cpu \+memory/);
    expect(control('a')).toBe('cpu memory pids\n');
    expect(control('a/b')).toBe('\n');
  });

  test('leaves a group with processes of its own alone', () => {
    make('', { controllers: 'cpu', on: 'cpu' });
    make('busy', { controllers: 'cpu', type: 'domain', procs: '1\n2\n' });
    const directory = make('busy/c', { type: 'domain' });
    enableControllers(root, directory, needs());
    expect(control('busy')).toBe('\n');
  });

  test('says who is in the way of a limit', () => {
    make('', { controllers: 'cpu', on: 'cpu' });
    make('busy', { controllers: 'cpu', type: 'domain', procs: '1\n2\n' });
    const directory = make('busy/c', { type: 'domain' });
    const error = errorOf(() => enableControllers(root, directory, needs('cpu')));
    expect(error.code).toBe('state.conflict');
    expect(error.message).toBe(
      `field.cpu: turn on the cpu controller in ${root}/busy: ` +
        'the cgroup holds 2 process(es) of its own' +
        ' - move them to a group below it, or choose another linux.cgroupsPath',
    );
    expect(control('busy')).toBe('\n');
  });

  test('processes in the real root, which has no type, are in nobody’s way', () => {
    make('', { controllers: 'cpu', procs: '1\n' });
    const directory = make('c', { controllers: 'cpu', type: 'domain' });
    enableControllers(root, directory, needs('cpu'));
    expect(control('')).toMatch(/^\+cpu/);
  });

  test('a group below that was not given the controller', () => {
    make('', { controllers: 'cpu memory', on: 'cpu memory' });
    make('user', { controllers: 'cpu', on: 'cpu', type: 'domain' });
    const directory = make('user/c', { controllers: 'cpu', type: 'domain' });
    const error = errorOf(() => enableControllers(root, directory, needs('memory')));
    expect(error.message).toBe(`field.memory: controller "memory" is not available below ${root}`);
  });

  test('a domain controller in a group that is no domain', () => {
    make('', { controllers: 'cpu memory', on: 'cpu memory' });
    const directory = make('t', { controllers: 'cpu', type: 'domain invalid' });
    const error = errorOf(() => enableControllers(root, directory, needs('memory')));
    expect(error.message).toContain('the cgroup is domain invalid: the memory controller works in');
    expect(readFileSync(`${directory}/cgroup.type`, 'utf8')).toBe('domain invalid\n');
  });

  test('a group that is no domain becomes threaded where that is enough', () => {
    make('', { controllers: 'cpu', on: 'cpu' });
    const directory = make('t', { controllers: 'cpu', type: 'domain invalid' });
    enableControllers(root, directory, needs('cpu'));
    expect(readFileSync(`${directory}/cgroup.type`, 'utf8')).toMatch(/^threaded/);
  });
});
