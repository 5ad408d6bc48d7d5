/**
 * The launcher, dist/runcell: what people and engines execute. It makes the process fit for Node and
 * becomes the pinned Node by execve(2).
 *
 *     standard descriptors ─ argv, envp ─ missing and stray descriptors ─ hand-over memfd
 *         ─ own directory ─ execve node runcell.cjs <memfd> argv[1]…
 *
 * Node is not given the caller's environment: a variable of the caller must never choose code that
 * runs as root. What Node changes or loses at its start (limits, missing descriptors) is recorded
 * before. Invariants: no heap; paths are built on the stack; the caller's strings stay where the
 * kernel put them. Written in terms of executor/machine.ts. Emits code, does no I/O.
 */

import type { Code } from '../libcontainer/executor/elf.ts';
import { type Machine, machine, type Register } from '../libcontainer/executor/machine.ts';
import type { Arch } from '../libcontainer/linux/arch.ts';
import { ERRNO } from '../libcontainer/linux/errno.ts';
import {
  AT_FDCWD,
  F_DUPFD,
  F_GETFD,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  O_RDWR,
} from '../libcontainer/linux/fcntl.ts';
import { RLIMITS } from '../libcontainer/linux/sched.ts';
import { DATA_BASE, MAX_ERRNO } from '../libcontainer/program/op.ts';
import {
  HAND_OVER,
  HAND_OVER_HEADER_SIZE,
  HAND_OVER_MAGIC,
  HAND_OVER_VERSION,
  MAX_KEPT_FDS,
  NODE_FLAGS,
} from './hand-over.ts';

const PATH_MAX = 4096;
const STDERR = 2;
/** First descriptor that LISTEN_FDS and --preserve-fds count from: SD_LISTEN_FDS_START. */
const FIRST_KEPT = 3;

/** The data page: the header of the hand-over, then what is not worth a register. */
const DATA_PAGE: Register = 's0';
const LISTEN_PID = 64;
const FD_TEXT = 72;
const FD_TEXT_SIZE = 16;
/** An empty environment: a word that stays zero. */
const NO_ENVIRONMENT = 96;

/** Room for a path of our directory and what is appended to it, a multiple of 16. */
const PATH_ROOM = PATH_MAX + 256;

/** Where the pinned Node is, from our own directory; the second when npm has hoisted it. */
const nodePaths = (arch: Arch): readonly string[] => [
  `/../node_modules/node-linux-${arch}/bin/node`,
  `/../../node-linux-${arch}/bin/node`,
];

/** The code, with `texts`: where the instructions end and the strings begin. */
export function launcherCode(arch: Arch): Code & { readonly texts: number } {
  const m = machine(arch);
  const text = new Texts(m);
  entry(m);
  openStandardFds(m, text);
  scanArguments(m, text);
  scanEnvironment(m, text);
  findMissing(m);
  closeStray(m);
  makeMemfd(m, text);
  writeHandOver(m);
  formatFd(m);
  findDirectory(m, text);
  executeNode(m, text, arch);
  failures(m, text, arch);
  match(m);
  parseNumber(m);
  append(m);
  writeAll(m);
  print(m);
  text.place();
  const { code, labels } = m.finish();
  return { code, entry: labels.get('entry')!, texts: labels.get('texts')! };
}

/** NUL-terminated strings, placed behind the code. */
class Texts {
  readonly #m: Machine;
  readonly #labels = new Map<string, string>();

  constructor(m: Machine) {
    this.#m = m;
  }

  /** dst = the address of the text. */
  address(dst: Register, text: string): void {
    const label = this.#labels.get(text) ?? `text ${this.#labels.size}`;
    this.#labels.set(text, label);
    this.#m.address(dst, label);
  }

  place(): void {
    this.#m.bind('texts');
    for (const [text, label] of this.#labels) {
      this.#m.bind(label);
      this.#m.data(new TextEncoder().encode(`${text}\0`));
    }
  }
}

