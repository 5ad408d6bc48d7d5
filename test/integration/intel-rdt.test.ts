/**
 * `linux.intelRdt` where resctrl is not mounted, which is nearly everywhere: refused before anything
 * is made. What it does where it is there, the unit tests show on a directory in its place.
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { cgroupsNamed } from '../helpers/proc.ts';

const isMounted = readFileSync('/proc/self/mountinfo', 'latin1').includes(' - resctrl ');
const own = { notRunc: 'runc 1.1 does nothing without an error there' } as const;

describe('linux.intelRdt without resctrl', () => {
  check('create is refused by name, update too', own, async (box) => {
    const absent = isMounted
      ? /intelRdt/
      : /^.*linux\.intelRdt: the resctrl filesystem is not mounted/;
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      Object.assign(spec.linux, { intelRdt: { closID: 'rcgold', l3CacheSchema: 'L3:0=f' } });
    });
    const id = box.id();
    expect(refusal(await box.verb(['create', '--bundle', bundle.dir, id]))).toMatch(absent);
    expect(cgroupsNamed(id)).toEqual([]);
    const container = await box.start(box.bundle(['sleep', '100']));
    const update = ['update', '--l3-cache-schema', 'L3:0=f', container.id];
    expect(refusal(await box.verb(update))).toMatch(absent);
  });

  check('a value that no machine takes is told first', own, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      Object.assign(spec.linux, { intelRdt: { closID: 'a/b' } });
    });
    const line = refusal(await box.run(bundle));
    expect(line).toContain('linux.intelRdt.closID a/b: is no name of a group');
  });
});
