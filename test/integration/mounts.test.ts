/**
 * `mounts`: types, order, sources, and every option of the specification's table, the recursive
 * and the id-mapped ones included. runtime-spec 1.3 config.md#mounts; mount(8),
 * mount_setattr(2).
 */

import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Bundle, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { type MountLine, mountAt, parseMountinfo } from '../helpers/proc.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';
import type { SpecMount } from '../helpers/spec.ts';

const MOUNTINFO = ['cat', '/proc/self/mountinfo'];

async function mounted(box: Box, mount: SpecMount): Promise<MountLine> {
  const bundle = box.bundle(MOUNTINFO, (spec) => {
    spec.mounts.push(mount);
  });
  mkdirSync(`${bundle.rootfs}${mount.destination}`, { recursive: true });
  return mountAt(await box.printed(bundle), mount.destination);
}

function hostDir(box: Box, name = 'source'): string {
  const dir = box.path(name);
  mkdirSync(`${dir}/sub`, { recursive: true });
  writeFileSync(`${dir}/file`, 'from the host');
  return dir;
}

/** Option → what mountinfo shows for a tmpfs (present, absent). */
const FLAGS: readonly [string[], string[], string[]][] = [
  [['ro'], ['ro'], ['rw']],
  [['rw'], ['rw'], ['ro']],
  [['nosuid'], ['nosuid'], []],
  [['nosuid', 'suid'], [], ['nosuid']],
  [['nodev'], ['nodev'], []],
  [['nodev', 'dev'], [], ['nodev']],
  [['noexec'], ['noexec'], []],
  [['noexec', 'exec'], [], ['noexec']],
  [['noatime'], ['noatime'], ['relatime']],
  [['noatime', 'atime'], [], ['noatime']],
  [['nodiratime'], ['nodiratime'], []],
  [['nodiratime', 'diratime'], [], ['nodiratime']],
  [['relatime'], ['relatime'], []],
  [['strictatime'], [], ['relatime', 'noatime']],
  [['ro', 'nosuid', 'nodev', 'noexec'], ['ro', 'nosuid', 'nodev', 'noexec'], []],
];
/** Options of the table that runc 1.1.5 does not have. */
const NEWER: readonly [string[], string[], string[]][] = [
  [['defaults'], ['rw'], []],
  [['nosymfollow'], ['nosymfollow'], []],
  [['nosymfollow', 'symfollow'], [], ['nosymfollow']],
  [['norelatime'], [], []],
  [['nostrictatime'], ['relatime'], []],
];