/** s1 = address of argv[1]; the stack is {argc, argv…, NULL, envp…, NULL} (execve(2)). */
function entry(m: Machine): void {
  m.bind('entry');
  m.set(DATA_PAGE, DATA_BASE);
  m.stackPointerTo('s1');
  m.load(64, 't0', 's1', 0);
  m.addNumber('s1', 16);
  // Before Linux 5.18 a caller could give no argv[0] at all; then argv[0] is the end of the list.
  m.branch('t0', 'notEqual', 0, 'have arguments');
  m.addNumber('s1', -8);
  m.bind('have arguments');
}

/** What is opened next must not become somebody's stdin, stdout or stderr. */
function openStandardFds(m: Machine, text: Texts): void {
  m.set('s2', 0);
  m.bind('standard');
  m.copy('a0', 's2');
  m.set('a1', F_GETFD);
  m.syscall('fcntl');
  m.branch('result', 'notEqual', -ERRNO.EBADF, 'standard open');
  m.set('a0', AT_FDCWD);
  text.address('a1', '/dev/null');
  m.set('a2', O_RDWR);
  m.syscall('openat'); // takes the lowest free number, which is this one
  m.bind('standard open');
  m.addNumber('s2', 1);
  m.branch('s2', 'notEqual', 3, 'standard');
}

/**
 * s3 = the largest preserve-fds on the command line, s2 = where argv ends. Every argument that looks
 * like the flag counts, even one that is another flag's value or the container's: too many kept
 * descriptors are closed by the compiler, which parses truly; too few would be lost here.
 */
function scanArguments(m: Machine, text: Texts): void {
  m.copy('s2', 's1');
  m.set('s3', 0);
  m.bind('argument');
  m.load(64, 'a0', 's2', 0);
  m.branch('a0', 'equal', 0, 'arguments done');
  m.addNumber('s2', 8);
  m.load(8, 't0', 'a0', 0);
  m.branch('t0', 'notEqual', '-'.charCodeAt(0), 'argument');
  m.addNumber('a0', 1);
  m.load(8, 't0', 'a0', 0);
  m.branch('t0', 'notEqual', '-'.charCodeAt(0), 'flag');
  m.addNumber('a0', 1);
  m.bind('flag');
  text.address('a1', 'preserve-fds');
  m.call('match');
  m.branch('t1', 'notEqual', 0, 'argument');
  m.load(8, 't0', 'a0', 0);
  m.addNumber('a0', 1);
  m.branch('t0', 'equal', '='.charCodeAt(0), 'flag value');
  m.branch('t0', 'notEqual', 0, 'argument');
  m.load(64, 'a0', 's2', 0); // the value is the next argument
  m.branch('a0', 'equal', 0, 'arguments done');
  m.bind('flag value');
  m.call('number');
  m.branch('a1', 'belowOrEqual', 's3', 'argument');
  m.copy('s3', 'a1');
  m.jump('argument');
  m.bind('arguments done');
  clamp(m, 's3', MAX_KEPT_FDS, 'preserve clamped');
}

/**
 * s5 = LISTEN_FDS if it is meant for us (sd_listen_fds(3)), s4 … s2 = the environment block. The
 * kernel places the strings of envp one behind the other, so the block is one piece of memory.
 */
