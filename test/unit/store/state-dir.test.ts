/** The state root: layout, links, owners, ids. */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RuncellError } from '../../../src/error.ts';
import {
  checkId,
  checkRoot,
  claimId,
  listIds,
  prepareRoot,
  removeStateDir,
  stateDirOf,
} from '../../../src/libcontainer/store/state-dir.ts';
import { bundleScript, firstLine } from '../../helpers/bundle.ts';
import { repository } from '../../helpers/runtime.ts';

let base: string;
const asRoot = process.geteuid!() === 0;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'runcell-root-'));
});
afterEach(() => rmSync(base, { recursive: true }));

const explicit = { explicit: true };
const mode = (path: string) => statSync(path).mode & 0o7777;

describe('prepareRoot', () => {
  it('makes root, states, bundles and containers, 0700 each, whatever the umask', () => {
    const root = `${base}/a/b`;
    const umask = process.umask(0);
    prepareRoot(root, explicit);
    process.umask(umask);
    for (const name of ['', '/states', '/bundles', '/containers']) {
      expect(mode(root + name), name).toBe(0o700);
      expect(lstatSync(root + name).isDirectory()).toBe(true);
    }
    expect(prepareRoot(root, explicit).states).toBe(`${root}/states`);
  });

  it('gives an implicit root of a user the sticky bit', () => {
    prepareRoot(`${base}/runcell`, { explicit: false });
    expect(mode(`${base}/runcell`)).toBe(0o1700);
  });

  it('finishes a root that was left half made', () => {
    mkdirSync(`${base}/root/containers`, { recursive: true });
    prepareRoot(`${base}/root`, explicit);
    expect(existsSync(`${base}/root/states`)).toBe(true);
  });

  it('refuses what others may write, a link, a file, `/` and a path that is not plain', () => {
    mkdirSync(`${base}/open`);
    chmodSync(`${base}/open`, 0o770);
    mkdirSync(`${base}/open/below`);
    symlinkSync(`${base}/real`, `${base}/link`);
    writeFileSync(`${base}/file`, '');
    mkdirSync(`${base}/sticky`);
    chmodSync(`${base}/sticky`, 0o1777);
    const cases: [string, string][] = [
      ['/open', 'writable by other users'],
      ['/open/below', 'writable by other users'],
      ['/sticky', 'writable by other users'],
      ['/link', 'a symbolic link is not used as state root'],
      ['/file', 'not a directory'],
      ['/x/../y', 'not an absolute, normalised path'],
      ['/x/', 'not an absolute, normalised path'],
    ];
    for (const [path, reason] of cases) {
      expect(() => prepareRoot(base + path, explicit), path).toThrowError(reason);
    }
    expect(() => prepareRoot('/', explicit)).toThrowError(
      'Option --root argument should not be set to /',
    );
    expect(existsSync(`${base}/real`)).toBe(false);
    prepareRoot(`${base}/sticky/root`, explicit);
  });

  it('goes through a link that belongs to the caller, if it leads somewhere trusted', () => {
    mkdirSync(`${base}/real`);
    symlinkSync(`${base}/real`, `${base}/link`);
    prepareRoot(`${base}/link/root`, explicit);
    expect(existsSync(`${base}/real/root/states`)).toBe(true);
    chmodSync(`${base}/real`, 0o777);
    expect(() => checkRoot(`${base}/link/root`)).toThrowError('writable by other users');
  });

  it.runIf(asRoot)('refuses a root of another user', () => {
    mkdirSync(`${base}/foreign`, { mode: 0o700 });
    chownSync(`${base}/foreign`, 4321, 4321);
    try {
      prepareRoot(`${base}/foreign`, explicit);
      expect.unreachable();
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(RuncellError);
      expect((thrown as RuncellError).code).toBe('state.root');
      expect((thrown as RuncellError).message).toBe(
        `state root ${base}/foreign: owned by uid 4321, neither root nor the caller`,
      );
    }
  });
});

