/**
 * `root`, masked and read-only paths: runtime-spec 1.3 config.md#root,
 * config-linux.md#masked-paths, #readonly-paths, #rootfs-mount-propagation; pivot_root(2),
 * mount_namespaces(7).
 */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { hostMounts, mountAt } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';
import { dropNamespace, type Spec } from '../helpers/spec.ts';

const MOUNTINFO = ['cat', '/proc/self/mountinfo'];

function writable(spec: Spec): void {
  spec.root.readonly = false;
}

describe('root', () => {
  check('readonly: nothing can be written, mounts apart', async (box) => {
    const script = 'touch /x /etc/x /dev/shm/x 2>&1; ls /dev/shm';
    const out = await box.sh(script);
    expect(out).toContain('touch: /x: Read-only file system');
    expect(out).toContain('touch: /etc/x: Read-only file system');
    expect(out.split('\n').at(-1)).toBe('x');
  });

  check('writable: what is written is in the rootfs, of the right owner', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'echo text >/made; chmod 640 /made'], writable);
    await box.printed(bundle);
    expect(readFileSync(`${bundle.rootfs}/made`, 'utf8')).toBe('text\n');
  });

  check('is / and nothing of the host is above', async (box) => {
    const out = await box.sh('ls -a /..; cat /../etc/os-release');
    expect(out).toContain('ID=runcelltest');
    expect(out.split('\n')).not.toContain('work');
  });

  check('the mount table holds the mounts of the container only', async (box) => {
    const out = await box.printed(box.bundle(MOUNTINFO));
    const targets = out.split('\n').map((line) => line.split(' ')[4]!);
    expect(targets[0]).toBe('/');
    for (const target of targets) {
      expect(target).toMatch(/^\/($|proc|dev|sys)/);
    }
    expect(out).not.toContain('/work');
  });

  check('path absolute, relative, with dots, through a link', async (box) => {
    const bundle = box.bundle(['cat', '/etc/os-release']);
    symlinkSync('rootfs', `${bundle.dir}/link`);
    const name = bundle.dir.slice(bundle.dir.lastIndexOf('/') + 1);
    const paths = [bundle.rootfs, './rootfs', `../${name}/rootfs`];
    // runc refuses a link: it looks the path up again later.
    if (isRuncell) paths.push('link');
    for (const path of paths) {
      box.rewrite(bundle, (spec) => {
        spec.root.path = path;
      });
      expect(await box.printed(bundle)).toContain('runcelltest');
    }
  });

  check('in a directory with blanks, quotes and unicode', async (box) => {
    const bundle = box.bundle(['cat', '/etc/os-release']);
    const dir = box.path('a b\\040 "ü" \'x\'');
    renameSync(bundle.dir, dir);
    const outcome = await box.verb(['run', '--bundle', dir, box.id()]);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toContain('runcelltest');
  });

  check('missing is refused by its field', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.root.path = 'not-there';
    });
    const line = refusal(await box.run(bundle));
    expect(line).toMatch(/not-there|rootfs/);
    if (isRuncell) expect(line).toContain('root.path');
  });

  check('that is a file is refused', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.root.path = 'config.json';
    });
    refusal(await box.run(bundle));
  });

  check("--no-pivot shows the same files and keeps the host's mounts out", async (box) => {
    const bundle = box.bundle([
      'sh',
      '-c',
      'cat /etc/os-release; ls /..; cat /proc/self/mountinfo',
    ]);
    const outcome = await box.run(bundle, ['--no-pivot']);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toContain('runcelltest');
    expect(outcome.stdout.split('\n')).not.toContain('work');
  });

  const LEAKS = { notRunc: 'it leaves its bind of the rootfs on the host' };
  check('without a mount namespace leaves the host unchanged', LEAKS, async (box) => {
    const before = hostMounts().length;
    const bundle = box.bundle(['ls', '/etc'], (spec) => {
      dropNamespace(spec, 'mount');
      spec.mounts = [];
      spec.linux.maskedPaths = [];
      spec.linux.readonlyPaths = [];
      spec.root.readonly = false;
    });
    const outcome = await box.run(bundle);
    if (outcome.status === 0) expect(outcome.stdout).toContain('os-release');
    else refusal(outcome);
    expect(hostMounts()).toHaveLength(before);
  });
});

