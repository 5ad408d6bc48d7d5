/** Sessions with the emitted executor: messages, ends, partial reads. */

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spawnExecutor } from '../../../src/libcontainer/executor/cold.ts';
import { executorImage } from '../../../src/libcontainer/executor/image.ts';
import { decodeMessage, encodeWireHeader } from '../../../src/libcontainer/executor/protocol.ts';
import { becomeExecutor } from '../../../src/libcontainer/executor/wait.ts';
import { SYSCALLS } from '../../../src/libcontainer/linux/syscall.ts';
import { memfdCreate } from '../../../src/libcontainer/native/libc.ts';
import { CODE_BASE, DATA_BASE, END, IMAGE_SIZE } from '../../../src/libcontainer/program/op.ts';
import { RawProgram, words } from '../../helpers/raw-program.ts';

const nr = SYSCALLS[process.arch as 'x64' | 'arm64'];
const CTL = DATA_BASE;
let directory: string;
let image: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'runcell-session-'));
  image = join(directory, 'executor');
  writeFileSync(image, executorImage(process.arch as 'x64' | 'arm64'), { mode: 0o755 });
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A program that writes the message to the control socket. */
function saying(tag: number, a: number, b: number, payload: Uint8Array): { bytes: Uint8Array } {
  const program = new RawProgram();
  const message = Buffer.concat([words(tag, a, b, payload.length), payload]);
  program.op(nr.write, [CTL, program.data(message), message.length], { load: 1 });
  program.op(END);
  return { bytes: program.wire() };
}

function exiting(status: number): { bytes: Uint8Array } {
  const program = new RawProgram();
  program.op(nr.exit_group, [status]);
  return { bytes: program.wire() };
}

describe('a cold session', () => {
  it('runs program after program and receives what they say, in order', () => {
    const session = spawnExecutor({ image });
    session.send(saying(7, 4242, -3, Buffer.from('first')));
    session.send(saying(8, 1, 2, new Uint8Array(0)));
    expect(session.receive()).toEqual({
      ...{ tag: 7, a: 4242, b: -3, fatal: undefined },
      payload: new Uint8Array(Buffer.from('first')),
    });
    expect(session.receive(5000)).toMatchObject({ tag: 8, a: 1, b: 2 });
    session.close();
    session.close();
    expect(spawnSync('true').status).toBe(0);
  });

  it('carries payloads larger than the socket buffer both ways', () => {
    const payload = Buffer.alloc(700_000, 'runcell ');
    const session = spawnExecutor({ image });
    session.send(saying(1, 0, 0, payload));
    const { payload: received } = session.receive();
    expect(Buffer.compare(received, payload)).toBe(0);
    session.close();
  });

  it('gives the executor 0, 1, 2, what is kept and its socket above, and nothing else', () => {
    const kept = memfdCreate('kept');
    const session = spawnExecutor({ image, fds: [{ from: kept, to: kept }] });
    expect(session.ctlFd).toBe(kept + 1);
    session.send(saying(1, 0, 0, new Uint8Array(0)));
    session.receive();
    const names = spawnSync('ls', [`/proc/${session.pid}/fd`], { encoding: 'utf8' }).stdout;
    expect(names.trim().split('\n').map(Number)).toEqual([0, 1, 2, kept, kept + 1]);
    expect(readlinkSync(`/proc/${session.pid}/fd/${kept}`)).toContain('kept');
    closeSync(kept);
    session.close();
  });

  it('goes on in a sealed copy of the executor', () => {
    const session = spawnExecutor({ image });
    const copy = new RawProgram();
    const fd = copy.words(0);
    const seals = 0xf;
    copy.op(nr.memfd_create, [copy.text('runcell'), 2], { result: fd });
    copy.op(nr.write, [fd, CODE_BASE, IMAGE_SIZE], { load: 1 });
    copy.op(nr.fcntl, [fd, 1033, seals], { load: 1 });
    const argv = copy.words(copy.text('runcell'), copy.text(String(session.ctlFd)), 0);
    copy.op(nr.execveat, [fd, copy.text(''), argv, copy.words(0), 0x1000], { load: 1 });
    session.send({ bytes: copy.wire() });
    session.send(saying(3, 0, 0, new Uint8Array(0)));
    expect(session.receive(5000).tag).toBe(3);
    expect(readlinkSync(`/proc/${session.pid}/exe`)).toContain('/memfd:runcell');
    session.close();
  });

  it('decodes the fatal record, then says how the executor ended', () => {
    const session = spawnExecutor({ image });
    const program = new RawProgram();
    program.op(nr.close, [-1], { tolerate: [9] });
    program.op(nr.openat, [-100, program.text('/no/such/file'), 0, 0]);
    session.send({ bytes: program.wire() });
    expect(session.receive().fatal).toEqual({ op: 1, errno: 2, ignored: 9 });
    const ended = 'executor: ended without an answer: exit status 125';
    expect(() => session.receive()).toThrowError(ended);
    expect(() => session.receive()).toThrowError(ended);
    session.close();
  });

  it('names exit status, signal, and a wrong program, as the end of the executor', () => {
    for (const [bytes, reason] of [
      [exiting(3).bytes, 'exit status 3'],
      [new Uint8Array(16), 'exit status 124'],
    ] as const) {
      const session = spawnExecutor({ image });
      session.send({ bytes });
      expect(() => session.receive()).toThrowError(`ended without an answer: ${reason}`);
      session.close();
    }
    const session = spawnExecutor({ image });
    process.kill(session.pid, 'SIGKILL');
    session.send(exiting(0));
    expect(() => session.receive()).toThrowError('ended without an answer: killed by signal 9');
    session.send(exiting(0));
    session.close();
  });

  it('does not wait longer than it is told', () => {
    const session = spawnExecutor({ image });
    expect(() => session.receive(30)).toThrowError('executor: did not answer in time');
    session.close();
  });

  it('throws what the execve of the image said', () => {
    expect(() => spawnExecutor({ image: '/no/executor' })).toThrowError('execve /no/executor');
  });
});

describe('decodeMessage', () => {
  it('wants a whole message and refuses a length out of bounds', () => {
    const message = Buffer.concat([words(1, 2, 3, 4), Buffer.from('abcd')]);
    expect(decodeMessage(message.subarray(0, 35))).toBeUndefined();
    expect(decodeMessage(message)!.size).toBe(36);
    for (const length of [-1, 2 ** 21, 2 ** 40]) {
      expect(() => decodeMessage(words(1, 2, 3, length))).toThrowError('message of');
    }
  });
});

describe('encodeWireHeader', () => {
  it('equals the one written by hand', () => {
    const program = new RawProgram();
    const wire = program.wire();
    expect(Buffer.from(encodeWireHeader(wire.length - 16))).toEqual(wire.subarray(0, 16));
  });
});

describe('becomeExecutor', () => {
  it('throws when there is no executor', () => {
    expect(() => becomeExecutor({ image: '/no/executor', programs: [] })).toThrowError(
      'execve /no/executor: no such file or directory (ENOENT)',
    );
  });
});
