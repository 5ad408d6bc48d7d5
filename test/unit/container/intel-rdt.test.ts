/** linux.intelRdt in the life of a create, on a fake resctrl tree. */

import { describe, expect, test } from 'vitest';
import { IntelRdt, joinRdt } from '../../../src/libcontainer/container/intel-rdt.ts';
import type { ValidConfig } from '../../../src/oci/validate.ts';
import { FakeResctrl } from '../cgroups/fake-resctrl.ts';
import { errorOf } from '../oci/helpers.ts';

const warnings: string[] = [];
const log = { warn: (line: string) => warnings.push(line), debug: () => {} };

function prepare(tree: FakeResctrl, intelRdt: object | undefined, id = 'c1') {
  const config = { ociVersion: '1.3.0', linux: { intelRdt } } as unknown as ValidConfig;
  return IntelRdt.prepare({ config, id, log: log as never }, () => tree);
}

describe('create', () => {
  test('without the field resctrl is not even looked for', () => {
    const config = { ociVersion: '1.3.0', linux: {} } as unknown as ValidConfig;
    const find = () => {
      throw new Error('looked');
    };
    expect(IntelRdt.prepare({ config, id: 'c1', log: log as never }, find)).toBeUndefined();
  });

  test('on record before anything is made, joined, and gone when it fails', () => {
    using tree = new FakeResctrl();
    const rdt = prepare(tree, { enableMonitoring: true })!;
    expect(rdt.state).toMatchObject({ group: 'c1', owned: true, monitoring: 'c1/mon_groups/c1' });
    expect(tree.has('c1')).toBe(false);
    rdt.undo();
    rdt.make();
    rdt.join(7);
    joinRdt(rdt.state, 8);
    expect(tree.tasks('c1/mon_groups/c1')).toBe('8');
    rdt.undo();
    expect(tree.has('c1')).toBe(false);
    expect(() => joinRdt(rdt.state, 9)).not.toThrow();
  });

  test('a class with a name of its own goes with the failed create unless others are in it', () => {
    using tree = new FakeResctrl();
    const schema = { closID: 'gold', l3CacheSchema: 'L3:0=ff' };
    const first = prepare(tree, schema)!;
    first.make();
    first.undo();
    expect(tree.has('gold')).toBe(false);
    const second = prepare(tree, schema)!;
    second.make();
    tree.write('gold', 'tasks', '9\n');
    second.undo();
    expect(tree.has('gold')).toBe(true);
    const third = prepare(tree, { closID: 'gold' })!;
    tree.write('gold', 'tasks', '');
    third.make();
    third.undo();
    expect(tree.has('gold')).toBe(true);
  });

  test('errors of the filesystem name the field', () => {
    using tree = new FakeResctrl();
    tree.lastStatus('Out of CLOSIDs\n');
    const rdt = prepare(tree, {})!;
    rdt.make();
    const error = errorOf(() => prepare(tree, {}, 'a')!.join(1));
    expect(error.fields).toMatchObject({ specPath: 'linux.intelRdt', reason: 'Out of CLOSIDs' });
  });

  test('what 1.3 has replaced is a warning', () => {
    using tree = new FakeResctrl();
    prepare(tree, { enableCMT: true, enableMBM: false });
    expect(warnings).toEqual(['linux.intelRdt.enableCMT: enableMonitoring has taken its place']);
  });
});