describe('linux.rootfsPropagation', () => {
  const leftPrivate = 'the root stays private';
  const cannotBind = 'it cannot bind the rootfs of an unbindable /';
  const TABLE: readonly [string, RegExp, string?][] = [
    ['private', /^$/],
    ['rprivate', /^$/],
    ['slave', /^(master:\d+)?$/],
    ['rslave', /^(master:\d+)?$/],
    ['shared', /^shared:\d+/, leftPrivate],
    ['rshared', /^shared:\d+/, leftPrivate],
    ['unbindable', /^unbindable$/, cannotBind],
    ['runbindable', /^unbindable$/, cannotBind],
  ];
  for (const [propagation, shown, notRunc] of TABLE) {
    const judge = notRunc === undefined ? {} : { notRunc };
    check(`${propagation} is what / has`, judge, async (box) => {
      const bundle = box.bundle(MOUNTINFO, (spec) => {
        spec.linux.rootfsPropagation = propagation;
      });
      const root = mountAt(await box.printed(bundle), '/');
      expect(root.propagation.join(' ')).toMatch(shown);
    });
  }

  check('absent: no mount of the container reaches the host', async (box) => {
    const before = hostMounts().map((mount) => mount.target);
    const container = await box.start(
      box.bundle(['sleep', '100'], (spec) => {
        spec.process.capabilities = Object.fromEntries(
          ['bounding', 'effective', 'permitted'].map((set) => [set, ['CAP_SYS_ADMIN']]),
        );
      }),
    );
    await box.exec(container, ['mount', '-t', 'tmpfs', 'x', '/dev/shm']);
    expect(hostMounts().map((mount) => mount.target)).toEqual(before);
  });

  check('an unknown one is refused by its field', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.linux.rootfsPropagation = 'sideways';
    });
    expect(refusal(await box.run(bundle))).toMatch(/rootfsPropagation|rootfs propagation/i);
  });
});

describe('linux.maskedPaths', () => {
  check('a file reads empty, a directory is empty and read-only', async (box) => {
    const script =
      'wc -c </secret; ls -A /hidden; touch /hidden/x 2>&1; echo x >/secret; cat /secret';
    const bundle = box.bundle(['sh', '-c', script], (spec) => {
      spec.linux.maskedPaths = ['/secret', '/hidden', '/proc/kcore'];
      spec.root.readonly = false;
    });
    writeFileSync(`${bundle.rootfs}/secret`, 'secret');
    mkdirSync(`${bundle.rootfs}/hidden`);
    writeFileSync(`${bundle.rootfs}/hidden/file`, 'hidden');
    const { stdout } = await box.run(bundle);
    expect(stdout).toBe('0\ntouch: /hidden/x: Read-only file system\n');
    expect(readFileSync(`${bundle.rootfs}/secret`, 'utf8')).toBe('secret');
  });

  check('one that is not there is no error', async (box) => {
    const out = await box.sh('echo fine', (spec) => {
      spec.linux.maskedPaths = ['/no/such/thing', '/proc/no/such/thing'];
    });
    expect(out).toBe('fine');
  });

  check(
    'through a link the target inside is masked',
    { notRunc: 'follows it by path' },
    async (box) => {
      const canary = box.path('canary');
      writeFileSync(canary, 'canary');
      const bundle = box.bundle(['cat', '/target'], (spec) => {
        spec.linux.maskedPaths = ['/link'];
      });
      writeFileSync(`${bundle.rootfs}/target`, 'secret');
      symlinkSync('/target', `${bundle.rootfs}/link`);
      expect(await box.printed(bundle)).toBe('');
      expect(readFileSync(canary, 'utf8')).toBe('canary');
    },
  );

  check('masks also for exec and with a user namespace', async (box) => {
    const patch = (spec: Spec) => {
      spec.linux.maskedPaths = ['/proc/keys', '/proc/timer_list'];
    };
    const container = await box.start(box.bundle(['sleep', '100'], patch));
    expect(await box.exec(container, ['sh', '-c', 'cat /proc/keys /proc/timer_list'])).toBe('');
  });

  check("a link at the rootfs's /dev/null masks nothing of procfs", async (box) => {
    const bundle = box.bundle(
      ['sh', '-c', 'cat /secret; echo; cat /proc/self/mountinfo'],
      (spec) => {
        spec.mounts = spec.mounts.filter(({ destination }) => !destination.startsWith('/dev'));
        spec.linux.maskedPaths = ['/secret'];
      },
    );
    writeFileSync(`${bundle.rootfs}/secret`, 'secret');
    symlinkSync('/proc/sys/kernel/core_pattern', `${bundle.rootfs}/dev/null`);
    const outcome = await box.run(bundle);
    if (outcome.status === 0) expect(outcome.stdout).not.toContain('secret\n');
    expect(existsSync('/dev/null')).toBe(true);
  });
});

