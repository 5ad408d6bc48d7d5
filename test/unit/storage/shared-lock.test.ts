/** The lock of the shared image storage: one at a time, nobody waits for the dead. */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readBootId, readProcStat } from '../../../src/libcontainer/store/process.ts';
import { prepareRoot } from '../../../src/libcontainer/store/state-dir.ts';
import { withSharedLock } from '../../../src/storage/shared-lock.ts';
import { Fixture } from './fixture.ts';

function newRoot(fixture: Fixture): string {
  return prepareRoot(fixture.context.root, { explicit: true }).root;
}

function leaveLock(root: string, pid: number, bootId = readBootId()): void {
  mkdirSync(`${root}/storage.lock`);
  const startTicks = readProcStat(pid)?.startTicks ?? 1;
  writeFileSync(`${root}/storage.holder`, JSON.stringify({ pid, startTicks, bootId }));
}

test('withSharedLock holds the lock while the action runs, and leaves nothing', async () => {
  using fixture = new Fixture();
  const root = newRoot(fixture);
  const before = readdirSync(root);
  const result = await withSharedLock(root, () => existsSync(`${root}/storage.lock`));
  expect(result).toBe(true);
  expect(readdirSync(root)).toEqual(before);
  await expect(
    withSharedLock(root, () => {
      throw new Error('action');
    }),
  ).rejects.toThrow('action');
  expect(readdirSync(root)).toEqual(before);
});

test('withSharedLock waits for a living holder, and names it at the deadline', async () => {
  using fixture = new Fixture();
  const root = newRoot(fixture);
  const holder = spawn('sleep', ['60']);
  try {
    leaveLock(root, holder.pid!);
    await expect(withSharedLock(root, () => 1, { timeoutMs: 200 })).rejects.toThrow(
      `image storage ${root}: locked by process ${holder.pid}`,
    );
    expect(existsSync(`${root}/storage.lock`)).toBe(true);
  } finally {
    holder.kill('SIGKILL');
  }
});

test.each([
  ['whose number another process has', (root: string) => leaveLock(root, 1)],
  ['that never noted itself', (root: string) => mkdirSync(`${root}/storage.lock`)],
])('withSharedLock takes the lock of a holder %s at once', async (_, leave) => {
  using fixture = new Fixture();
  const root = newRoot(fixture);
  leave(root);
  if (existsSync(`${root}/storage.holder`)) {
    const recycled = { pid: 1, startTicks: 123456789, bootId: readBootId() };
    writeFileSync(`${root}/storage.holder`, JSON.stringify(recycled));
  }
  expect(await withSharedLock(root, () => 'taken', { timeoutMs: 200 })).toBe('taken');
});

test('withSharedLock leaves a holder of another boot to its heartbeat', async () => {
  using fixture = new Fixture();
  const root = newRoot(fixture);
  leaveLock(root, 1, 'another boot');
  await expect(withSharedLock(root, () => 1, { timeoutMs: 100 })).rejects.toThrow('locked by');
});