describe('mount options', () => {
  for (const [options, present, absent] of [...FLAGS, ...NEWER]) {
    const isNew = NEWER.some(([newer]) => newer === options);
    const judge = isNew ? { notRunc: 'not in runc 1.1.5' } : {};
    for (const type of ['tmpfs', 'bind']) {
      check(`${options.join(',')} on ${type}`, judge, async (box) => {
        const source = type === 'bind' ? hostDir(box) : 'tmpfs';
        const flags = type === 'bind' ? ['rbind', ...options] : options;
        const seen = await mounted(box, { destination: '/mnt', type, source, options: flags });
        for (const option of present) expect(seen.options).toContain(option);
        for (const option of absent) expect(seen.options).not.toContain(option);
      });
    }
  }

  for (const option of ['sync', 'dirsync', 'lazytime']) {
    const judge = option === 'lazytime' ? { notRunc: 'not in runc 1.1.5' } : {};
    check(`${option} is set on the filesystem`, judge, async (box) => {
      const seen = await mounted(box, {
        destination: '/mnt',
        type: 'tmpfs',
        source: 'tmpfs',
        options: [option],
      });
      expect([...seen.options, ...seen.superOptions]).toContain(option);
    });
  }

  check('sync,async · mand,nomand · iversion,noiversion · silent,loud are taken', async (box) => {
    const pairs = ['async', 'nomand', 'silent', 'loud'];
    for (const option of pairs) {
      await mounted(box, {
        destination: '/mnt',
        type: 'tmpfs',
        source: 'tmpfs',
        options: [option],
      });
    }
  });

  for (const [option, shown] of [
    ['private', /^$/],
    ['rprivate', /^$/],
    ['slave', /^(master:\d+)?$/],
    ['rslave', /^(master:\d+)?$/],
    ['shared', /^shared:\d+/],
    ['rshared', /^shared:\d+/],
    ['unbindable', /^unbindable$/],
    ['runbindable', /^unbindable$/],
  ] as const) {
    check(`${option} is the propagation of the mount`, async (box) => {
      const seen = await mounted(box, {
        destination: '/mnt',
        type: 'bind',
        source: hostDir(box),
        options: ['rbind', option],
      });
      expect(seen.propagation.join(' ')).toMatch(shown);
    });
  }

  check('what is no option is data for the filesystem', async (box) => {
    const seen = await mounted(box, {
      destination: '/mnt',
      type: 'tmpfs',
      source: 'named',
      options: ['size=1m', 'mode=1750', 'nr_inodes=77', 'uid=12', 'gid=34'],
    });
    const data = ['size=1024k', 'mode=1750', 'nr_inodes=77', 'uid=12', 'gid=34'];
    expect(seen.superOptions).toEqual(expect.arrayContaining(data));
    expect(seen.source).toBe('named');
  });

  check('a container may have thousands of mounts', async (box) => {
    const wanted = [
      ...Array.from({ length: 1500 }, (_, i) => ({
        destination: `/many/b${i}`,
        type: 'bind',
        source: box.dir,
        options: ['bind', 'ro'],
      })),
      ...Array.from({ length: 2500 }, (_, i) => ({
        destination: `/many/t${i}`,
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['size=4k', 'mode=755'],
      })),
    ];
    const script =
      'grep -c " /many/b[0-9]* ro" /proc/self/mountinfo; grep -c " /many/t" /proc/self/mountinfo';
    const out = await box.sh(script, (spec) => spec.mounts!.push(...wanted));
    expect(out).toBe('1500\n2500');
  });

  check('data the filesystem refuses fails with its name and the reason', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.mounts.push({
        destination: '/mnt',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['size=banana'],
      });
    });
    mkdirSync(`${bundle.rootfs}/mnt`);
    const line = refusal(await box.run(bundle));
    expect(line).toMatch(/\/mnt/);
    if (isRuncell) expect(line).toMatch(/mounts\[6\].*[Bb]ad value for 'size'/);
  });

  const OLDER = { notRunc: 'passes it to mount(2), which ignores data of a bind' };
  check('data on a bind mount is refused', OLDER, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      const source = hostDir(box);
      spec.mounts.push({ destination: '/mnt', source, options: ['bind', 'size=1m'] });
    });
    expect(refusal(await box.run(bundle))).toMatch(/mounts\[6\]/);
  });

  check('tmpcopyup fills the tmpfs from below', async (box) => {
    const bundle = box.bundle(
      ['sh', '-c', 'cat /data/a /data/d/b; stat -c %a /data/a; touch /data/new'],
      (spec) => {
        spec.mounts.push({
          destination: '/data',
          type: 'tmpfs',
          source: 'tmpfs',
          options: ['tmpcopyup'],
        });
      },
    );
    mkdirSync(`${bundle.rootfs}/data/d`, { recursive: true });
    writeFileSync(`${bundle.rootfs}/data/a`, 'one\n', { mode: 0o640 });
    writeFileSync(`${bundle.rootfs}/data/d/b`, 'two\n');
    expect(await box.printed(bundle)).toBe('one\ntwo\n640');
    expect(() => statSync(`${bundle.rootfs}/data/new`)).toThrow();
  });

  const DROPS = { notRunc: 'it drops the bits of directories' };
  check('tmpcopyup keeps owners and the set-id bits', DROPS, async (box) => {
    const bundle = box.bundle(['sh', '-c', 'stat -c "%u %a" /data/suid /data/d'], (spec) => {
      spec.mounts.push({
        destination: '/data',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['tmpcopyup'],
      });
    });
    mkdirSync(`${bundle.rootfs}/data/d`, { recursive: true });
    writeFileSync(`${bundle.rootfs}/data/suid`, '');
    chownSync(`${bundle.rootfs}/data/suid`, 5, 5);
    chmodSync(`${bundle.rootfs}/data/suid`, 0o4755);
    chmodSync(`${bundle.rootfs}/data/d`, 0o2775);
    expect(await box.printed(bundle)).toBe('5 4755\n0 2775');
  });

  const TOO_BIG = { notRunc: 'other words' };
  check('tmpcopyup of more than the tmpfs holds is an error', TOO_BIG, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.mounts.push({
        destination: '/data',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['tmpcopyup', 'size=64k'],
      });
    });
    mkdirSync(`${bundle.rootfs}/data`);
    writeFileSync(`${bundle.rootfs}/data/big`, Buffer.alloc(200_000, 'x'));
    expect(refusal(await box.run(bundle))).toContain('does not fit into the tmpfs');
  });
});

