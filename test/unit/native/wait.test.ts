/** Waiting on a thread: descriptors, time, and the signals that end a wait. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { checked, POLLIN, POLLNVAL, syscall } from '../../../src/libcontainer/native/libc.ts';
import { pollAsync, SignalWatch } from '../../../src/libcontainer/native/wait.ts';

function pipe(): { reader: number; writer: number } & Disposable {
  const fds = new Int32Array(2);
  checked(syscall('pipe2', fds, 0o2000000), 'pipe2');
  const [reader, writer] = [fds[0]!, fds[1]!];
  return {
    reader,
    writer,
    [Symbol.dispose]: () => {
      for (const fd of [reader, writer]) closeSync(fd);
    },
  };
}

describe('pollAsync', () => {
  test('is over when a descriptor has something, and the loop went on meanwhile', async () => {
    using ends = pipe();
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    const waiting = pollAsync([
      { fd: -1, events: POLLIN },
      { fd: ends.reader, events: POLLIN },
    ]);
    await setTimeout(60);
    writeSync(ends.writer, 'x');
    expect(await waiting).toEqual([0, POLLIN]);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });

  test('is over after its time', async () => {
    using ends = pipe();
    const started = performance.now();
    expect(await pollAsync([{ fd: ends.reader, events: POLLIN }], 50)).toEqual([0]);
    const took = performance.now() - started;
    expect(took).toBeGreaterThan(48);
    expect(took).toBeLessThan(2000);
  });

  test('tells of a descriptor that is not open', async () => {
    const fd = openSync('/dev/null', 'r');
    closeSync(fd);
    expect(await pollAsync([{ fd, events: POLLIN }], 1000)).toEqual([POLLNVAL]);
  });
});

describe('SignalWatch', () => {
  test('a signal ends a wait and is told once', async () => {
    using watch = new SignalWatch(['SIGUSR2', 'SIGWINCH']);
    const waiting = pollAsync([watch.entry]);
    process.kill(process.pid, 'SIGUSR2');
    expect(await waiting).toEqual([POLLIN]);
    expect([...watch.take()]).toEqual(['SIGUSR2']);
    expect(await pollAsync([watch.entry], 0)).toEqual([0]);
    expect(watch.take().size).toBe(0);
  });

  test('leaves no listener behind', () => {
    const before = process.listenerCount('SIGUSR2');
    const watch = new SignalWatch(['SIGUSR2']);
    expect(process.listenerCount('SIGUSR2')).toBe(before + 1);
    watch[Symbol.dispose]();
    expect(process.listenerCount('SIGUSR2')).toBe(before);
  });
});
