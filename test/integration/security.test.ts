/**
 * What a container may not do to the host while it is made, joined and run. One title a known
 * vulnerability; ../shared/reference/security.md §1 has their causes.
 */

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect } from 'vitest';
import type { Box, Bundle } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { namespaceOf, procStatus } from '../helpers/proc.ts';
import { repository, runtime } from '../helpers/runtime.ts';
import { setNamespace } from '../helpers/spec.ts';
import { Terminal } from '../helpers/terminal.ts';

const modern = { notRunc: 'runc 1.1.5 is older than the fix' };

/** Everything of the product and the Node that runs it. */
function digest(): string {
  const hash = createHash('sha256');
  const dist = dirname(runtime.path);
  for (const name of readdirSync(dist).sort()) {
    const path = `${dist}/${name}`;
    if (/\.(cjs|js)$|^runcell$|^executor$/.test(name)) hash.update(readFileSync(path));
  }
  hash.update(readFileSync(`${repository}/node_modules/.bin/node`));
  return hash.digest('hex');
}

/** Opens every /proc/PID/exe for writing, as long as it lasts, and says what it could write to. */
const OVERWRITER = `
while :; do
  for exe in /proc/[0-9]*/exe; do
    target=$(readlink $exe 2>/dev/null) || continue
    case $target in */busybox) continue;; esac
    if (echo evil >>$exe) 2>/dev/null; then echo "WROTE $target"; fi
    echo "saw $target"
  done
done`;

describe('CVE-2019-5736: the runtime overwritten through /proc/PID/exe', () => {
  check('a watcher inside sees no file of the host and writes to none', modern, async (box) => {
    const before = digest();
    const container = await box.start(
      box.bundle(['sh', '-c', OVERWRITER], (spec) => {
        const all = ['CAP_SYS_PTRACE', 'CAP_DAC_OVERRIDE', 'CAP_SYS_ADMIN', 'CAP_KILL'];
        spec.process.capabilities = { bounding: all, effective: all, permitted: all };
        spec.root.readonly = false;
      }),
    );
    for (let round = 0; round < 20; round++) await box.exec(container, ['true']);
    await box.silent(['kill', container.id, 'KILL']);
    expect(container.out()).not.toContain('WROTE');
    for (const line of new Set(container.out().split('\n'))) {
      // A joining process is the sealed copy in memory, whose name says runcell.
      expect(line).not.toMatch(/saw \/(?!memfd:).*(runcell|node|\.cjs)/);
    }
    expect(digest()).toBe(before);
  });

  check(
    'an entry point that is /proc/self/exe changes nothing of the host',
    modern,
    async (box) => {
      const before = digest();
      const bundle = box.bundle(['/entry'], (spec) => {
        spec.root.readonly = false;
      });
      const entries: (() => void)[] = [
        () => writeFileSync(`${bundle.rootfs}/entry`, '#!/proc/self/exe\n', { mode: 0o755 }),
        () => symlinkSync('/proc/self/exe', `${bundle.rootfs}/entry`),
      ];
      for (const make of entries) {
        rmSync(`${bundle.rootfs}/entry`, { force: true });
        make();
        // At most it is the sealed executor, as a program of the container.
        await box.run(bundle);
      }
      expect(digest()).toBe(before);
    },
  );
});

