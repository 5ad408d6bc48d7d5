/**
 * The executor: reads a program, runs it, reads the next. docs/program.md is its contract.
 *
 *     signal stub ─ entry ─► next: read header, map, read body ─► run: op, load, call, store, judge
 *                              ▲                                    │  ▲
 *                              └──────────── END ───────────────────┘  └─ next op, jump, retry, trap
 *
 * Invariants: the signal stub is the first instruction (SIGNAL_EXIT); nothing but system calls and
 * the data page; no state between programs but the data page. Written in terms of machine.ts, so
 * this is the source for both architectures. Emits code, does no I/O.
 */

import type { Arch } from '../linux/arch.ts';
import { ERRNO } from '../linux/errno.ts';
import {
  CMP,
  DATA,
  DATA_BASE,
  END,
  EXIT_FATAL,
  EXIT_PROTOCOL,
  FATAL_TAG,
  JUMP_IF_ZERO,
  JUMP_ON_ERROR,
  MAX_ERRNO,
  MESSAGE_SIZE,
  OP,
  OP_SIZE,
  PROGRAM_BASE,
  RETRY,
  RETRY_LIMIT,
  SUM,
  WIRE_HEADER_SIZE,
  WIRE_MAGIC,
} from '../program/op.ts';
import type { Code } from './elf.ts';
import { type Machine, machine, type Register } from './machine.ts';

/** mmap(2): PROT_READ | PROT_WRITE; MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS. */
const READ_WRITE = 1 | 2;
const ANONYMOUS_HERE = 2 | 0x10 | 0x20;

/** Registers that live across system calls. */
const DATA_PAGE: Register = 's0';
const CURRENT_OP: Register = 's1';
const CURSOR: Register = 's2';
const LEFT: Register = 's3';
const TRIES: Register = 's4';

const ARGUMENTS: readonly Register[] = ['a0', 'a1', 'a2', 'a3', 'a4', 'a5'];

/** Fields of the record in the data page: {tag, op index, result, ignored}. */
const RECORD = { tag: 0, op: 8, result: 16, ignored: 24 } as const;

export function executorCode(arch: Arch): Code {
  const m = machine(arch);
  signalStub(m);
  entry(m);
  nextProgram(m);
  readFully(m);
  runOp(m);
  pseudoOps(m);
  judgeError(m);
  fatal(m);
  const { code, labels } = m.finish();
  return { code, entry: labels.get('entry')! };
}

/** A handler (signo) that exits with 128 + signo, as a shell would report it. It never returns. */
function signalStub(m: Machine): void {
  m.addNumber('a0', 128);
  m.bind('exit');
  m.syscall('exit_group');
}

/** ctl = err = the decimal number in argv[1]; the stack is {argc, argv[0], argv[1], …} (execve(2)). */
function entry(m: Machine): void {
  m.bind('entry');
  m.set(DATA_PAGE, DATA_BASE);
  m.stackPointerTo('t0');
  m.load(64, 't0', 't0', 16);
  m.branch('t0', 'equal', 0, 'protocol');
  m.set('a0', 0);
  m.set('a1', 10);
  m.bind('digit');
  m.load(8, 't1', 't0', 0);
  m.addNumber('t0', 1);
  m.addNumber('t1', -'0'.charCodeAt(0));
  m.branch('t1', 'above', 9, 'number');
  m.multiply('a0', 'a1');
  m.add('a0', 't1');
  m.jump('digit');
  m.bind('number');
  m.store(64, 'a0', DATA_PAGE, DATA.ctl);
  m.store(64, 'a0', DATA_PAGE, DATA.err);
}

