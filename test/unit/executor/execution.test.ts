/**
 * The emitted executor, executed: every rule of docs/program.md, on x86-64 and, under
 * qemu-aarch64-static, on arm64. qemu has no clone3, so a child is made by clone(2).
 */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Arch } from '../../../src/libcontainer/linux/arch.ts';
import { ERRNO } from '../../../src/libcontainer/linux/errno.ts';
import { SYSCALLS } from '../../../src/libcontainer/linux/syscall.ts';
import {
  CMP,
  CODE_BASE,
  DATA,
  DATA_BASE,
  END,
  EXIT_FATAL,
  EXIT_PROTOCOL,
  IMAGE_SIZE,
  JUMP_IF_ZERO,
  JUMP_ON_ERROR,
  RETRY,
  RETRY_LIMIT,
  SIGNAL_EXIT,
  SUM,
  WIRE_MAGIC,
} from '../../../src/libcontainer/program/op.ts';
import { ExecutorProcess } from '../../helpers/executor-process.ts';
import { RawProgram, wireHeader } from '../../helpers/raw-program.ts';

const FD = 3;
const CTL = DATA_BASE + DATA.ctl;
const SLOT = DATA_BASE + DATA.slots;
const RECORD_BYTES = 32;
/** A descriptor that is never open. */
const BAD_FD = 999;
const SIGCHLD = 17;
const SIGTERM = 15;
const SIGUSR1 = 10;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

