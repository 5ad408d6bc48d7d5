/**
 * `/dev`: the default nodes and links, configured devices, in the host's and in a user namespace.
 * runtime-spec 1.3 config-linux.md#default-devices, #devices; mknod(2).
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { onDeviceFilesystem } from '../helpers/device-filesystem.ts';
import { makeRootfs } from '../helpers/rootfs.ts';
import { isRuncell } from '../helpers/runtime.ts';
import { type Spec, useUserNamespace } from '../helpers/spec.ts';

const NODES = {
  null: '1:3',
  zero: '1:5',
  full: '1:7',
  tty: '5:0',
  random: '1:8',
  urandom: '1:9',
};
const LINKS = {
  fd: '/proc/self/fd',
  stdin: '/proc/self/fd/0',
  stdout: '/proc/self/fd/1',
  stderr: '/proc/self/fd/2',
  ptmx: 'pts/ptmx',
};

const writable = (spec: Spec) => {
  spec.root.readonly = false;
};

describe('default devices', () => {
  for (const [what, patch] of [
    ['on the host', () => {}],
    ['in a user namespace', (spec: Spec) => useUserNamespace(spec)],
  ] as const) {
    check(`${what}: nodes with numbers and mode 666`, async (box) => {
      const names = Object.keys(NODES)
        .map((name) => `/dev/${name}`)
        .join(' ');
      const out = await box.sh(`stat -c '%n %F %t:%T %a' ${names}`, patch);
      const wanted = Object.entries(NODES).map(
        ([name, numbers]) => `/dev/${name} character special file ${numbers} 666`,
      );
      expect(out.split('\n')).toEqual(wanted);
    });

    check(`${what}: links`, async (box) => {
      const names = Object.keys(LINKS)
        .map((name) => `/dev/${name}`)
        .join(' ');
      const script = `for f in ${names}; do readlink $f; done`;
      expect(await box.sh(script, patch)).toBe(Object.values(LINKS).join('\n'));
    });

    check(`${what}: they work`, async (box) => {
      const script =
        'echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 9 /dev/urandom | wc -c';
      expect(await box.sh(script, patch)).toBe('3\n9');
    });

    check(`${what}: nothing else is there`, async (box) => {
      const out = await box.sh('ls /dev', patch);
      const wanted = [...Object.keys(NODES), ...Object.keys(LINKS), 'mqueue', 'pts', 'shm'];
      // A link to /proc/kcore where the kernel has one.
      const seen = out.split('\n').filter((name) => name !== 'core');
      expect(seen.sort()).toEqual(wanted.sort());
    });
  }

  check('are made in the rootfs where /dev is no mount', (box) =>
    onDeviceFilesystem(box, async (dir) => {
      const rootfs = makeRootfs(`${dir}/rootfs`);
      const bundle = box.bundle(['sh', '-c', 'ls -l /dev; echo x >/dev/null'], (spec) => {
        spec.root.path = rootfs;
        spec.mounts = spec.mounts.filter(({ destination }) => !destination.startsWith('/dev'));
        writable(spec);
      });
      expect(await box.printed(bundle)).toContain('null');
    }),
  );

  check('are left alone where /dev is bound from the host', (box) =>
    onDeviceFilesystem(box, async (dir) => {
      writeFileSync(`${dir}/marker`, '');
      // runc wants one there.
      execFileSync('mknod', ['-m', '666', `${dir}/null`, 'c', '1', '3']);
      const out = await box.sh('ls /dev', (spec) => {
        spec.mounts = spec.mounts.filter(({ destination }) => !destination.startsWith('/dev'));
        spec.mounts.push({
          destination: '/dev',
          type: 'bind',
          source: dir,
          options: ['rbind', 'ro'],
        });
      });
      expect(out.split('\n')).toContain('marker');
    }),
  );
});

describe('linux.devices', () => {
  check('a character, a block device and a FIFO are made', async (box) => {
    const out = await box.sh(
      'stat -c "%n %F %t:%T %a %u:%g" /dev/a /dev/b /dev/c /dev/u /dev/sub/d',
      (spec) => {
        spec.linux.devices = [
          { path: '/dev/a', type: 'c', major: 1, minor: 3, fileMode: 0o640, uid: 11, gid: 12 },
          { path: '/dev/b', type: 'b', major: 7, minor: 300, fileMode: 0o600 },
          { path: '/dev/c', type: 'p', fileMode: 0o622, uid: 3 },
          { path: '/dev/u', type: 'u', major: 1, minor: 5, fileMode: 0o666 },
          { path: '/dev/sub/d', type: 'c', major: 1, minor: 9, fileMode: 0o444 },
        ];
      },
    );
    expect(out.split('\n')).toEqual([
      '/dev/a character special file 1:3 640 11:12',
      '/dev/b block special file 7:12c 600 0:0',
      '/dev/c fifo 0:0 622 3:0',
      '/dev/u character special file 1:5 666 0:0',
      '/dev/sub/d character special file 1:9 444 0:0',
    ]);
  });

  check('outside /dev', async (box) => {
    const out = await box.sh('stat -c "%t:%T" /opt/node', (spec) => {
      spec.linux.devices = [{ path: '/opt/node', type: 'c', major: 1, minor: 7, fileMode: 0o666 }];
      writable(spec);
    });
    expect(out).toBe('1:7');
  });

  // One that repeats a standard device takes the place of its rule too, and allows nothing itself.
  const allow = (minor: number) => ({
    devices: [{ allow: true, type: 'c', major: 1, minor, access: 'rwm' }],
  });

  check("in a user namespace the host's node is bound", async (box) => {
    const out = await box.sh(
      'stat -c "%F %t:%T" /dev/zero; head -c 2 /dev/zero | wc -c',
      (spec) => {
        useUserNamespace(spec);
        spec.linux.devices = [
          { path: '/dev/zero', type: 'c', major: 1, minor: 5, fileMode: 0o666 },
        ];
        spec.linux.resources = allow(5);
      },
    );
    expect(out).toBe('character special file 1:5\n2');
  });

  check('one that repeats a default device wins', async (box) => {
    const out = await box.sh('stat -c "%t:%T %a" /dev/null', (spec) => {
      spec.linux.devices = [{ path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o600 }];
      spec.linux.resources = allow(3);
    });
    expect(out).toBe('1:3 600');
  });

  const REFUSED: readonly [string, Record<string, unknown>][] = [
    ['an unknown type', { path: '/dev/x', type: 'z', major: 1, minor: 3 }],
    ['a relative path', { path: 'dev/x', type: 'c', major: 1, minor: 3 }],
  ];
  for (const [what, device] of REFUSED) {
    const judge = what === 'a relative path' ? { notRunc: 'takes it from /' } : {};
    check(`${what} is refused by its field`, judge, async (box) => {
      const bundle = box.bundle(['true'], (spec) => {
        spec.linux.devices = [device];
      });
      const line = refusal(await box.run(bundle));
      if (isRuncell) expect(line).toMatch(/linux\.devices\[0\]/);
    });
  }

  const EXISTING = { notRunc: 'leaves what is there' };
  check('a different file at its path is refused', EXISTING, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.linux.devices = [{ path: '/opt/node', type: 'c', major: 1, minor: 7, fileMode: 0o666 }];
      writable(spec);
    });
    mkdirSync(`${bundle.rootfs}/opt`);
    writeFileSync(`${bundle.rootfs}/opt/node`, 'a file');
    expect(refusal(await box.run(bundle))).toMatch(/linux\.devices\[0\].*\/opt\/node/);
  });

  check('a link on the way does not lead out of the rootfs', async (box) => {
    const canary = box.path('canary');
    mkdirSync(canary);
    const bundle = box.bundle(['true'], (spec) => {
      spec.linux.devices = [{ path: '/opt/node', type: 'c', major: 1, minor: 7, fileMode: 0o666 }];
      writable(spec);
    });
    symlinkSync(canary, `${bundle.rootfs}/opt`);
    await box.run(bundle);
    expect(readdirSync(canary)).toEqual([]);
  });
});