/** Reads the wire header, replaces the mapped program and starts it. */
function nextProgram(m: Machine): void {
  m.bind('next program');
  m.copy(CURSOR, DATA_PAGE);
  m.addNumber(CURSOR, DATA.header);
  m.set(LEFT, WIRE_HEADER_SIZE);
  m.call('read fully');
  m.set('a0', 0);
  m.branch(LEFT, 'equal', WIRE_HEADER_SIZE, 'exit'); // end of file between two programs
  m.branch(LEFT, 'notEqual', 0, 'protocol');
  // The word after the magic is zero, so both are one comparison.
  m.load(64, 't0', DATA_PAGE, DATA.header);
  m.branch('t0', 'notEqual', WIRE_MAGIC, 'protocol');
  // A trap is an op of the program before.
  m.set('t0', 0);
  m.store(64, 't0', DATA_PAGE, DATA.trap);

  // Without a previous program the length is 0 and munmap says EINVAL, which harms nothing.
  m.set('a0', PROGRAM_BASE);
  m.load(64, 'a1', DATA_PAGE, DATA.length);
  m.syscall('munmap');
  m.set('a0', PROGRAM_BASE);
  m.load(64, LEFT, DATA_PAGE, DATA.header + 8);
  m.copy('a1', LEFT);
  m.set('a2', READ_WRITE);
  m.set('a3', ANONYMOUS_HERE);
  m.set('a4', -1);
  m.set('a5', 0);
  m.store(64, LEFT, DATA_PAGE, DATA.length);
  m.syscall('mmap');
  m.set(CURSOR, PROGRAM_BASE);
  m.branch('result', 'notEqual', CURSOR, 'protocol');
  m.copy(CURRENT_OP, CURSOR);
  m.call('read fully');
  m.branch(LEFT, 'equal', 0, 'run');

  m.bind('protocol');
  m.set('a0', EXIT_PROTOCOL);
  m.jump('exit');
}

/** Reads LEFT bytes to CURSOR; returns early, with LEFT > 0, only at end of file. */
function readFully(m: Machine): void {
  m.bind('read fully');
  m.branch(LEFT, 'equal', 0, 'read done');
  m.load(64, 'a0', DATA_PAGE, DATA.ctl);
  m.copy('a1', CURSOR);
  m.copy('a2', LEFT);
  m.syscall('read');
  m.branch('result', 'equal', -ERRNO.EINTR, 'read fully');
  m.branch('result', 'aboveOrEqual', -MAX_ERRNO, 'protocol');
  m.add(CURSOR, 'result');
  m.subtract(LEFT, 'result');
  m.branch('result', 'notEqual', 0, 'read fully');
  m.bind('read done');
  m.return();
}

/** One op: arguments, call, result; falls through to the judgement of pseudo ops. */
function runOp(m: Machine): void {
  m.bind('next op');
  m.addNumber(CURRENT_OP, OP_SIZE);
  m.bind('run');
  m.set(TRIES, RETRY_LIMIT + 1);
  m.bind('again');
  m.load(8, 't0', CURRENT_OP, OP.load);
  ARGUMENTS.forEach((argument, index) => {
    m.load(64, argument, CURRENT_OP, OP.args + 8 * index);
    m.branchBit('t0', index, 'clear', `immediate ${index}`);
    m.load(64, argument, argument, 0);
    m.bind(`immediate ${index}`);
  });
  m.load(16, 'nr', CURRENT_OP, OP.nr);
  m.branch('nr', 'aboveOrEqual', CMP, 'pseudo');
  m.trap();
  m.bind('judge');
  storeResult(m, 'judged');
  m.load(8, 't0', CURRENT_OP, OP.flags);
  m.branch('result', 'aboveOrEqual', -MAX_ERRNO, 'error');
  m.bind('no error');
  m.branch('result', 'notEqual', 0, 'next op');
  m.branchBit('t0', bit(JUMP_IF_ZERO), 'clear', 'next op');
  m.bind('jump');
  m.load(16, 't0', CURRENT_OP, OP.target);
  m.bind('go to t0');
  m.shiftLeft('t0', bit(OP_SIZE));
  m.set(CURRENT_OP, PROGRAM_BASE);
  m.add(CURRENT_OP, 't0');
  m.jump('run');
}

