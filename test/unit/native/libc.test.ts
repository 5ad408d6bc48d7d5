/** System calls through koffi. */

import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as libc from '../../../src/libcontainer/native/libc.ts';
import {
  bindUnix,
  encodeSockaddrUn,
  receiveMessage,
  sendMessage,
  socketPair,
  unixSocket,
} from '../../../src/libcontainer/native/socket.ts';

const SOCK_DGRAM = 2;

describe('syscall', () => {
  it('answers a negative errno, and checked names operation and target', () => {
    expect(libc.syscall('fcntl', -1, 1)).toBe(-9);
    expect(() => libc.setCloseOnExec(-1, true)).toThrowError(
      'fcntl -1: bad file descriptor (EBADF)',
    );
  });

  it('makes a FIFO with the mode asked for', () => {
    const directory = mkdtempSync(join(tmpdir(), 'runcell-libc-'));
    libc.mkfifo(`${directory}/fifo`, 0o600);
    const stat = statSync(`${directory}/fifo`);
    expect(stat.isFIFO()).toBe(true);
    expect(stat.mode & 0o777).toBe(0o600);
    rmSync(directory, { recursive: true });
  });

  it('close-on-exec can be cleared and set', () => {
    const fd = libc.memfdCreate('flags');
    const flags = () => libc.syscall('fcntl', fd, 1);
    expect(flags()).toBe(1);
    libc.setCloseOnExec(fd, false);
    expect(flags()).toBe(0);
    libc.closeOnExecFrom(fd);
    expect(flags()).toBe(1);
    closeSync(fd);
  });
});

describe('poll', () => {
  it('gives the events of each entry, and zeros after the time', () => {
    const [a, b] = socketPair(SOCK_DGRAM);
    const entries = [
      { fd: a, events: libc.POLLIN },
      { fd: -1, events: libc.POLLIN },
      { fd: b, events: libc.POLLIN | libc.POLLOUT },
    ];
    expect(libc.poll(entries.slice(0, 2), 5)).toEqual([0, 0]);
    writeSync(b, 'x');
    expect(libc.poll(entries, 1000)).toEqual([libc.POLLIN, 0, libc.POLLOUT]);
    closeSync(a);
    closeSync(b);
  });

  it('waits as long as it was told', () => {
    const start = libc.monotonicMs();
    libc.poll([], 60);
    expect(libc.monotonicMs() - start).toBeGreaterThanOrEqual(59);
    expect(libc.monotonicMs() - start).toBeLessThan(1000);
  });
});

describe('pidfds', () => {
  it('signal the process and tell its end; none is opened for a pid nobody has', async () => {
    expect(libc.pidfdOpen(4194304)).toBeUndefined();
    const child = spawn('/bin/sleep', ['60']);
    const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
    const pidfd = libc.pidfdOpen(child.pid!)!;
    expect(libc.poll([{ fd: pidfd, events: libc.POLLIN }], 0)).toEqual([0]);
    expect(libc.pidfdSendSignal(pidfd, 15)).toBe(true);
    expect(libc.poll([{ fd: pidfd, events: libc.POLLIN }], 5000)).toEqual([libc.POLLIN]);
    expect(await ended).toBe('SIGTERM');
    expect(libc.pidfdSendSignal(pidfd, 15)).toBe(false);
    expect(libc.reap(child.pid!)).toBeUndefined();
    closeSync(pidfd);
  });

  it('give a duplicate of a descriptor of the process', () => {
    const fd = libc.memfdCreate('mine');
    writeSync(fd, 'mine', 0);
    const pidfd = libc.pidfdOpen(process.pid)!;
    const copy = libc.pidfdGetfd(pidfd, fd);
    const buffer = new Uint8Array(4);
    readSync(copy, buffer, 0, 4, 0);
    expect(Buffer.from(buffer).toString()).toBe('mine');
    for (const one of [fd, pidfd, copy]) closeSync(one);
  });
});

describe('unix sockets', () => {
  it('carry a payload and descriptors', () => {
    const [a, b] = socketPair(SOCK_DGRAM);
    const [fd, other] = [openSync('/dev/zero', 'r'), openSync('/dev/null', 'w')];
    expect(receiveMessage(b, 100)).toBeUndefined();
    sendMessage(a, Buffer.from('payload'), [fd, other]);
    sendMessage(a, Buffer.from('alone'));
    const first = receiveMessage(b, 100)!;
    expect(Buffer.from(first.payload).toString()).toBe('payload');
    expect(first.descriptors).toHaveLength(2);
    expect(statSync(`/proc/self/fd/${first.descriptors[0]}`).rdev).toBe(statSync('/dev/zero').rdev);
    expect(libc.syscall('fcntl', first.descriptors[0]!, 1)).toBe(1);
    const second = receiveMessage(b, 100)!;
    expect(Buffer.from(second.payload).toString()).toBe('alone');
    expect(second.descriptors).toEqual([]);
    for (const one of [a, b, fd, other, ...first.descriptors]) closeSync(one);
  });

  it('have addresses of at most 107 bytes, `@` standing for an abstract name', () => {
    expect(encodeSockaddrUn('/a')).toEqual(Uint8Array.of(1, 0, 0x2f, 0x61, 0));
    expect(encodeSockaddrUn('@a')).toEqual(Uint8Array.of(1, 0, 0, 0x61));
    expect(encodeSockaddrUn(`/${'x'.repeat(106)}`)).toHaveLength(110);
    expect(() => encodeSockaddrUn(`/${'x'.repeat(107)}`)).toThrowError('socket path too long');
  });

  it('report the path that could not be bound', () => {
    const fd = unixSocket(SOCK_DGRAM);
    expect(() => bindUnix(fd, '/no/such/directory')).toThrowError(
      'bind /no/such/directory: no such file or directory (ENOENT)',
    );
    closeSync(fd);
  });
});
