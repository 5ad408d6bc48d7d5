/**
 * Id-mapped mounts: `idmap`, `ridmap`, uidMappings and gidMappings of a mount.
 * runtime-spec 1.3 config.md#posix-platform-mounts; mount_setattr(2) MOUNT_ATTR_IDMAP.
 */

import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { type Spec, useUserNamespace } from '../helpers/spec.ts';

function hostDir(box: Box): string {
  const dir = box.path('source');
  mkdirSync(`${dir}/sub`, { recursive: true });
  writeFileSync(`${dir}/file`, 'from the host');
  return dir;
}

describe('id-mapped mounts', () => {
  const since12 = { notRunc: 'came with runc 1.2', kernel: '5.12' };
  const mappings = {
    uidMappings: [{ containerID: 0, hostID: 1000, size: 100 }],
    gidMappings: [{ containerID: 0, hostID: 2000, size: 100 }],
  };
  const STAT = ['stat', '-c', '%u:%g', '/x/file'];
  const bind =
    (box: Box, options: string[], more: object = {}) =>
    (spec: Spec) => {
      spec.mounts.push({ destination: '/x', type: 'bind', source: hostDir(box), options, ...more });
      spec.root.readonly = false;
    };

  check('mappings of the mount shift its owners', since12, async (box) => {
    const bundle = box.bundle(STAT, bind(box, ['bind', 'idmap'], mappings));
    expect(await box.printed(bundle)).toBe('1000:2000');
  });

  check('mappings without the option are enough', since12, async (box) => {
    const bundle = box.bundle(STAT, bind(box, ['bind'], mappings));
    expect(await box.printed(bundle)).toBe('1000:2000');
  });

  check('what is written through it has the unshifted owner', since12, async (box) => {
    const bundle = box.bundle(['touch', '/x/new'], (spec) => {
      bind(box, ['bind', 'idmap'], mappings)(spec);
      spec.process.user = { uid: 1007, gid: 2007 };
    });
    chmodSync(box.path('source'), 0o777);
    await box.printed(bundle);
    const { uid, gid } = statSync(box.path('source/new'));
    expect([uid, gid]).toEqual([7, 7]);
  });

  check("idmap in a user namespace takes the container's mapping", since12, async (box) => {
    const bundle = box.bundle(STAT, (spec) => {
      bind(box, ['bind', 'idmap'])(spec);
      useUserNamespace(spec);
    });
    mkdirSync(`${bundle.rootfs}/x`);
    expect(await box.printed(bundle)).toBe('0:0');
  });

  check('ridmap reaches submounts', since12, async (box) => {
    const bundle = box.bundle(STAT, bind(box, ['rbind', 'ridmap'], mappings));
    expect(await box.printed(bundle)).toBe('1000:2000');
  });

  check('idmap without any mapping is refused by its field', since12, async (box) => {
    const bundle = box.bundle(STAT, bind(box, ['bind', 'idmap']));
    expect(refusal(await box.run(bundle))).toMatch(/mounts\[6\]/);
  });

  check('only one side of the mappings is refused', since12, async (box) => {
    const { uidMappings } = mappings;
    const bundle = box.bundle(STAT, bind(box, ['bind', 'idmap'], { uidMappings }));
    expect(refusal(await box.run(bundle))).toMatch(/mounts\[6\]/);
  });
});