/** Stores the result where the op wants it; the label is unique to the place of use. */
function storeResult(m: Machine, label: string): void {
  m.load(64, 't0', CURRENT_OP, OP.result);
  m.branch('t0', 'equal', 0, label);
  m.store(64, 'result', 't0', 0);
  m.bind(label);
}

/** END, SUM and CMP. The number is in nr, which may be the register of the result. */
function pseudoOps(m: Machine): void {
  m.bind('pseudo');
  m.branch('nr', 'equal', END, 'next program');
  m.branch('nr', 'equal', SUM, 'sum');
  m.load(64, 't0', 'a0', 0);
  m.and('t0', 'a1');
  m.set('result', 0);
  m.branch('t0', 'equal', 'a2', 'judge');
  m.subtract('result', 'a3');
  m.jump('judge');

  m.bind('sum');
  m.copy('result', 'a0');
  m.add('result', 'a1');
  storeResult(m, 'sum stored');
  m.load(8, 't0', CURRENT_OP, OP.flags);
  m.jump('no error'); // a sum is never an error, whatever it looks like
}

/** The result is an error; t0 has the flags. Retry, jump, tolerate, or fall through to fatal. */
function judgeError(m: Machine): void {
  m.bind('error');
  m.branchBit('t0', bit(RETRY), 'clear', 'no retry');
  m.branch('result', 'equal', -ERRNO.EINTR, 'retry');
  m.branch('result', 'notEqual', -ERRNO.EAGAIN, 'no retry');
  m.bind('retry');
  m.addNumber(TRIES, -1);
  m.branch(TRIES, 'notEqual', 0, 'again');

  m.bind('no retry');
  m.copy('t1', 'result');
  m.negate('t1');
  m.load(8, 'a1', CURRENT_OP, OP.tolerate0);
  m.branch('a1', 'equal', 't1', 'tolerated');
  m.load(8, 'a1', CURRENT_OP, OP.tolerate1);
  m.branch('a1', 'equal', 't1', 'tolerated');
  // A jump without a list takes every error; both bytes of the list are one load.
  m.branchBit('t0', bit(JUMP_ON_ERROR), 'clear', 'fatal');
  m.load(16, 'a1', CURRENT_OP, OP.tolerate0);
  m.branch('a1', 'notEqual', 0, 'fatal');

  m.bind('tolerated');
  m.store(64, 'result', DATA_PAGE, DATA.ignored);
  m.branchBit('t0', bit(JUMP_ON_ERROR), 'set', 'jump');
  m.jump('next op');
}

/** Makes the record; goes on at the trap if there is one, else writes the record and exits. */
function fatal(m: Machine): void {
  m.bind('fatal');
  m.set('t0', FATAL_TAG);
  m.store(64, 't0', DATA_PAGE, DATA.record + RECORD.tag);
  m.copy('t0', CURRENT_OP);
  m.set('t1', PROGRAM_BASE);
  m.subtract('t0', 't1');
  m.shiftRight('t0', bit(OP_SIZE));
  m.store(64, 't0', DATA_PAGE, DATA.record + RECORD.op);
  m.store(64, 'result', DATA_PAGE, DATA.record + RECORD.result);
  m.load(64, 't0', DATA_PAGE, DATA.ignored);
  m.store(64, 't0', DATA_PAGE, DATA.record + RECORD.ignored);
  m.load(64, 't0', DATA_PAGE, DATA.trap);
  m.set('t1', 0);
  m.store(64, 't1', DATA_PAGE, DATA.trap);
  m.branch('t0', 'notEqual', 0, 'go to t0');

  m.load(64, 'a0', DATA_PAGE, DATA.err);
  m.copy('a1', DATA_PAGE);
  m.addNumber('a1', DATA.record);
  m.set('a2', MESSAGE_SIZE);
  m.syscall('write');
  m.set('a0', EXIT_FATAL);
  m.jump('exit');
}

/** The number of the only bit that is set in a flag or a size. */
function bit(power: number): number {
  return Math.log2(power);
}