describe('recursive mount options', () => {
  /** A bind of a directory that carries another mount: the parent's namespace is the container's own. */
  const RECURSIVE: readonly [string, string, boolean][] = [
    ['rro', 'ro', true],
    ['rnosuid', 'nosuid', true],
    ['rnodev', 'nodev', true],
    ['rnoexec', 'noexec', true],
    ['rnodiratime', 'nodiratime', true],
    ['rnoatime', 'noatime', true],
    ['rrelatime', 'relatime', true],
    ['rnosymfollow', 'nosymfollow', true],
    ['rstrictatime', 'relatime', false],
  ];

  async function bothLevels(box: Box, options: string[]): Promise<MountLine[]> {
    const dir = hostDir(box);
    const bundle = box.bundle(MOUNTINFO, (spec) => {
      spec.mounts.push({ destination: '/mnt', type: 'bind', source: dir, options });
    });
    mkdirSync(`${bundle.rootfs}/mnt`);
    // The submount exists in a mount namespace of the caller, so that the host never sees it.
    const run = `${runtime.path} --root ${box.root} run --bundle ${bundle.dir} ${box.id()}`;
    const script = `mount -t tmpfs sub ${dir}/sub && exec ${run}`;
    const outcome = await box.command('unshare', ['-m', 'sh', '-c', script]);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    return [mountAt(outcome.stdout, '/mnt'), mountAt(outcome.stdout, '/mnt/sub')];
  }

  for (const [option, flag, present] of RECURSIVE) {
    const judge = option === 'rnosymfollow' ? { notRunc: 'not in runc 1.1.5' } : {};
    check(`${option} reaches the submount`, { ...judge, kernel: '5.12' }, async (box) => {
      for (const mount of await bothLevels(box, ['rbind', option])) {
        expect({ at: mount.target, has: mount.options.includes(flag) }).toEqual({
          at: mount.target,
          has: present,
        });
      }
    });
  }

  for (const [set, clear, flag] of [
    ['rro', 'rrw', 'ro'],
    ['rnosuid', 'rsuid', 'nosuid'],
    ['rnodev', 'rdev', 'nodev'],
    ['rnoexec', 'rexec', 'noexec'],
    ['rnodiratime', 'rdiratime', 'nodiratime'],
  ] as const) {
    const judge = { kernel: '5.12', notRunc: 'sets and clears one bit in one call: EINVAL' };
    check(`${set},${clear} ends without ${flag} on both`, judge, async (box) => {
      for (const mount of await bothLevels(box, ['rbind', set, clear])) {
        expect(mount.options).not.toContain(flag);
      }
    });
  }

  check('ro alone leaves the submount writable', async (box) => {
    const [top, below] = await bothLevels(box, ['rbind', 'ro']);
    expect(top!.options).toContain('ro');
    expect(below!.options).toContain('rw');
  });

  check('bind without r leaves the submount out', async (box) => {
    const dir = hostDir(box);
    const bundle = box.bundle(MOUNTINFO, (spec) => {
      spec.mounts.push({ destination: '/mnt', source: dir, options: ['bind'] });
    });
    mkdirSync(`${bundle.rootfs}/mnt`);
    const run = `${runtime.path} --root ${box.root} run --bundle ${bundle.dir} ${box.id()}`;
    const script = `mount -t tmpfs sub ${dir}/sub && exec ${run}`;
    const { stdout } = await box.command('unshare', ['-m', 'sh', '-c', script]);
    expect(parseMountinfo(stdout).some(({ target }) => target === '/mnt/sub')).toBe(false);
  });
});

