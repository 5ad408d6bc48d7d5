/** Process identity: /proc/PID/stat in every shape. */

import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  isSameProcess,
  parseProcStat,
  readBootId,
  readProcStat,
  startTimeEpoch,
} from '../../../src/libcontainer/store/process.ts';

const rest = (start: number) => `${'0 '.repeat(17)}${start} ${'0 '.repeat(30)}`;

describe('parseProcStat', () => {
  it('counts from the last parenthesis: a name may hold anything', () => {
    const stat = parseProcStat(`42 (a) S 1 (b c) R 7 ${rest(123456)}`);
    expect(stat).toEqual({ comm: 'a) S 1 (b c', state: 'R', ppid: 7, startTicks: 123456 });
  });

  it('refuses what is no such line', () => {
    expect(() => parseProcStat('')).toThrowError('parse /proc/pid/stat');
    expect(() => parseProcStat('1 (x) S 1')).toThrowError('parse /proc/pid/stat');
  });
});

describe('readProcStat', () => {
  it('knows this process, and that nobody has a pid beyond the limit', () => {
    const stat = readProcStat(process.pid)!;
    expect(stat.ppid).toBe(process.ppid);
    expect(stat.state).toBe('R');
    expect(readProcStat(4194305)).toBeUndefined();
  });
});

describe('isSameProcess', () => {
  const me = () => ({
    pid: process.pid,
    startTicks: readProcStat(process.pid)!.startTicks,
    bootId: readBootId(),
  });

  it('wants pid, start time and boot', () => {
    expect(isSameProcess(me())).toBe(true);
    expect(isSameProcess({ ...me(), startTicks: me().startTicks + 1 })).toBe(false);
    expect(isSameProcess({ ...me(), bootId: `${me().bootId}x` })).toBe(false);
    expect(isSameProcess({ ...me(), pid: 4194305 })).toBe(false);
  });

  it('takes a zombie for ended', async () => {
    // the shell becomes a program that never waits for its child
    const parent = spawn('/bin/sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 60']);
    const pid = await new Promise<number>((done) =>
      parent.stdout.on('data', (bytes: Buffer) => done(Number(bytes.toString()))),
    );
    const identity = { pid, startTicks: readProcStat(pid)!.startTicks, bootId: readBootId() };
    expect(isSameProcess(identity)).toBe(true);
    while (readProcStat(pid)!.state !== 'Z') await new Promise((done) => setTimeout(done, 5));
    expect(isSameProcess(identity)).toBe(false);
    parent.kill('SIGKILL');
  });
});

describe('startTimeEpoch', () => {
  it('is when the process started, in seconds', () => {
    const started = Math.floor(Date.now() / 1000 - process.uptime());
    const epoch = startTimeEpoch(readProcStat(process.pid)!.startTicks);
    expect(Number.isInteger(epoch)).toBe(true);
    expect(Math.abs(epoch - started)).toBeLessThanOrEqual(2);
  });
});