function scanEnvironment(m: Machine, text: Texts): void {
  m.addNumber('s2', 8);
  m.load(64, 's4', 's2', 0);
  m.set('s5', 0);
  m.bind('variable');
  m.load(64, 'a0', 's2', 0);
  m.branch('a0', 'equal', 0, 'variables done');
  m.addNumber('s2', 8);
  text.address('a1', 'LISTEN_PID=');
  m.call('match');
  m.branch('t1', 'notEqual', 0, 'not the pid');
  m.call('number');
  m.store(64, 'a1', DATA_PAGE, LISTEN_PID);
  m.bind('not the pid');
  m.load(64, 'a0', 's2', -8);
  text.address('a1', 'LISTEN_FDS=');
  m.call('match');
  m.branch('t1', 'notEqual', 0, 'variable');
  m.call('number');
  m.copy('s5', 'a1');
  m.jump('variable');

  m.bind('variables done');
  m.load(64, 't0', 's2', -8); // the last variable, if there is one
  m.copy('s2', 's4');
  m.branch('s4', 'equal', 0, 'environment known');
  m.copy('s2', 't0');
  m.bind('last variable');
  m.load(8, 't0', 's2', 0);
  m.addNumber('s2', 1);
  m.branch('t0', 'notEqual', 0, 'last variable');
  m.bind('environment known');

  m.syscall('getpid');
  m.store(32, 'result', DATA_PAGE, HAND_OVER.pid);
  m.load(64, 't0', DATA_PAGE, LISTEN_PID);
  m.branch('t0', 'equal', 'result', 'for us');
  m.set('s5', 0);
  m.bind('for us');
  clamp(m, 's5', MAX_KEPT_FDS, 'listen clamped');
}

/** register = the smaller of it and the limit. */
function clamp(m: Machine, register: Register, limit: number, label: string): void {
  m.branch(register, 'belowOrEqual', limit, label);
  m.set(register, limit);
  m.bind(label);
}

/** s3 = keep; records the first descriptor below it that is not open. */
function findMissing(m: Machine): void {
  m.store(32, 's5', DATA_PAGE, HAND_OVER.listenFds);
  m.add('s3', 's5');
  m.addNumber('s3', FIRST_KEPT);
  m.store(32, 's3', DATA_PAGE, HAND_OVER.keep);
  m.set('s5', FIRST_KEPT);
  m.bind('kept');
  m.branch('s5', 'equal', 's3', 'none missing');
  m.copy('a0', 's5');
  m.set('a1', F_GETFD);
  m.syscall('fcntl');
  m.branch('result', 'equal', -ERRNO.EBADF, 'missing known');
  m.addNumber('s5', 1);
  m.jump('kept');
  m.bind('none missing');
  m.set('s5', -1);
  m.bind('missing known');
  m.store(32, 's5', DATA_PAGE, HAND_OVER.firstMissingFd);
}

/** Nothing that leaked into the caller may leak on into Node, its children or a container. */
function closeStray(m: Machine): void {
  m.copy('a0', 's3');
  m.set('a1', 0xffffffff);
  m.set('a2', 0);
  m.syscall('close_range');
  m.branch('result', 'notEqual', 0, 'old kernel');
}

/** s5 = the memfd, out of the way of kept descriptors and not close-on-exec. */
function makeMemfd(m: Machine, text: Texts): void {
  text.address('a0', 'runcell-launch');
  m.set('a1', MFD_CLOEXEC | MFD_ALLOW_SEALING);
  m.syscall('memfd_create');
  m.branch('result', 'aboveOrEqual', -MAX_ERRNO, 'no memfd');
  m.copy('s5', 'result');
  m.copy('a0', 's5');
  m.set('a1', F_DUPFD);
  m.copy('a2', 's3');
  m.syscall('fcntl');
  m.branch('result', 'below', -MAX_ERRNO, 'moved');
  // keep is above RLIMIT_NOFILE (EINVAL). Then one below it is missing, and using it hides nothing.
  m.copy('a0', 's5');
  m.set('a1', F_DUPFD);
  m.set('a2', FIRST_KEPT);
  m.syscall('fcntl');
  m.branch('result', 'aboveOrEqual', -MAX_ERRNO, 'no memfd');
  m.bind('moved');
  m.copy('s3', 'result');
  m.copy('a0', 's5');
  m.syscall('close');
  m.copy('s5', 's3');
}