describe('ids', () => {
  it('are one plain path component of at most 255 bytes', () => {
    for (const id of ['a', 'A9_+-.', '-x', '+', 'x'.repeat(255), 'a.b', 'x..']) checkId(id);
    for (const id of [
      '.',
      '..',
      '.a',
      'a/b',
      'a b',
      'é',
      'a\0',
      'x'.repeat(256),
      'a:b',
      '[',
      '`',
      '{',
      '@',
    ]) {
      expect(() => checkId(id), JSON.stringify(id)).toThrowError('invalid container ID format');
    }
    expect(() => checkId('')).toThrowError('container id cannot be empty');
    expect(() => stateDirOf(base, '../x')).toThrowError('invalid container ID format');
  });

  it('are claimed once, listed, and free again', () => {
    const root = `${base}/root`;
    expect(listIds(root)).toBeUndefined();
    prepareRoot(root, explicit);
    const directory = claimId(root, 'b');
    claimId(root, 'a');
    expect(() => claimId(root, 'b')).toThrowError('b: container with given ID already exists');
    expect(listIds(root)).toEqual(['a', 'b']);
    writeFileSync(`${directory}/state.json`, '');
    mkdirSync(`${directory}/notify`);
    writeFileSync(`${directory}/notify/x`, '');
    mkdirSync(`${directory}/foreseen-by-nobody`);
    removeStateDir(directory);
    removeStateDir(directory);
    expect(listIds(root)).toEqual(['a']);
    claimId(root, 'b');
  });

  it('are claimed by exactly one of several processes', async () => {
    const root = `${base}/root`;
    prepareRoot(root, explicit);
    const script = bundleScript(`
      import { claimId } from './src/libcontainer/store/state-dir.ts';
      import { writeSync } from 'node:fs';
      const [root, at] = process.argv.slice(2);
      let won = '';
      while (Date.now() < Number(at));
      for (let id = 0; id < 50; id++) {
        try { claimId(root!, 'id' + id); won += id + ' '; } catch {}
      }
      writeSync(1, won + '\\n');
      setTimeout(() => {}, 100);
    `);
    const at = String(Date.now() + 1000);
    const options = { stdio: ['ignore', 'pipe', 'inherit'] as ('ignore' | 'pipe' | 'inherit')[] };
    const lines = await Promise.all(
      [1, 2, 3].map(() => firstLine(script.spawn([root, at], options))),
    );
    script.remove();
    const won = lines.flatMap((line) => line.split(' ').filter((id) => id !== ''));
    expect(won.sort()).toEqual(Array.from({ length: 50 }, (_, id) => String(id)).sort());
  });
});

describe.runIf(asRoot)('the default root', () => {
  /**
   * In a mount namespace where /run, /tmp and /var/lib are empty; `before` is shell. The repository may
   * be below one of them: it is bound to its own place again, from the working directory.
   */
  function prepared(before: string): string {
    const script = bundleScript(`
      import { prepareRoot } from './src/libcontainer/store/state-dir.ts';
      prepareRoot('/run/runcell', { explicit: false });
    `);
    const cover = 'for d in /run /tmp /var/lib; do mount -t tmpfs none $d; done';
    const empty = `${cover}; mkdir -p "$2"; mount -c --bind /proc/self/cwd "$2"`;
    const show =
      'for p in /run/runcell/containers /tmp/runcell; do readlink $p || echo none; done; ' +
      'stat -c %a /run/runcell /var/lib/runcell/containers';
    const command = `${empty}; ${before}; "$0" "$1"; ${show}`;
    const args = ['-m', 'sh', '-c', command, process.execPath, script.path, repository];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', cwd: repository });
    script.remove();
    expect(stderr).toBe('');
    return stdout;
  }

  it('keeps containers on disk and is linked from where the usage document looks', () => {
    expect(prepared('true')).toBe('/var/lib/runcell/containers\n/run/runcell\n700\n700\n');
  });

  it('leaves what is at /tmp/runcell alone', () => {
    const elsewhere = '/var/lib/runcell/containers\n/elsewhere\n700\n700\n';
    expect(prepared('ln -s /elsewhere /tmp/runcell')).toBe(elsewhere);
    const directory = '/var/lib/runcell/containers\nnone\n700\n700\n';
    expect(prepared('mkdir /tmp/runcell')).toBe(directory);
  });
});
