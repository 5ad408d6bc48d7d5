/** The exec FIFOs against init of every kind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { monotonicMs, pidfdOpen } from '../../../src/libcontainer/native/libc.ts';
import {
  initWaits,
  makeExecFifos,
  startThroughFifo,
} from '../../../src/libcontainer/store/exec-fifo.ts';
import { readProcStat } from '../../../src/libcontainer/store/process.ts';
import { firstLine } from '../../helpers/bundle.ts';

let directory: string;
let init: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/runcell-fifo-`);
  makeExecFifos(directory);
});
afterEach(() => {
  init?.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

/**
 * An init in python: opens both FIFOs O_RDWR close-on-exec, says so, reads go, and then does what
 * the code says, with `report` the descriptor. Gives its pidfd.
 */
async function fakeInit(afterwards: string): Promise<number> {
  const program = `
import os, sys, time
d = ${JSON.stringify(directory)}
go = os.open(d + '/exec.go', os.O_RDWR | os.O_CLOEXEC)
report = os.open(d + '/exec.report', os.O_RDWR | os.O_CLOEXEC)
os.write(1, b'waiting\\n')
os.read(go, 1)
${afterwards}
`;
  init = spawn('python3', ['-c', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  await firstLine(init);
  return pidfdOpen(init.pid!)!;
}

const left = () => readdirSync(directory);

describe('startThroughFifo', () => {
  it('says started when the byte is followed by the end that execve makes', async () => {
    const pidfd = await fakeInit("os.write(report, b'0'); os.execv('/bin/sleep', ['sleep', '60'])");
    expect(startThroughFifo(directory, pidfd)).toEqual({ started: true });
    expect(readProcStat(init!.pid!)!.comm).toBe('sleep');
    expect(left()).toEqual([]);
    closeSync(pidfd);
  });

  it('hands the record and the head of the executable over', async () => {
    const pidfd = await fakeInit(
      "os.write(report, b'0'); time.sleep(0.05); os.write(report, b'r' * 32 + b'h' * 4096); sys.exit(125)",
    );
    const result = startThroughFifo(directory, pidfd);
    const record = Buffer.from(`${'r'.repeat(32)}${'h'.repeat(4096)}`);
    expect(result).toEqual({ started: false, record: new Uint8Array(record) });
    expect(left()).toEqual([]);
    closeSync(pidfd);
  });

  it('says died when init ends without the byte', async () => {
    const pidfd = await fakeInit('os._exit(1)');
    expect(startThroughFifo(directory, pidfd)).toEqual({ died: true });
    expect(left()).toEqual([]);
    closeSync(pidfd);
  });

  it('says died when init ends while another process still holds the FIFO', async () => {
    const pidfd = await fakeInit('os.fork() and os._exit(1); time.sleep(3)');
    const start = monotonicMs();
    expect(startThroughFifo(directory, pidfd)).toEqual({ died: true });
    expect(monotonicMs() - start).toBeLessThan(2500);
    closeSync(pidfd);
  });

  it('says died at once when there is no init, or no FIFO', async () => {
    const pidfd = await fakeInit('pass');
    const ended = new Promise((done) => init!.on('exit', done));
    init!.kill('SIGKILL');
    await ended;
    expect(initWaits(directory)).toBe(false);
    expect(startThroughFifo(directory, pidfd)).toEqual({ died: true });
    expect(left()).toEqual([]);
    expect(startThroughFifo(directory, pidfd)).toEqual({ died: true });
    closeSync(pidfd);
  });
});

describe('initWaits', () => {
  it('is true until init is let go, and does not let it go', async () => {
    const pidfd = await fakeInit("os.write(report, b'0'); os.execv('/bin/sleep', ['sleep', '60'])");
    expect(initWaits(directory)).toBe(true);
    expect(initWaits(directory)).toBe(true);
    expect(readProcStat(init!.pid!)!.comm).toBe('python3');
    startThroughFifo(directory, pidfd);
    expect(initWaits(directory)).toBe(false);
    closeSync(pidfd);
  });
});

describe('makeExecFifos', () => {
  it('makes them for us alone', () => {
    for (const name of ['exec.go', 'exec.report']) {
      const stat = statSync(`${directory}/${name}`);
      expect(stat.isFIFO()).toBe(true);
      expect(stat.mode & 0o777).toBe(0o600);
    }
  });
});