describe('linux.readonlyPaths', () => {
  check('cannot be written, are still read, submounts included', async (box) => {
    const script =
      'cat /ro/file; touch /ro/x 2>&1; touch /ro/sub/x 2>&1; echo x >/proc/sys/kernel/hostname';
    const bundle = box.bundle(['sh', '-c', script], (spec) => {
      spec.linux.readonlyPaths = ['/ro', '/proc/sys', '/not/there'];
      spec.root.readonly = false;
      spec.mounts.push({ destination: '/ro/sub', type: 'tmpfs', source: 'tmpfs' });
    });
    mkdirSync(`${bundle.rootfs}/ro/sub`, { recursive: true });
    writeFileSync(`${bundle.rootfs}/ro/file`, 'readable\n');
    const { stdout, stderr } = await box.run(bundle);
    expect(stdout).toContain('readable\ntouch: /ro/x: Read-only file system\n');
    if (isRuncell) expect(stdout).toContain('touch: /ro/sub/x: Read-only file system\n');
    expect(stderr).toContain('Read-only file system');
  });

  check("keep the flags of the mount they're in", async (box) => {
    const bundle = box.bundle(MOUNTINFO, (spec) => {
      spec.linux.readonlyPaths = ['/dev/shm'];
    });
    const mount = mountAt(await box.printed(bundle), '/dev/shm');
    expect(mount.options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']));
  });
});

describe('files of the rootfs', () => {
  const CVE = { notRunc: 'CVE-2026-41579: it removes ptmx behind the link' };
  check('a rootfs whose /dev is a link leads to no host file', CVE, async (box) => {
    const canary = box.path('canary');
    mkdirSync(canary);
    writeFileSync(`${canary}/ptmx`, 'canary');
    const bundle = box.bundle(['true'], (spec) => {
      spec.mounts = spec.mounts.filter(({ destination }) => destination === '/proc');
      spec.root.readonly = false;
    });
    renameSync(`${bundle.rootfs}/dev`, `${bundle.rootfs}/olddev`);
    symlinkSync(canary, `${bundle.rootfs}/dev`);
    await box.run(bundle);
    expect(readFileSync(`${canary}/ptmx`, 'utf8')).toBe('canary');
    expect(readdirSync(canary)).toEqual(['ptmx']);
  });

  check('a mount target that is a link to the host lands inside', async (box) => {
    const canary = box.path('canary');
    writeFileSync(canary, 'canary');
    const source = box.path('source');
    writeFileSync(source, 'bound');
    const bundle = box.bundle(['cat', '/etc/resolv.conf'], (spec) => {
      spec.root.readonly = false;
      spec.mounts.push({
        destination: '/etc/resolv.conf',
        type: 'bind',
        source,
        options: ['bind', 'ro'],
      });
    });
    for (const link of [canary, `../../../../../../../..${canary}`]) {
      symlinkSync(link, `${bundle.rootfs}/etc/resolv.conf`);
      const outcome = await box.run(bundle);
      expect(readFileSync(canary, 'utf8')).toBe('canary');
      if (outcome.status === 0) expect(outcome.stdout).toBe('bound');
      rmSync(`${bundle.rootfs}/etc/resolv.conf`);
    }
    await eventually('no mount at the canary', () => {
      return hostMounts().every((mount) => mount.target !== canary);
    });
  });
});