/** Header and environment block. pwrite64 leaves the file offset at 0 for the reader. */
function writeHandOver(m: Machine): void {
  m.set('t0', HAND_OVER_MAGIC);
  m.store(32, 't0', DATA_PAGE, HAND_OVER.magic);
  m.set('t0', HAND_OVER_VERSION);
  m.store(32, 't0', DATA_PAGE, HAND_OVER.version);
  m.set('a0', 0);
  m.syscall('umask'); // the only way to read it is to set it
  m.store(32, 'result', DATA_PAGE, HAND_OVER.umask);
  m.copy('a0', 'result');
  m.syscall('umask');
  m.set('a0', 0);
  m.set('a1', RLIMITS.RLIMIT_NOFILE);
  m.set('a2', 0);
  m.copy('a3', DATA_PAGE);
  m.addNumber('a3', HAND_OVER.nofileSoft); // {soft, hard} as they are in the header
  m.syscall('prlimit64');
  m.copy('a1', DATA_PAGE);
  m.set('a2', HAND_OVER_HEADER_SIZE);
  m.set('a3', 0);
  m.call('write all');
  m.copy('a1', 's4');
  m.copy('a2', 's2');
  m.subtract('a2', 's4');
  m.call('write all');
}

/** s5 = the decimal text of the descriptor in s5, made from its end. */
function formatFd(m: Machine): void {
  m.copy('t0', DATA_PAGE);
  m.addNumber('t0', FD_TEXT + FD_TEXT_SIZE - 1); // the last byte stays NUL
  m.set('a2', 10);
  m.bind('format');
  // n / 10 for every n below 2³², by the reciprocal: n × ⌈2³⁵ / 10⌉ / 2³⁵.
  m.copy('a1', 's5');
  m.set('a3', 0xcccccccd);
  m.multiply('a1', 'a3');
  m.shiftRight('a1', 35);
  m.copy('t1', 'a1');
  m.multiply('t1', 'a2');
  m.subtract('s5', 't1');
  m.addNumber('s5', '0'.charCodeAt(0));
  m.addNumber('t0', -1);
  m.store(8, 's5', 't0', 0);
  m.copy('s5', 'a1');
  m.branch('s5', 'notEqual', 0, 'format');
  m.copy('s5', 't0');
}

/**
 * s1 = the new argv, s2 = our directory, s3 and s4 = room for two paths. The words of the new argv
 * lie directly before argv[1], over argc and argv[0] and down, so the rest is not copied.
 */
function findDirectory(m: Machine, text: Texts): void {
  m.addNumber('s1', -8 * (NODE_FLAGS.length + 3));
  m.copy('s2', 's1');
  m.set('t0', 3 * PATH_ROOM);
  m.subtract('s2', 't0');
  m.set('t0', -16);
  m.and('s2', 't0');
  m.stackPointerFrom('s2');
  m.set('t0', PATH_ROOM);
  m.copy('s3', 's2');
  m.add('s3', 't0');
  m.copy('s4', 's3');
  m.add('s4', 't0');

  m.set('a0', AT_FDCWD);
  text.address('a1', '/proc/self/exe');
  m.copy('a2', 's2');
  m.set('a3', PATH_MAX);
  m.syscall('readlinkat');
  m.branch('result', 'aboveOrEqual', -MAX_ERRNO, 'no proc');
  m.copy('t0', 's2');
  m.add('t0', 'result');
  m.bind('last slash'); // every path the kernel gives has one
  m.addNumber('t0', -1);
  m.load(8, 't1', 't0', 0);
  m.branch('t1', 'notEqual', '/'.charCodeAt(0), 'last slash');
  m.set('t1', 0);
  m.store(8, 't1', 't0', 0);
}

/** Node with our flags, our script, the memfd and the caller's arguments, and no environment. */
function executeNode(m: Machine, text: Texts, arch: Arch): void {
  ['runcell', ...NODE_FLAGS].forEach((word, index) => {
    text.address('t0', word);
    m.store(64, 't0', 's1', 8 * index);
  });
  m.store(64, 's3', 's1', 8 * (NODE_FLAGS.length + 1));
  m.store(64, 's5', 's1', 8 * (NODE_FLAGS.length + 2));
  m.copy('a0', 's3');
  m.copy('a1', 's2');
  m.call('append');
  text.address('a1', '/runcell.cjs');
  m.call('append');
  for (const path of nodePaths(arch)) {
    m.copy('a0', 's4');
    m.copy('a1', 's2');
    m.call('append');
    text.address('a1', path);
    m.call('append');
    m.copy('a0', 's4');
    m.copy('a1', 's1');
    m.copy('a2', DATA_PAGE);
    m.addNumber('a2', NO_ENVIRONMENT);
    m.syscall('execve');
  }
}

