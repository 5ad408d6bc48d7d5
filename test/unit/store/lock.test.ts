/** Locks: contention, holders that are killed, directories that go. */

import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { monotonicMs } from '../../../src/libcontainer/native/libc.ts';
import { lockContainer } from '../../../src/libcontainer/store/lock.ts';
import { type BundledScript, bundleScript, firstLine } from '../../helpers/bundle.ts';

let holder: BundledScript;
let root: string;
let directory: string;

beforeAll(() => {
  holder = bundleScript(`
    import { lockContainer } from './src/libcontainer/store/lock.ts';
    import { writeSync } from 'node:fs';
    const [directory, holdMs] = process.argv.slice(2);
    lockContainer(directory!);
    writeSync(1, 'held\\n');
    setTimeout(() => {}, Number(holdMs));
  `);
  root = mkdtempSync(join(tmpdir(), 'runcell-lock-'));
});
beforeEach(() => {
  directory = mkdtempSync(join(root, 'id-'));
});
afterAll(() => {
  holder.remove();
  rmSync(root, { recursive: true });
});

async function held(holdMs: number) {
  const child = holder.spawn([directory, String(holdMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  expect(await firstLine(child)).toBe('held');
  const ended = new Promise((resolve) => child.on('exit', resolve));
  return { child, ended };
}

describe('lockContainer', () => {
  it('is taken again as soon as it is released, twice over too', () => {
    const lock = lockContainer(directory);
    expect(() => lockContainer(directory, { timeoutMs: 20 })).toThrowError('locked by process');
    lock.release();
    lock.release();
    {
      using second = lockContainer(directory, { timeoutMs: 0 });
      expect(second.fd).toBeGreaterThan(2);
    }
    lockContainer(directory, { timeoutMs: 0 }).release();
  });

  it('names the holder when it does not let go in time', async () => {
    const { child, ended } = await held(60_000);
    const id = directory.slice(directory.lastIndexOf('/') + 1);
    const start = monotonicMs();
    expect(() => lockContainer(directory, { timeoutMs: 100 })).toThrowError(
      `${id}: locked by process ${child.pid}`,
    );
    expect(monotonicMs() - start).toBeLessThan(2000);
    child.kill('SIGKILL');
    await ended;
  });

  it('dies with its holder [SIGKILL]', async () => {
    const { child, ended } = await held(60_000);
    child.kill('SIGKILL');
    await ended;
    const start = monotonicMs();
    lockContainer(directory).release();
    expect(monotonicMs() - start).toBeLessThan(500);
  });

  it('waits for a holder that ends', async () => {
    const { ended } = await held(300);
    lockContainer(directory, { timeoutMs: 10_000 }).release();
    await ended;
  });

  it('is not taken on a directory that is gone, or made anew', () => {
    rmdirSync(directory);
    expect(() => lockContainer(directory)).toThrowError('container does not exist');
    mkdirSync(directory);
    const lock = lockContainer(directory);
    rmdirSync(directory);
    expect(() => lockContainer(directory)).toThrowError('container does not exist');
    mkdirSync(directory);
    const anew = lockContainer(directory, { timeoutMs: 0 });
    anew.release();
    lock.release();
  });
});
