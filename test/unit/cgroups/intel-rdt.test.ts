/** linux.intelRdt on a fake resctrl tree: which class, made or found, joined, updated, removed. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { LinuxIntelRdt } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import {
  chooseClass,
  joinClass,
  makeClass,
  removeClass,
  updateClass,
} from '../../../src/libcontainer/cgroups/intel-rdt.ts';
import { errorOf } from '../oci/helpers.ts';
import { DEFAULT_SCHEMATA, FakeResctrl } from './fake-resctrl.ts';

const SCHEMA = { l3CacheSchema: 'L3:0=ff', memBwSchema: 'MB:0=50' };

function made(tree: FakeResctrl, rdt: LinuxIntelRdt) {
  const state = chooseClass(tree, 'c1', rdt);
  makeClass(tree, state, rdt);
  return state;
}

describe('without closID', () => {
  test('the class has the name of the container, its schemas, and goes with it', () => {
    using tree = new FakeResctrl();
    const state = made(tree, { ...SCHEMA, schemata: ['L2:0=3'] });
    expect(state).toEqual({ root: tree.root, group: 'c1', owned: true });
    expect(tree.schemata('c1')).toBe('L3:0=ff\nMB:0=50\nL2:0=3\n');
    joinClass(tree, state, 4711);
    expect(tree.tasks('c1')).toBe('4711');
    removeClass(tree, state);
    expect(tree.has('c1')).toBe(false);
  });

  test('without schemas nothing is written to it', () => {
    using tree = new FakeResctrl();
    made(tree, {});
    expect(tree.schemata('c1')).toBe(DEFAULT_SCHEMATA);
  });

  test('one that was there gets the schemas and stays', () => {
    using tree = new FakeResctrl();
    tree.make('c1');
    const state = made(tree, SCHEMA);
    expect(state.owned).toBe(false);
    expect(tree.schemata('c1')).toBe('L3:0=ff\nMB:0=50\n');
    removeClass(tree, state);
    expect(tree.has('c1')).toBe(true);
  });
});

describe('with closID', () => {
  test('/ is the default class', () => {
    using tree = new FakeResctrl();
    const state = made(tree, { closID: '/' });
    expect(state).toEqual({ root: tree.root, group: '', owned: false });
    joinClass(tree, state, 1);
    expect(tree.tasks('')).toBe('1');
    removeClass(tree, state);
    expect(tree.has('')).toBe(true);
  });

  test('without schemas it has to be there', () => {
    using tree = new FakeResctrl();
    expect(errorOf(() => chooseClass(tree, 'c1', { closID: 'gold' })).message).toBe(
      'linux.intelRdt.closID gold: there is no such class of service, and no schema to make it with',
    );
    tree.make('gold');
    expect(made(tree, { closID: 'gold' })).toMatchObject({ group: 'gold', owned: false });
    expect(tree.schemata('gold')).toBe(DEFAULT_SCHEMATA);
  });

  test('with schemas it is made, and stays', () => {
    using tree = new FakeResctrl();
    const state = made(tree, { closID: 'gold', ...SCHEMA });
    expect(tree.schemata('gold')).toBe('L3:0=ff\nMB:0=50\n');
    removeClass(tree, state);
    expect(tree.has('gold')).toBe(true);
  });

  test('with schemas, when it is there it has to say the same and is not written to', () => {
    using tree = new FakeResctrl();
    tree.make('gold');
    const rdt = { closID: 'gold', l3CacheSchema: 'L3:1=fffff;0=0fffff' };
    made(tree, rdt);
    expect(tree.schemata('gold')).toBe(DEFAULT_SCHEMATA);
    expect(errorOf(() => chooseClass(tree, 'c1', { closID: 'gold', ...SCHEMA })).message).toBe(
      'linux.intelRdt.closID gold: the class of service is there and says something else than L3:0=ff',
    );
    const root = errorOf(() => chooseClass(tree, 'c1', { closID: '/', memBwSchema: 'MB:0=7' }));
    expect(root.fields.target).toBe('/');
  });
});

describe('enableMonitoring', () => {
  test('a group of counters below the class, joined after it, removed before it', () => {
    using tree = new FakeResctrl();
    for (const [closID, group] of [
      [undefined, 'c1/mon_groups/c1'],
      ['/', 'mon_groups/c1'],
    ] as const) {
      const rdt = { ...(closID && { closID }), enableMonitoring: true };
      const state = made(tree, rdt);
      expect(state.monitoring).toBe(group);
      joinClass(tree, state, 7);
      expect(tree.tasks(group)).toBe('7');
      removeClass(tree, state);
      expect(tree.has(group)).toBe(false);
    }
  });
});

describe('a machine without the resource', () => {
  test.each([
    ['l3CacheSchema', { l3CacheSchema: 'L3:0=f' }, 'cache allocation (info/L3)'],
    ['memBwSchema', { memBwSchema: 'MB:0=10' }, 'bandwidth allocation (info/MB)'],
    ['enableMonitoring', { enableMonitoring: true }, 'monitoring (info/L3_MON)'],
  ] as const)('%s is refused', (field, rdt, what) => {
    using tree = new FakeResctrl([]);
    expect(errorOf(() => chooseClass(tree, 'c1', rdt)).message).toBe(
      `linux.intelRdt.${field}: this machine's resctrl has no ${what}`,
    );
    expect(() =>
      chooseClass(tree, 'c1', { l3CacheSchema: '', enableMonitoring: false }),
    ).not.toThrow();
  });

  test('code and data apart are cache allocation too', () => {
    using tree = new FakeResctrl(['L3CODE']);
    expect(() => chooseClass(tree, 'c1', { l3CacheSchema: 'L3CODE:0=f' })).not.toThrow();
  });
});

describe('update', () => {
  test('a class that is there gets the lines', () => {
    using tree = new FakeResctrl();
    const state = made(tree, SCHEMA);
    const container = { id: 'c1', cgroup: '/nowhere', state };
    expect(updateClass(tree, container, { memBwSchema: 'MB:0=70' })).toEqual(state);
    expect(tree.schemata('c1')).toContain('MB:0=70\n');
  });

  test('a container without a class gets one, with its processes', () => {
    using tree = new FakeResctrl();
    const cgroup = mkdtempSync(`${tmpdir()}/cgroup-`);
    try {
      writeFileSync(`${cgroup}/cgroup.procs`, `${process.pid}\n4194305\n`);
      const container = { id: 'c1', cgroup, state: undefined };
      const state = updateClass(tree, container, { l3CacheSchema: 'L3:0=ff' });
      expect(state).toEqual({ root: tree.root, group: 'c1', owned: true });
      expect(tree.schemata('c1')).toBe('L3:0=ff\n');
      expect(Number(tree.tasks('c1'))).toBeGreaterThan(0);
    } finally {
      rmSync(cgroup, { recursive: true });
    }
  });

  test('what fails leaves no class behind', () => {
    using tree = new FakeResctrl();
    const container = { id: 'c1', cgroup: '/nowhere', state: undefined };
    expect(() => updateClass(tree, container, { l3CacheSchema: 'L3:0=ff' })).toThrow('ENOENT');
    expect(tree.has('c1')).toBe(false);
  });
});
