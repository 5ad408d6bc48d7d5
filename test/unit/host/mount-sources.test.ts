/** What the planner is told of files: links of a rootfs stay inside it, whatever they say. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Config, Mount } from '@opencontainers-ts/spec';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { probeMounts, resolveInRootfs } from '../../../src/libcontainer/host/mount-sources.ts';

let bundle: string;
let rootfs: string;

beforeAll(() => {
  bundle = mkdtempSync(`${tmpdir()}/runcell-sources-`);
  rootfs = `${bundle}/rootfs`;
  mkdirSync(`${rootfs}/real/sub`, { recursive: true });
  mkdirSync(`${rootfs}/deep`);
  writeFileSync(`${rootfs}/real/file`, 'five5', { mode: 0o640 });
  symlinkSync('sub', `${rootfs}/real/link`);
  execFileSync('mkfifo', [`${rootfs}/real/fifo`]);
  const links = {
    absolute: '/real/sub',
    relative: 'real',
    out: '../../../../etc',
    dangling: '/not/there',
    chain: 'absolute/../file',
    self: 'self',
    'deep/up': '../real',
    ping: '/pong',
    pong: 'ping/x',
  };
  for (const [path, target] of Object.entries(links)) symlinkSync(target, `${rootfs}/${path}`);
});
afterAll(() => rmSync(bundle, { recursive: true }));

describe('resolveInRootfs', () => {
  test.each([
    ['/real/sub', '/real/sub'],
    ['/missing/a', '/missing/a'],
    ['/absolute/x', '/real/sub/x'],
    ['/relative/sub', '/real/sub'],
    ['/out/passwd', '/etc/passwd'],
    ['/out/../../x', '/x'],
    ['/dangling/x', '/not/there/x'],
    ['/chain', '/real/file'],
    ['/deep/up/file', '/real/file'],
    ['/../../real', '/real'],
    ['/./real//sub/', '/real/sub'],
    ['/real/file/..', '/real'],
    ['/', '/'],
  ])('%s is %s', (path, expected) => {
    expect(resolveInRootfs(rootfs, path)).toBe(expected);
  });

  test.each(['/self', '/self/x', '/ping'])('%s never ends: the kernel is to say so', (path) => {
    expect(resolveInRootfs(rootfs, path)).toBe(path);
  });
});

describe('probeMounts', () => {
  const probe = (mounts: Mount[]) =>
    probeMounts({ ociVersion: '1.3.0', mounts } as unknown as Config, bundle, rootfs);

  test('bind sources are absolute, and directories or not', () => {
    const facts = probe([
      { destination: '/a', source: 'rootfs/real', options: ['rbind'] },
      { destination: '/b', type: 'bind', source: `${rootfs}/real/file` },
      { destination: '/c', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/a', source: 'nowhere', options: ['bind', 'remount'] },
    ]);
    expect(facts.mounts.map(({ source }) => source)).toEqual([
      rootfs.replace(/$/, '/real'),
      `${rootfs}/real/file`,
      'tmpfs',
      'nowhere',
    ]);
    expect(facts.sourceIsDirectory).toEqual([true, false, true, true]);
  });

  test('links are followed in the rootfs, not below an earlier mount', () => {
    const tmpfs = (destination: string): Mount => ({ destination, type: 'tmpfs' });
    const { destinations } = probe([tmpfs('/relative'), tmpfs('/deep'), tmpfs('/deep/up/../x')]);
    expect(destinations).toEqual(['/real', '/deep', '/deep/x']);
  });

  test('what tmpcopyup covers: directories, files, links', () => {
    const options = ['tmpcopyup'];
    const { copyUp } = probe([{ destination: '/relative', type: 'tmpfs', options }]);
    const entries = [...copyUp.get(0)!].sort((a, b) => a.path.localeCompare(b.path));
    expect(entries.map(({ uid: _, gid: __, ...entry }) => entry)).toEqual([
      { kind: 'file', path: 'file', mode: 0o640, size: 5 },
      { kind: 'link', path: 'link', target: 'sub' },
      { kind: 'directory', path: 'sub', mode: 0o755 },
    ]);
    const none = probe([{ destination: '/missing', type: 'tmpfs', options }]);
    expect(none.copyUp.get(0)).toEqual([]);
  });

  test('a source that is missing or empty names its mount', () => {
    const missing = { destination: '/a', source: '/no/such', options: ['bind'] };
    expect(() => probe([missing])).toThrow(
      'mounts[0].source: bind /no/such: no such file or directory (ENOENT)',
    );
    expect(() => probe([{ destination: '/a', source: '', options: ['bind'] }])).toThrow(
      'mounts[0].source: a bind mount needs a source',
    );
  });
});
