/**
 * The emitted launcher, executed in trees like npm's, on x86-64 and under qemu-aarch64-static. In the
 * place of Node is a script that dumps what it was given (test/helpers/launcher-tree.ts).
 */

import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MAX_KEPT_FDS, NODE_FLAGS } from '../../../src/launcher/hand-over.ts';
import type { Arch } from '../../../src/libcontainer/linux/arch.ts';
import { LauncherTree } from '../../helpers/launcher-tree.ts';

describe.each(['x64', 'arm64'] as const)('launcher [%s]', (arch: Arch) => {
  test('gives Node its flags, the script, the memfd and the arguments, and no environment', () => {
    using tree = new LauncherTree(arch);
    const args = ['--root', '/x', 'run', '', '-d', 'a b', '\u00fc'];
    const dump = tree.run({ args, env: { A: '1', NODE_OPTIONS: '--inspect' } });
    const script = join(dirname(tree.launcher), 'runcell.cjs');
    expect(dump.argv).toEqual([...NODE_FLAGS, script, String(dump.memfd), ...args]);
    expect(dump.environ).toBe('');
    expect(dump.status).toBe(7);
    expect(dump.handOver.env.toSorted()).toEqual(['A=1', 'NODE_OPTIONS=--inspect']);
    expect(dump.handOver.launcherPid).toBe(dump.pid);
  });

  test('hands over limits and umask, and leaves both alone', () => {
    using tree = new LauncherTree(arch);
    const shell = 'ulimit -Sn 600; ulimit -Hn 700; umask 027; exec "$@"';
    const { handOver, limits } = tree.run({ shell });
    expect(limits).toBe('0027 600');
    expect(handOver).toMatchObject({ umask: 0o27, nofileSoft: 600n, nofileHard: 700n });
    expect(handOver).toMatchObject({ keep: 3, listenFds: 0, firstMissingFd: -1 });
  });

  test.each(['0<&-', '1>&-', '2>&-', '0<&- 1>&-', '0<&- 1>&- 2>&-'])(
    'opens /dev/null for closed standard descriptors [%s]',
    (redirections) => {
      using tree = new LauncherTree(arch);
      const { fds } = tree.run({ shell: `exec "$@" ${redirections}` });
      for (const fd of [0, 1, 2]) {
        if (redirections.includes(`${fd}`)) expect(fds.get(fd)).toBe('/dev/null');
        else expect(fds.has(fd)).toBe(true);
      }
      expect(fds.size).toBe(4);
    },
  );

  test.each([
    ['dense', [3, 4, 5, 6, 7]],
    ['sparse', [4, 9, 17, 40, 200]],
  ])('closes stray descriptors [%s]', (_, stray) => {
    using tree = new LauncherTree(arch);
    const { fds, memfd } = tree.run({ shell: `exec "$@" ${opened(stray)}` });
    expect([...fds.keys()].toSorted(ascending)).toEqual([0, 1, 2, memfd]);
    expect(fds.get(memfd)).toMatch(/^\/memfd:runcell-launch/);
  });

  const spellings: [string[], number][] = [
    [['-preserve-fds', '2'], 2],
    [['--preserve-fds', '2'], 2],
    [['-preserve-fds=2'], 2],
    [['run', '--preserve-fds=2', 'id'], 2],
    [['--preserve-fds=1', '-preserve-fds', '4', '--preserve-fds=3'], 4],
    [['--preserve-fds=x'], 0],
    [['--preserve-fds='], 0],
    [['--preserve-fds', ''], 0],
    [['--preserve-fds=-1'], 0],
    [['--preserve-fds=2x'], 0],
    [['--preserve-fds'], 0],
    [['--preserve-fds-more=9', 'preserve-fds=9', '---preserve-fds=9', '--preserve-fd', '9'], 0],
    [['--preserve-fds=65537'], MAX_KEPT_FDS],
    [['--preserve-fds=18446744073709551617'], MAX_KEPT_FDS],
  ];
  test.each(spellings)('reads preserve-fds of %j as %d', (args, count) => {
    using tree = new LauncherTree(arch);
    const { handOver, memfd } = tree.run({ args });
    expect(handOver.keep).toBe(3 + count);
    expect(memfd).toBeGreaterThan(2);
  });

  test('keeps preserved descriptors, closes those above, and stays out of their way', () => {
    using tree = new LauncherTree(arch);
    const shell = `exec "$@" ${opened([3, 4, 5, 6, 9])}`;
    const { fds, memfd, handOver } = tree.run({ args: ['--preserve-fds=3'], shell });
    expect(handOver).toMatchObject({ keep: 6, firstMissingFd: -1 });
    expect([...fds.keys()].toSorted(ascending)).toEqual([0, 1, 2, 3, 4, 5, memfd]);
    expect(memfd).toBeGreaterThanOrEqual(6);
  });

  test('reports the first descriptor that is missing', () => {
    using tree = new LauncherTree(arch);
    const shell = `exec "$@" ${opened([3, 5])}`;
    const { fds, memfd, handOver } = tree.run({ args: ['--preserve-fds=4'], shell });
    expect(handOver).toMatchObject({ keep: 7, firstMissingFd: 4 });
    expect([...fds.keys()].toSorted(ascending)).toEqual([0, 1, 2, 3, 5, memfd]);
  });

  test('hands over with more preserved descriptors than the limit allows', () => {
    using tree = new LauncherTree(arch);
    const shell = `ulimit -n 64; exec "$@" ${opened([3])}`;
    const { handOver, memfd } = tree.run({ args: ['--preserve-fds=5000'], shell });
    expect(handOver).toMatchObject({ keep: 5003, firstMissingFd: 4, nofileSoft: 64n });
    expect(memfd).toBeLessThan(64);
  });

  test('adds LISTEN_FDS that are meant for it', () => {
    using tree = new LauncherTree(arch);
    const shell = `export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@" ${opened([3, 4, 5, 6])}`;
    const { fds, memfd, handOver } = tree.run({ args: ['--preserve-fds=1'], shell });
    expect(handOver).toMatchObject({ keep: 6, listenFds: 2, firstMissingFd: -1 });
    expect([...fds.keys()].toSorted(ascending)).toEqual([0, 1, 2, 3, 4, 5, memfd]);
  });

  test.each([
    'LISTEN_PID=1 LISTEN_FDS=2',
    'LISTEN_FDS=2',
    'LISTEN_PID= LISTEN_FDS=2',
    'LISTEN_PID=$$ LISTEN_FDS=two',
    'LISTEN_PID=$$',
    'LISTEN_PID=$$ LISTEN_FDSX=2',
  ])('ignores listening descriptors of others [%s]', (variables) => {
    using tree = new LauncherTree(arch);
    const shell = `export ${variables}; exec "$@" ${opened([3, 4])}`;
    const { fds, memfd, handOver } = tree.run({ shell });
    expect(handOver).toMatchObject({ keep: 3, listenFds: 0 });
    expect([...fds.keys()].toSorted(ascending)).toEqual([0, 1, 2, memfd]);
  });

  test('hands over an empty environment', () => {
    using tree = new LauncherTree(arch);
    const path = process.env['PATH']!;
    // Emulation is found by PATH, which the launcher must then not see.
    const shell = `PATH=${path}; exec env -i "$(command -v "$1")" "\${@:2}"`;
    expect(tree.run({ shell }).handOver.env).toEqual([]);
  });

  test('hands over an environment of 1 MiB, with many arguments', () => {
    using tree = new LauncherTree(arch);
    const names = Array.from({ length: 10 }, (_, index) => `V${index}`);
    const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'] };
    for (const name of names) env[name] = name.repeat(50_000);
    const args = Array.from({ length: 20_000 }, (_, index) => `a${index}`);
    const { handOver, argv } = tree.run({ env, args });
    expect(handOver.envBytes.length).toBeGreaterThan(1_000_000);
    expect(handOver.env).toContain(`V9=${'V9'.repeat(50_000)}`);
    expect(argv.slice(-20_000)).toEqual(args);
  });

  test('finds its directory when called through a link', () => {
    using tree = new LauncherTree(arch);
    const bin = join(tree.root, 'bin');
    mkdirSync(bin);
    symlinkSync(tree.launcher, join(bin, 'runcell'));
    const { argv } = tree.run({ path: join(bin, 'runcell') });
    expect(argv[NODE_FLAGS.length]).toBe(join(dirname(tree.launcher), 'runcell.cjs'));
  });

  test('works in a tree that was moved', () => {
    using tree = new LauncherTree(arch);
    const moved = join(tree.root, 'moved');
    renameSync(join(tree.root, 'package'), moved);
    const nodePackage = join(moved, `node_modules/node-linux-${arch}`);
    const { argv } = tree.run({ path: join(moved, 'dist/runcell') }, nodePackage);
    expect(argv[NODE_FLAGS.length]).toBe(join(moved, 'dist/runcell.cjs'));
  });

  test('finds a Node that npm has hoisted', () => {
    using tree = new LauncherTree(arch, 'hoisted');
    expect(tree.run({ args: ['list'] }).argv.at(-1)).toBe('list');
  });

  test('says in one line that its Node is missing', () => {
    using tree = new LauncherTree(arch);
    rmSync(tree.nodePackage, { recursive: true });
    const { status, stderr } = tree.spawn({ args: ['list'] });
    const beside = dirname(tree.launcher);
    expect(stderr).toBe(
      `runcell: cannot execute its Node (node-linux-${arch} beside ${beside}): run npm ci\n`,
    );
    expect(status).toBe(1);
  });
});