describe.each(['x64', 'arm64'] as const)('executor [%s]', (arch: Arch) => {
  const nr = SYSCALLS[arch];

  /** An op that writes so many bytes to the control socket. */
  const say = (program: RawProgram, address: number, length: number): number =>
    program.op(nr.write, [FD, address, length]);
  const sayText = (program: RawProgram, text: string): number =>
    say(program, program.data(text), text.length);

  test('results are stored and arguments are loaded', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const out = program.words(-1, -1, -1);
    program.op(nr.getpid, [], { result: out });
    program.op(nr.dup3, [FD, 200, 0], { result: out + 8 });
    // Arguments 0 and 2 are loaded: the descriptor from the data page, the length from the program.
    program.op(nr.write, [CTL, out, program.words(16)], { load: 0b101, result: out + 16 });
    say(program, out, 24);
    program.op(END);
    executor.send(program.wire());
    expect(await executor.receiveWords(2)).toEqual([BigInt(executor.pid), 200n]);
    expect(await executor.receiveWords(3)).toEqual([BigInt(executor.pid), 200n, 16n]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('all six arguments reach the call, loaded or immediate', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const out = program.words(0, 0);
    const at = 0x20000000;
    // mmap with every argument loaded, MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE.
    const loaded = [at, 65536, 3, 0x32, -1, 0].map((value) => program.words(value));
    program.op(nr.mmap, loaded, { load: 0b111111, result: out });
    program.op(nr.mmap, [at + 65536, 65536, 3, 0x32, -1, 0], { result: out + 8 });
    program.op(SUM, [7, 0], { result: at });
    say(program, out, 16);
    say(program, at, 8);
    program.op(END);
    executor.send(program.wire());
    expect(await executor.receiveWords(3)).toEqual([BigInt(at), BigInt(at + 65536), 7n]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('control descriptors come from argv[1]', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    say(program, DATA_BASE, 16);
    program.op(END);
    executor.send(program.wire());
    expect(await executor.receiveWords(2)).toEqual([3n, 3n]);
    executor.end();
    await executor.exit;
  });

  test('a zero result jumps, another does not', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    program.op(nr.umask, [0]); // op 0
    program.op(nr.umask, [0o22], { flags: JUMP_IF_ZERO, target: 3 });
    sayText(program, 'wrong');
    program.op(nr.umask, [0], { flags: JUMP_IF_ZERO, target: 6 });
    sayText(program, 'right');
    program.op(END);
    sayText(program, 'wrong');
    program.op(END);
    executor.send(program.wire());
    executor.end();
    expect(String(await executor.receive(5))).toBe('right');
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('a tolerated error goes on and is remembered', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    program.op(nr.close, [BAD_FD], { tolerate: [ERRNO.EBADF], result: SLOT });
    program.op(nr.close, [BAD_FD], { tolerate: [ERRNO.EPERM, ERRNO.EBADF] });
    say(program, SLOT, 8);
    say(program, DATA_BASE + DATA.ignored, 8);
    program.op(END);
    executor.send(program.wire());
    expect(await executor.receiveWords(2)).toEqual([BigInt(-ERRNO.EBADF), BigInt(-ERRNO.EBADF)]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('an error that is not tolerated is fatal: the record and the status', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const missing = program.text('/nonexistent/file');
    program.op(nr.openat, [-100, missing, 0, 0], { tolerate: [ERRNO.ENOENT] });
    program.op(nr.close, [BAD_FD], { tolerate: [ERRNO.EPERM, ERRNO.EIO] });
    program.op(END);
    executor.send(program.wire());
    expect(await executor.receiveWords(RECORD_BYTES / 8)).toEqual([
      -1n,
      1n,
      BigInt(-ERRNO.EBADF),
      BigInt(-ERRNO.ENOENT),
    ]);
    expect(await executor.exit).toEqual({ code: EXIT_FATAL, signal: null });
  });

  test('the record goes to the descriptor in err', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const pair = program.words(0);
    const copy = program.data(Buffer.alloc(RECORD_BYTES));
    program.op(nr.pipe2, [pair, 0]);
    // A child dies with its record in the pipe; the parent reads it there.
    program.op(nr.clone, [SIGCHLD, 0, 0, 0, 0], { flags: JUMP_IF_ZERO, target: 5 });
    program.op(nr.read, [pair, copy, RECORD_BYTES], { load: 0b1 });
    say(program, copy, RECORD_BYTES);
    program.op(END);
    program.op(nr.dup, [pair + 4], { load: 0b1, result: DATA_BASE + DATA.err }); // op 5
    program.op(nr.close, [BAD_FD]);
    executor.send(program.wire());
    expect(await executor.receiveWords(4)).toEqual([-1n, 6n, BigInt(-ERRNO.EBADF), 0n]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('JUMP_ON_ERROR without a list takes every error, with a list only those', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const jump = { flags: JUMP_ON_ERROR };
    program.op(nr.close, [BAD_FD], { ...jump, target: 2 });
    sayText(program, 'wrong');
    program.op(nr.close, [BAD_FD], { ...jump, target: 4, tolerate: [ERRNO.EPERM, ERRNO.EBADF] });
    sayText(program, 'wrong');
    program.op(nr.getpid, [], { ...jump, target: 6 }); // op 4: no error, no jump
    sayText(program, 'right');
    program.op(nr.close, [BAD_FD], { ...jump, target: 5, tolerate: [ERRNO.EPERM] }); // op 6
    program.op(END);
    executor.send(program.wire());
    expect(String(await executor.receive(5))).toBe('right');
    const record = await executor.receiveWords(4);
    expect(record).toEqual([-1n, 6n, BigInt(-ERRNO.EBADF), BigInt(-ERRNO.EBADF)]);
    expect(await executor.exit).toEqual({ code: EXIT_FATAL, signal: null });
  });

  test('RETRY runs an op again, at most RETRY_LIMIT times, and then judges it', async () => {
    const executor = new ExecutorProcess(arch);
    const O_NONBLOCK = 0o4000;
    /** Reads an empty pipe, and how many reads the kernel saw the executor make for all of it. */
    const tries = async (flags: number): Promise<number> => {
      const program = new RawProgram();
      const pair = program.words(0);
      program.op(nr.pipe2, [pair, O_NONBLOCK]);
      program.op(nr.read, [pair, SLOT, 8], { load: 0b1, flags, tolerate: [ERRNO.EAGAIN] });
      say(program, DATA_BASE + DATA.ignored, 8);
      program.op(END);
      const before = readCalls(executor.pid);
      executor.send(program.wire());
      expect(await executor.receiveWords(1)).toEqual([BigInt(-ERRNO.EAGAIN)]);
      return readCalls(executor.pid) - before;
    };
    const warmUp = await tries(0);
    expect(warmUp).toBeGreaterThan(0);
    const once = await tries(0);
    expect((await tries(RETRY)) - once).toBe(RETRY_LIMIT);
    expect((await tries(RETRY)) - once).toBe(RETRY_LIMIT);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('RETRY does not repeat another error', async () => {
    const executor = new ExecutorProcess(arch);
    const O_DIRECTORY = arch === 'x64' ? 0o200000 : 0o40000;
    const tries = async (flags: number): Promise<number> => {
      const program = new RawProgram();
      const root = program.text('/');
      program.op(nr.openat, [-100, root, O_DIRECTORY, 0], { result: SLOT });
      program.op(nr.read, [SLOT, SLOT, 8], { load: 0b1, flags, tolerate: [ERRNO.EISDIR] });
      say(program, DATA_BASE + DATA.ignored, 8);
      program.op(END);
      const before = readCalls(executor.pid);
      executor.send(program.wire());
      expect(await executor.receiveWords(1)).toEqual([BigInt(-ERRNO.EISDIR)]);
      return readCalls(executor.pid) - before;
    };
    await tries(0);
    expect(await tries(RETRY)).toBe(await tries(0));
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test.each([0, RETRY])('an op that a signal interrupts [flags %d]', async (flags) => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const out = program.words(0);
    program.op(nr.setsockopt, [FD, SOL_SOCKET, SO_RCVTIMEO, program.words(60, 0), 16]);
    sayText(program, 'ready');
    program.op(nr.read, [FD, out, 8], { flags });
    say(program, out, 8);
    program.op(END);
    executor.send(program.wire());
    expect(String(await executor.receive(5))).toBe('ready');
    await interrupt(executor);
    if (flags === RETRY) {
      executor.send(Buffer.from('answered'));
      expect(String(await executor.receive(8))).toBe('answered');
      executor.end();
      expect(await executor.exit).toEqual({ code: 0, signal: null });
    } else {
      expect(await executor.receiveWords(4)).toEqual([-1n, 2n, BigInt(-ERRNO.EINTR), 0n]);
      expect(await executor.exit).toEqual({ code: EXIT_FATAL, signal: null });
    }
  });

  test('SUM adds, loads, stores, jumps on zero and is never an error', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const out = program.words(0, 0, 0);
    program.op(SUM, [program.words(40), 2], { load: 0b1, result: out });
    program.op(SUM, [-5, 2], { result: out + 8, flags: JUMP_ON_ERROR, target: 5 });
    program.op(SUM, [out, -42], { load: 0b1, flags: JUMP_IF_ZERO, target: 4 });
    sayText(program, 'wrong');
    say(program, out, 16);
    program.op(END);
    executor.send(program.wire());
    expect(await executor.receiveWords(2)).toEqual([42n, -3n]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('CMP compares under a mask and fails with the given errno', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const word = program.words(0x1122334455667788n);
    const masks = program.words(0xffff0000n, 0x55660000n);
    program.op(CMP, [word, 0xffff, 0x7788, ERRNO.EPERM]);
    program.op(CMP, [word, masks, masks + 8, ERRNO.EPERM], { load: 0b110 });
    program.op(CMP, [word, 0xff, 0x88, ERRNO.EIO], { flags: JUMP_IF_ZERO, target: 4 });
    sayText(program, 'wrong');
    program.op(CMP, [word, 0xff, 0x89, ERRNO.EIO], { flags: JUMP_ON_ERROR, target: 6 });
    sayText(program, 'wrong');
    program.op(CMP, [word, -1, 0, ERRNO.EXDEV], { result: SLOT });
    executor.send(program.wire());
    const expected = [-1n, 6n, BigInt(-ERRNO.EXDEV), BigInt(-ERRNO.EIO)];
    expect(await executor.receiveWords(4)).toEqual(expected);
    expect(await executor.exit).toEqual({ code: EXIT_FATAL, signal: null });
  });

  test('a trap takes a fatal error once', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    program.op(SUM, [3, 0], { result: DATA_BASE + DATA.trap });
    program.op(nr.close, [BAD_FD]);
    sayText(program, 'wrong');
    say(program, DATA_BASE + DATA.trap, 48); // op 3: trap, ignored and the record
    program.op(nr.close, [BAD_FD]);
    executor.send(program.wire());
    const dump = await executor.receiveWords(6);
    expect(dump).toEqual([0n, 0n, -1n, 1n, BigInt(-ERRNO.EBADF), 0n]);
    expect((await executor.receiveWords(4))[1]).toBe(4n);
    expect(await executor.exit).toEqual({ code: EXIT_FATAL, signal: null });
  });

  test('programs follow each other: the data page stays, the program goes', async () => {
    const executor = new ExecutorProcess(arch);
    const first = new RawProgram();
    const big = first.data(Buffer.alloc(300_000, 1));
    first.op(SUM, [4711, 0], { result: SLOT });
    first.op(END);
    executor.send(first.wire());
    const second = new RawProgram();
    say(second, SLOT, 8);
    // The first was longer: its end is no longer mapped.
    second.op(nr.write, [FD, big + 200_000, 8], { tolerate: [ERRNO.EFAULT], result: SLOT });
    say(second, SLOT, 8);
    second.op(END);
    executor.send(second.wire());
    expect(await executor.receiveWords(2)).toEqual([4711n, BigInt(-ERRNO.EFAULT)]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('a program may arrive byte by byte', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    sayText(program, 'whole');
    program.op(END);
    const wire = program.wire();
    const cuts = [0, 1, 3, 15, 16, 17, 80, 1000, wire.length - 1, wire.length];
    for (let index = 1; index < cuts.length; index++) {
      executor.send(wire.subarray(cuts[index - 1], cuts[index]));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(String(await executor.receive(5))).toBe('whole');
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('end of file before any program is a success', async () => {
    const executor = new ExecutorProcess(arch);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  const short = new RawProgram();
  short.op(END);
  test.each([
    ['a wrong magic', wireHeader(WIRE_MAGIC + 1, 64)],
    ['a word after the magic', Buffer.from(wireHeader(WIRE_MAGIC, 64)).fill(1, 4, 5)],
    ['a short header', wireHeader(WIRE_MAGIC, 64).subarray(0, 9)],
    ['a short body', short.wire().subarray(0, -1)],
    ['an empty body', wireHeader(WIRE_MAGIC, 0)],
    ['a length that cannot be mapped', wireHeader(WIRE_MAGIC, 2 ** 50)],
  ])('%s is a protocol error', async (_, bytes) => {
    const executor = new ExecutorProcess(arch);
    executor.send(bytes);
    executor.end();
    expect(await executor.exit).toEqual({ code: EXIT_PROTOCOL, signal: null });
  });

  test('a child takes a jump and its status is waited for', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const pid = program.words(0);
    const status = program.words(0);
    program.op(nr.clone, [SIGCHLD, 0, 0, 0, 0], { flags: JUMP_IF_ZERO, target: 4, result: pid });
    program.op(nr.wait4, [pid, status, 0, 0], { load: 0b1, flags: RETRY });
    say(program, status, 8);
    program.op(END);
    program.op(nr.exit_group, [33]); // op 4
    executor.send(program.wire());
    expect(await executor.receiveWords(1)).toEqual([BigInt(33 << 8)]);
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  test('the signal stub exits with 128 and the signal', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const SA_RESTORER = 0x04000000;
    // x86-64: handler, flags, restorer, mask; arm64 has no restorer, the mask is in its place.
    const stub = [SIGNAL_EXIT, arch === 'x64' ? SA_RESTORER : 0];
    const action = program.words(...stub, arch === 'x64' ? SIGNAL_EXIT : 0, 0);
    program.op(nr.rt_sigaction, [SIGTERM, action, 0, 8]);
    program.op(nr.rt_sigaction, [SIGUSR1, action, 0, 8]);
    sayText(program, 'ready');
    program.op(END);
    executor.send(program.wire());
    expect(String(await executor.receive(5))).toBe('ready');
    executor.kill('SIGTERM');
    expect(await executor.exit).toEqual({ code: 128 + SIGTERM, signal: null });
  });

  test('an interrupted read of the wire is repeated', async () => {
    const executor = new ExecutorProcess(arch);
    const first = new RawProgram();
    const timeout = first.words(60, 0);
    first.op(nr.setsockopt, [FD, SOL_SOCKET, SO_RCVTIMEO, timeout, 16]);
    sayText(first, 'ready');
    first.op(END);
    executor.send(first.wire());
    expect(String(await executor.receive(5))).toBe('ready');
    await interrupt(executor);
    const second = new RawProgram();
    sayText(second, 'again');
    second.op(END);
    executor.send(second.wire());
    expect(String(await executor.receive(5))).toBe('again');
    executor.end();
    expect(await executor.exit).toEqual({ code: 0, signal: null });
  });

  // Under emulation execveat of the image needs binfmt_misc.
  test.skipIf(arch !== process.arch)('the image runs again from a sealed memfd', async () => {
    const executor = new ExecutorProcess(arch);
    const program = new RawProgram();
    const F_ADD_SEALS = 1033;
    const ALL_SEALS = 0xf;
    const AT_EMPTY_PATH = 0x1000;
    const MFD_CLOEXEC_ALLOW_SEALING = 1 | 2;
    const argv = program.words(program.text('runcell'), program.text('3'), 0);
    program.op(nr.memfd_create, [program.text('x'), MFD_CLOEXEC_ALLOW_SEALING], { result: SLOT });
    program.op(nr.write, [SLOT, CODE_BASE, IMAGE_SIZE], { load: 0b1 });
    program.op(nr.fcntl, [SLOT, F_ADD_SEALS, ALL_SEALS], { load: 0b1 });
    program.op(nr.execveat, [SLOT, program.text(''), argv, 0, AT_EMPTY_PATH], { load: 0b1 });
    executor.send(program.wire());
    const second = new RawProgram();
    const link = second.data(Buffer.alloc(64));
    const exe = second.text('/proc/self/exe');
    second.op(nr.readlinkat, [-100, exe, link, 64]);
    say(second, SLOT, 8); // a new process image: the data page is zero again
    say(second, link, 64);
    const O_WRONLY = 1;
    second.op(nr.openat, [-100, exe, O_WRONLY, 0]);
    executor.send(second.wire());
    expect(await executor.receiveWords(1)).toEqual([0n]);
    expect(String(await executor.receive(64))).toMatch(/^\/memfd:x \(deleted\)\0/);
    const busy = [BigInt(-ERRNO.ETXTBSY), BigInt(-ERRNO.EPERM)];
    expect(busy).toContain((await executor.receiveWords(4))[2]);
    expect(await executor.exit).toEqual({ code: EXIT_FATAL, signal: null });
  });
});

/** How often the process has called read or its like (proc_pid_io(5)). */
function readCalls(pid: number): number {
  return Number(/^syscr: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))![1]);
}

/** On a socket with a receive timeout, a stop and a continue make read fail with EINTR (signal(7)). */
async function interrupt(executor: ExecutorProcess): Promise<void> {
  await until(() => stateOf(executor.pid) === 'S');
  executor.kill('SIGSTOP');
  await until(() => stateOf(executor.pid) === 'T');
  executor.kill('SIGCONT');
  await until(() => stateOf(executor.pid) !== 'T');
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** The state letter of proc_pid_stat(5), or nothing if the process is gone. */
function stateOf(pid: number): string | undefined {
  try {
    return /\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}