describe('CVE-2024-21626: descriptors that lead to the host', () => {
  const HOST_FDS = 40;

  async function tried(box: Box, bundle: Bundle, flags: string[] = []): Promise<void> {
    const fds = Array.from({ length: HOST_FDS }, () => openSync('/', 'r'));
    const outcome = await box.run(bundle, flags, { extraFds: fds });
    expect(outcome.stdout).not.toContain('HOST');
  }

  check('no cwd below /proc/self/fd ends outside', modern, async (box) => {
    const canary = `HOST${box.tag}`;
    writeFileSync(box.path(canary), '');
    const inside = `..${box.dir}/${canary}`;
    for (const fd of [3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 30]) {
      const script = `ls ${inside} ../../../../..${box.dir}/ 2>/dev/null; pwd`;
      const bundle = box.bundle(['sh', '-c', script], (spec) => {
        spec.process.cwd = `/proc/self/fd/${fd}`;
      });
      await tried(box, bundle);
    }
  });

  check('no program below /proc/self/fd is one of the host', modern, async (box) => {
    for (const fd of [3, 5, 7, 9, 11]) {
      const bundle = box.bundle([`/proc/self/fd/${fd}/bin/cat`, '/etc/hostname']);
      expect((await box.run(bundle)).status).not.toBe(0);
    }
  });

  check('exec with a cwd through a link of the image stays inside', modern, async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    symlinkSync('/proc/self/fd/7', `${bundle.rootfs}/way-out`);
    const container = await box.start(bundle);
    for (const cwd of ['/way-out', '/proc/self/fd/5', '/proc/self/fd/8', '/proc/1/root/..']) {
      const { stdout } = await box.verb([
        'exec',
        '--cwd',
        cwd,
        container.id,
        'sh',
        '-c',
        'ls ../../../..',
      ]);
      expect(stdout.split('\n')).not.toContain('lost+found');
    }
  });
});

describe('CVE-2016-9962: a process that joins is out of reach', () => {
  check('exec is not dumpable before its program runs, nor traceable', modern, async (box) => {
    const watch = `
while :; do for p in /proc/[0-9]*; do
  for link in $p/root $p/cwd $p/fd/*; do
    t=$(readlink $link 2>/dev/null) && echo "$t"
  done
done; done`;
    const bundle = box.bundle(['sh', '-c', watch], (spec) => {
      const all = ['CAP_SYS_PTRACE', 'CAP_DAC_READ_SEARCH'];
      spec.process.capabilities = { bounding: all, effective: all, permitted: all };
    });
    const container = await box.start(bundle);
    for (let round = 0; round < 20; round++) await box.exec(container, ['true']);
    await box.silent(['kill', container.id, 'KILL']);
    for (const target of new Set(container.out().split('\n'))) {
      if (/\/(out|err)\d+$/.test(target)) continue; // The container's own stdio.
      expect(target).not.toMatch(/^\/(work|tmp\/rct|sys\/fs\/cgroup\/unified)/);
    }
  });
});

describe('CVE-2016-10124: the terminal of the caller', () => {
  check('a program without a terminal cannot type into it', async (box) => {
    const { dir } = box.bundle([
      'sh',
      '-c',
      'exec <&0; stty raw 2>/dev/null; tty; cat /proc/$$/stat',
    ]);
    const args = ['--root', box.root, 'run', '--bundle', dir, box.id()];
    await using screen = new Terminal(runtime.path, args);
    await screen.ends();
    // Field 7: the controlling terminal, 0 for none.
    const stat = /\(\w+\) (.*)/.exec(screen.shown)?.[1]?.split(' ');
    expect(`${stat?.[4]} in ${screen.shown}`).toMatch(/^0 in/);
  });
});

describe('a joined pid namespace', () => {
  check('its /proc shows that namespace only', modern, async (box) => {
    const first = await box.start(box.bundle(['sleep', '100']));
    const out = await box.sh('cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l', (spec) => {
      setNamespace(spec, { type: 'pid', path: `/proc/${first.pid}/ns/pid` });
    });
    const [comm, count] = out.split('\n');
    expect(comm).toBe('sleep');
    expect(Number(count)).toBeLessThan(8);
  });
});