/** Falls through from executeNode; the other ways to fail jump here. */
function failures(m: Machine, text: Texts, arch: Arch): void {
  text.address('a1', `runcell: cannot execute its Node (node-linux-${arch} beside `);
  m.call('print');
  m.copy('a1', 's2');
  m.call('print');
  text.address('a1', '): run npm ci\n');
  m.jump('die');
  m.bind('no proc');
  text.address('a1', 'runcell: /proc is not mounted\n');
  m.jump('die');
  m.bind('no memfd');
  text.address('a1', 'runcell: cannot make a memfd for the environment\n');
  m.jump('die');
  m.bind('old kernel');
  text.address('a1', 'runcell: no close_range: Linux 5.14 or newer is needed\n');
  m.bind('die');
  m.call('print');
  m.set('a0', 1);
  m.syscall('exit_group');
}

/** If the text at a1 begins the string at a0: t1 = 0 and a0 behind it; else t1 is not 0. */
function match(m: Machine): void {
  m.bind('match');
  m.load(8, 't1', 'a1', 0);
  m.branch('t1', 'equal', 0, 'match done');
  m.load(8, 't0', 'a0', 0);
  m.branch('t0', 'notEqual', 't1', 'match done');
  m.addNumber('a0', 1);
  m.addNumber('a1', 1);
  m.jump('match');
  m.bind('match done');
  m.return();
}

/** a1 = the decimal number at a0, which must be all of the string; 0 if it is none. */
function parseNumber(m: Machine): void {
  m.bind('number');
  m.set('a1', 0);
  m.set('a2', 10);
  m.bind('digit');
  m.load(8, 't0', 'a0', 0);
  m.branch('t0', 'equal', 0, 'number done');
  m.addNumber('a0', 1);
  m.addNumber('t0', -'0'.charCodeAt(0));
  m.branch('t0', 'above', 9, 'no number');
  m.multiply('a1', 'a2');
  m.add('a1', 't0');
  // Beyond 32 bits it is larger than any limit: stop before it wraps around.
  m.copy('t0', 'a1');
  m.shiftRight('t0', 32);
  m.branch('t0', 'equal', 0, 'digit');
  m.return();
  m.bind('no number');
  m.set('a1', 0);
  m.bind('number done');
  m.return();
}

/** Copies the string at a1 to a0, with its NUL; a0 = address of that NUL. */
function append(m: Machine): void {
  m.bind('append');
  m.load(8, 't0', 'a1', 0);
  m.store(8, 't0', 'a0', 0);
  m.branch('t0', 'equal', 0, 'append done');
  m.addNumber('a0', 1);
  m.addNumber('a1', 1);
  m.jump('append');
  m.bind('append done');
  m.return();
}

/** Writes a2 bytes from a1 to the memfd at offset a3, which advances. */
function writeAll(m: Machine): void {
  m.bind('write all');
  m.branch('a2', 'equal', 0, 'write done');
  m.copy('a0', 's5');
  m.syscall('pwrite64');
  m.branch('result', 'aboveOrEqual', -MAX_ERRNO, 'no memfd');
  m.add('a1', 'result');
  m.subtract('a2', 'result');
  m.add('a3', 'result');
  m.jump('write all');
  m.bind('write done');
  m.return();
}

/** Writes the string at a1 to stderr. */
function print(m: Machine): void {
  m.bind('print');
  m.copy('a2', 'a1');
  m.bind('length');
  m.load(8, 't0', 'a2', 0);
  m.addNumber('a2', 1);
  m.branch('t0', 'notEqual', 0, 'length');
  m.subtract('a2', 'a1');
  m.addNumber('a2', -1);
  m.set('a0', STDERR);
  m.syscall('write');
  m.return();
}