test.skipIf(process.arch !== 'x64')('launcher says that /proc is not mounted', () => {
  using tree = new LauncherTree('x64');
  // Without /proc: a root directory that has nothing but the tree.
  const shell = `exec unshare --map-root-user chroot ${tree.root} /package/dist/runcell`;
  const { status, stderr } = tree.spawn({ shell });
  expect(stderr).toBe('runcell: /proc is not mounted\n');
  expect(status).toBe(1);
});

test.skipIf(process.arch !== 'x64')('launcher becomes the pinned Node', () => {
  using tree = new LauncherTree('x64');
  const node = join(tree.nodePackage, 'bin/node');
  rmSync(node);
  symlinkSync(process.execPath, node);
  const out = join(tree.root, 'out');
  const script = `
    const fs = require('node:fs');
    const handOver = fs.readFileSync(Number(process.argv[2]));
    const { argv, argv0, execArgv, env } = process;
    fs.writeFileSync(argv[3], JSON.stringify({ argv, argv0, execArgv, env, size: handOver.length }));
  `;
  writeFileSync(join(dirname(tree.launcher), 'runcell.cjs'), script);
  const { status, stderr } = tree.spawn({ args: [out, 'x'], env: { A: '1' } });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const seen = JSON.parse(readFileSync(out, 'utf8'));
  expect(seen).toMatchObject({ argv0: 'runcell', execArgv: [...NODE_FLAGS], env: {}, size: 52 });
  expect(seen.argv.slice(3)).toEqual([out, 'x']);
});

function opened(fds: readonly number[]): string {
  return fds.map((fd) => `${fd}</dev/zero`).join(' ');
}

function ascending(a: number, b: number): number {
  return a - b;
}