describe('init', () => {
  check('a created one runs nothing but sealed memory', modern, async (box) => {
    const { pid } = await box.create(box.bundle(['sleep', '100']));
    const maps = readFileSync(`/proc/${pid}/maps`, 'latin1');
    expect(maps).not.toMatch(/ \/(?!memfd:)/);
    expect(maps).toMatch(/memfd:/);
    expect(procStatus(pid)['Seccomp']).toBe('0');
    expect(namespaceOf(pid, 'mnt')).not.toBe(namespaceOf('self', 'mnt'));
  });

  const noexec = { ...modern, path: '/proc/sys/vm/memfd_noexec', tool: 'unshare' };
  check('runs from a read-only file of its own where memfds may not', noexec, async (box) => {
    const { dir } = box.bundle(['sleep', '100']);
    const [id, run] = [box.id(), `${runtime.path} --root ${box.root}`];
    const script = [
      'echo 2 >/proc/sys/vm/memfd_noexec',
      `${run} create --bundle ${dir} --pid-file pid ${id} </dev/null >/dev/null`,
      'exe=/proc/$(cat pid)/exe; readlink $exe; echo x >$exe',
      `${run} start ${id}; ${run} exec ${id} echo inside; ${run} run --bundle ${dir} ${id}r &`,
      `until ${run} state ${id}r 2>&1 | grep -q '"running"'; do sleep 0.1; done`,
      `${run} kill ${id}r KILL; wait; ${run} delete --force ${id}`,
    ].join('\n');
    const args = ['-pf', '--mount-proc', 'sh', '-c', script];
    const { stdout, stderr } = await box.command('unshare', args);
    expect(stdout).toBe('/runcell\ninside\n');
    expect(stderr).toMatch(/^sh: .*(Text file busy|Read-only file system)\n$/);
  });

  check('hostile libraries and helpers of the image are never run', modern, async (box) => {
    const marker = '/dev/shm/ran';
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.root.readonly = false;
      spec.process.user = { uid: 1001, gid: 1001, additionalGids: [2000] };
    });
    const evil = `#!/bin/sh\ntouch ${marker} /ran\n`;
    for (const name of ['ps', 'newuidmap', 'newgidmap', 'getent', 'criu', 'nsenter', 'mount']) {
      for (const dir of ['bin', 'usr/bin', 'sbin', 'usr/local/sbin']) {
        mkdirSync(`${bundle.rootfs}/${dir}`, { recursive: true });
        rmSync(`${bundle.rootfs}/${dir}/${name}`, { force: true });
        writeFileSync(`${bundle.rootfs}/${dir}/${name}`, evil, { mode: 0o755 });
      }
    }
    writeFileSync(`${bundle.rootfs}/etc/ld.so.preload`, '/evil.so\n');
    const container = await box.start(bundle);
    await box.exec(container, ['true']);
    await eventually('running', async () => (await box.status(container.id)) === 'running');
    await box.silent(['delete', '--force', container.id]);
    expect(existsSync(`${bundle.rootfs}/ran`)).toBe(false);
  });

  check('files that the runtime needs in the image may be hostile', modern, async (box) => {
    // passwd is read for HOME: a FIFO, a device, a directory, a gigabyte.
    const dir = mkdtempSync(box.path('hostile-'));
    expect(existsSync(dir)).toBe(true);
    const hostile: Record<string, string> = {
      fifo: 'rm etc/passwd; mkfifo etc/passwd',
      device: 'rm etc/passwd; mknod etc/passwd c 1 5',
      link: 'rm etc/passwd; ln -s /dev/zero etc/passwd',
      directory: 'rm etc/passwd; mkdir etc/passwd',
      huge: 'truncate -s 1G etc/passwd',
      binary: 'head -c 100000 /dev/urandom >etc/passwd',
    };
    for (const [what, script] of Object.entries(hostile)) {
      const bundle = box.bundle(['sh', '-c', 'echo home $HOME']);
      const made = await box.command('sh', ['-c', `cd ${bundle.rootfs} && ${script}`]);
      expect({ what, status: made.status }).toEqual({ what, status: 0 });
      const outcome = await box.run(bundle);
      expect(outcome.milliseconds, what).toBeLessThan(5000);
      if (outcome.status === 0) expect(outcome.stdout, what).toMatch(/^home \/(root)?\n$/);
      else expect(outcome.stderr, what).toContain('passwd');
    }
  });
});