describe('mounts', () => {
  check('are made in the listed order, later ones on top', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'ls /a; ls /a/b'], (spec) => {
      const dir = hostDir(box);
      spec.mounts.push(
        { destination: '/a', type: 'tmpfs', source: 'tmpfs' },
        { destination: '/a/b', type: 'bind', source: dir, options: ['bind'] },
        { destination: '/a/b/sub', type: 'tmpfs', source: 'tmpfs' },
      );
    });
    mkdirSync(`${bundle.rootfs}/a`);
    expect(await box.printed(bundle)).toBe('b\nfile\nsub');
  });

  check('a missing destination is made, a directory or a file like the source', async (box) => {
    const bundle: Bundle = box.bundle(['sh', '-c', 'cat /x/y/file; ls /p/q/dir'], (spec) => {
      const dir = hostDir(box);
      spec.root.readonly = false;
      spec.mounts.push(
        { destination: '/x/y/file', source: `${dir}/file`, options: ['bind'] },
        { destination: '/p/q/dir', source: dir, options: ['bind'] },
      );
    });
    expect(await box.printed(bundle)).toBe('from the hostfile\nsub');
    expect(statSync(`${bundle.rootfs}/x/y/file`).isFile()).toBe(true);
    expect(statSync(`${bundle.rootfs}/p/q/dir`).isDirectory()).toBe(true);
  });

  check('are made although the root is read-only', async (box) => {
    const out = await box
      .sh('cat /x/y/file; touch /x/z 2>&1', (spec) => {
        const dir = hostDir(box);
        spec.mounts.push({ destination: '/x/y/file', source: `${dir}/file`, options: ['bind'] });
      })
      .catch((error: Error) => error.message);
    expect(out).toContain('from the host');
    expect(out).toContain('Read-only file system');
  });

  check('a bind source relative to the bundle', async (box) => {
    const bundle = box.bundle(['cat', '/x/note'], (spec) => {
      spec.mounts.push({ destination: '/x', source: 'beside', options: ['bind'] });
    });
    mkdirSync(`${bundle.dir}/beside`);
    writeFileSync(`${bundle.dir}/beside/note`, 'relative');
    mkdirSync(`${bundle.rootfs}/x`);
    expect(await box.printed(bundle)).toBe('relative');
  });

  check('bind is read-only inside, the host still writes', async (box) => {
    const dir = hostDir(box);
    const bundle = box.bundle(['sh', '-c', 'touch /x/new 2>&1; cat /x/file'], (spec) => {
      spec.mounts.push({ destination: '/x', source: dir, options: ['bind', 'ro'] });
    });
    mkdirSync(`${bundle.rootfs}/x`);
    const { stdout } = await box.run(bundle);
    expect(stdout).toContain('Read-only file system\nfrom the host');
    writeFileSync(`${dir}/file2`, '');
  });

  check("bind is writable and what is written is the host's", async (box) => {
    const dir = hostDir(box);
    const bundle = box.bundle(['sh', '-c', 'echo hi >/x/new'], (spec) => {
      spec.mounts.push({ destination: '/x', source: dir, options: ['rbind', 'rw'] });
    });
    mkdirSync(`${bundle.rootfs}/x`);
    await box.printed(bundle);
    expect(readFileSync(`${dir}/new`, 'utf8')).toBe('hi\n');
  });

  check('the type of a bind is ignored', async (box) => {
    const out = await box.sh('cat /x/y/file', (spec) => {
      const source = `${hostDir(box)}/file`;
      spec.mounts.push({ destination: '/x/y/file', type: 'none', source, options: ['rbind'] });
    });
    expect(out).toBe('from the host');
  });

  check('the default ones have their type and options', async (box) => {
    const text = await box.printed(box.bundle(MOUNTINFO));
    const seen = Object.fromEntries(parseMountinfo(text).map((mount) => [mount.target, mount]));
    expect(seen['/proc']).toMatchObject({ type: 'proc', source: 'proc' });
    expect(seen['/dev']).toMatchObject({ type: 'tmpfs', source: 'tmpfs' });
    expect(seen['/dev']!.superOptions).toEqual(expect.arrayContaining(['size=65536k', 'mode=755']));
    expect(seen['/dev/pts']!.type).toBe('devpts');
    expect(seen['/dev/pts']!.superOptions).toEqual(
      expect.arrayContaining(['gid=5', 'mode=620', 'ptmxmode=666']),
    );
    expect(seen['/dev/mqueue']!.type).toBe('mqueue');
    expect(seen['/sys']!.type).toBe('sysfs');
    expect(seen['/sys']!.options).toEqual(
      expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']),
    );
  });

  check('a source that is not there fails with its place', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.mounts.push({ destination: '/x', source: box.path('none'), options: ['bind'] });
    });
    const line = refusal(await box.run(bundle));
    expect(line).toMatch(/none.*no such file or directory/);
    if (isRuncell) expect(line).toContain('mounts[6]');
  });

  check('an unknown filesystem type fails with its place', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.mounts.push({ destination: '/x', type: 'nosuchfs', source: 'x' });
    });
    mkdirSync(`${bundle.rootfs}/x`);
    const line = refusal(await box.run(bundle));
    expect(line).toMatch(/no such device/);
    expect(line).toMatch(/nosuchfs|\/x/);
  });

  check('a file on a directory and a directory on a file are refused', async (box) => {
    const dir = hostDir(box);
    for (const [source, destination] of [
      [`${dir}/file`, '/etc'],
      [dir, '/etc/passwd'],
    ]) {
      const bundle = box.bundle(['true'], (spec) => {
        spec.mounts.push({ destination: destination!, source: source!, options: ['bind'] });
      });
      expect(refusal(await box.run(bundle))).toContain(destination);
    }
  });

  check('300 of them are all made', async (box) => {
    const dir = hostDir(box);
    const out = await box.sh('grep -c /many/ /proc/self/mountinfo', (spec) => {
      spec.mounts.push({ destination: '/many', type: 'tmpfs', source: 'tmpfs' });
      for (let index = 0; index < 300; index++) {
        spec.mounts.push({ destination: `/many/${index}`, source: dir, options: ['bind', 'ro'] });
      }
      spec.root.readonly = false;
    });
    expect(out).toBe('300');
  });

  check('cgroup is cgroup2 and shows the own group', { cgroup2: true }, async (box) => {
    const bundle = box.bundle(
      ['sh', '-c', 'ls /sys/fs/cgroup; cat /proc/self/mountinfo'],
      (spec) => {
        spec.linux.namespaces.push({ type: 'cgroup' });
        spec.mounts.push({
          destination: '/sys/fs/cgroup',
          type: 'cgroup',
          source: 'cgroup',
          options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
        });
      },
    );
    const out = await box.printed(bundle);
    if (!isRuncell) return; // On a hybrid host runc mounts each v1 hierarchy.
    expect(mountAt(out, '/sys/fs/cgroup')).toMatchObject({ type: 'cgroup2', root: '/' });
    expect(mountAt(out, '/sys/fs/cgroup').options).toContain('ro');
    expect(out).toMatch(/^cgroup\.procs$/m);
  });
});
