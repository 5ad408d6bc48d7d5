/**
 * The foreground terminal of `run -t` and `exec -t`: between the user's and the container's.
 *
 *     stdin ──► master of the container's pty          stdout ◄── master
 *
 * The user's terminal (the first of stderr, stdout, stdin that is one, else /dev/tty) is raw for as
 * long as the process runs and is restored on every way out. Signals are forwarded to the process,
 * SIGWINCH becomes the master's new size. What the process wrote before it ended is written out
 * before its exit code is returned; a hang-up of the master (EIO) is its end of file, since
 * nobody has the slave open any more. Input that is no terminal ends with the end-of-file
 * character. ppoll(2) runs on a thread of koffi, so that signals arrive while we wait; no stream
 * or tty module of Node is loaded and O_NONBLOCK is never set on what the caller shares with us.
 */

import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { ERRNO } from '../linux/errno.ts';
import { SIGNALS } from '../linux/signal.ts';
import {
  exitCodeOf,
  POLLIN,
  POLLOUT,
  type PollEntry,
  pidfdSendSignal,
  reapPidfd,
  setNonBlocking,
} from '../native/libc.ts';
import { pollAsync } from '../native/wait.ts';
import {
  copyWindowSize,
  endOfFileCharacter,
  getTermios,
  rawModes,
  restoreTermios,
  setTermios,
  type Termios,
  takesLines,
  withoutOnlcr,
} from './termios.ts';

export interface TerminalProcess {
  /** The master of the container's pty; the caller closes it. */
  readonly masterFd: number;
  /** The process whose exit ends the session, a child of ours; the caller closes it. */
  readonly pidfd: number;
}

const CHUNK = 65536;
/** A pipe that poll(2) calls writable takes this much without blocking (pipe(7), PIPE_BUF). */
const WRITE_CHUNK = 4096;
const NEWLINE = 0x0a;

/** What Node cannot listen to, what is its own, and what is not for the container. */
const NOT_FORWARDED: readonly number[] = [
  ...[SIGNALS.SIGKILL, SIGNALS.SIGSTOP, SIGNALS.SIGCHLD, SIGNALS.SIGURG, SIGNALS.SIGWINCH],
  ...[SIGNALS.SIGILL, SIGNALS.SIGTRAP, SIGNALS.SIGBUS, SIGNALS.SIGFPE, SIGNALS.SIGSEGV],
  ...[SIGNALS.SIGSYS, SIGNALS.SIGPIPE, SIGNALS.SIGPROF],
];

/** Relays until the process has ended; gives its exit status, or 128 + the signal that ended it. */
export async function relayTerminal(process: TerminalProcess): Promise<number> {
  using user = new UserTerminal();
  using _signals = new SignalForwarder(process, user);
  user.makeRaw();
  const relay = new Relay(process);
  try {
    await relay.run();
  } finally {
    relay.close();
  }
  return exitCodeOf(reapPidfd(process.pidfd));
}

/** The terminal the user sits at, if there is one, and its modes before we came. */
class UserTerminal implements Disposable {
  readonly fd: number | undefined;
  readonly #opened: number | undefined;
  readonly #modes: Termios | undefined;

  constructor() {
    const inherited = [2, 1, 0].find((fd) => getTermios(fd) !== undefined);
    this.#opened = inherited === undefined ? openControllingTerminal() : undefined;
    this.fd = inherited ?? this.#opened;
    this.#modes = this.fd === undefined ? undefined : getTermios(this.fd);
  }

  makeRaw(): void {
    if (this.fd === undefined || this.#modes === undefined) return;
    setTermios(this.fd, rawModes(this.#modes));
  }

  restore(): void {
    if (this.fd === undefined || this.#modes === undefined) return;
    restoreTermios(this.fd, this.#modes);
  }

  [Symbol.dispose](): void {
    this.restore();
    if (this.#opened !== undefined) closeSync(this.#opened);
  }
}

/** Gives the master the size of the user's terminal: before the program starts, which may ask. */
export function fitTerminal(masterFd: number): void {
  using user = new UserTerminal();
  if (user.fd !== undefined) copyWindowSize(user.fd, masterFd);
  // our output is no terminal that is raw then: lines are to end as they would without a pty
  const modes = getTermios(masterFd);
  const plain = user.fd === undefined || getTermios(1) === undefined;
  if (plain && modes !== undefined) setTermios(masterFd, withoutOnlcr(modes));
}

function openControllingTerminal(): number | undefined {
  try {
    return openSync('/dev/tty', constants.O_RDWR | constants.O_NOCTTY);
  } catch {
    // ENXIO: the session has none
    return undefined;
  }
}

/** Forwards signals to the process and sizes to the master until disposed. */
class SignalForwarder implements Disposable {
  readonly #listeners: (readonly [NodeJS.Signals, () => void])[] = [];

  constructor({ masterFd, pidfd }: TerminalProcess, user: UserTerminal) {
    const known = new Set(NOT_FORWARDED);
    for (const name of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) {
      const signal = SIGNALS[name];
      if (known.has(signal)) continue;
      known.add(signal);
      this.#listen(name as NodeJS.Signals, () => {
        pidfdSendSignal(pidfd, signal);
      });
    }
    const resize = () => {
      if (user.fd !== undefined) copyWindowSize(user.fd, masterFd);
    };
    this.#listen('SIGWINCH', resize);
    resize();
  }

  #listen(name: NodeJS.Signals, listener: () => void): void {
    process.on(name, listener);
    this.#listeners.push([name, listener]);
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}

/** Bytes on their way to a descriptor. */
class Outgoing {
  bytes: Uint8Array = new Uint8Array(0);
  /** The other end is gone: what is still to be written goes nowhere. */
  broken = false;

  get empty(): boolean {
    return this.bytes.length === 0;
  }

  writeTo(fd: number, most: number): void {
    const length = Math.min(most, this.bytes.length);
    const written = this.broken ? length : tryWrite(fd, this.bytes, length);
    this.broken ||= written === 'broken';
    this.bytes = this.bytes.subarray(typeof written === 'number' ? written : length);
  }
}

class Relay {
  readonly #process: TerminalProcess;
  readonly #input: Endpoint;
  readonly #output: Endpoint;
  readonly #toMaster = new Outgoing();
  readonly #toUser = new Outgoing();
  readonly #buffer = new Uint8Array(CHUNK);
  #inputOpen = true;
  /** Whether the terminal took whole lines when the end of the input was last said. */
  #endedInLines: boolean | undefined;
  #masterOpen = true;
  #running = true;
  #lastByte = NEWLINE;

  constructor(process: TerminalProcess) {
    this.#process = process;
    this.#input = openEndpoint(0, constants.O_RDONLY);
    this.#output = openEndpoint(1, constants.O_WRONLY);
    setNonBlocking(process.masterFd);
  }

  async run(): Promise<void> {
    while (this.#running || this.#masterOpen || !this.#toUser.empty) {
      const events = await pollAsync(this.#entries());
      this.#step(events);
    }
  }

  close(): void {
    for (const { fd, owned } of [this.#input, this.#output]) if (owned) closeSync(fd);
  }

  /** Read only what there is room for: whoever is slow slows the other side down. */
  #entries(): PollEntry[] {
    const { masterFd, pidfd } = this.#process;
    const wantsInput = this.#inputOpen && this.#masterOpen && this.#running && this.#toMaster.empty;
    const masterEvents =
      (this.#toUser.empty ? POLLIN : 0) | (this.#toMaster.empty || !this.#running ? 0 : POLLOUT);
    return [
      { fd: this.#running ? pidfd : -1, events: POLLIN },
      // a hang-up is reported even when nothing is asked for, so that it is not asked at all then
      { fd: this.#masterOpen && masterEvents !== 0 ? masterFd : -1, events: masterEvents },
      { fd: wantsInput ? this.#input.fd : -1, events: POLLIN },
      { fd: this.#toUser.empty ? -1 : this.#output.fd, events: POLLOUT },
    ];
  }

  #step([pidfd, master, input, output]: number[]): void {
    if (pidfd !== 0) this.#running = false;
    if (output !== 0) this.#toUser.writeTo(this.#output.fd, WRITE_CHUNK);
    if (input !== 0) this.#readInput();
    if (master !== 0 && !this.#toMaster.empty) {
      this.#toMaster.writeTo(this.#process.masterFd, CHUNK);
    }
    if (this.#masterOpen && this.#toUser.empty && (master !== 0 || !this.#running)) {
      this.#readMaster();
    }
  }

  #readInput(): void {
    const read = tryRead(this.#input.fd, this.#buffer);
    if (read === 'later') return;
    if (read > 0) {
      this.#toMaster.bytes = this.#buffer.slice(0, read);
      this.#lastByte = this.#toMaster.bytes[read - 1]!;
      return;
    }
    this.#inputOpen = false;
    if (!this.#input.terminal) this.#sayEnd();
  }

  /**
   * A terminal has no end of file: it is the character, twice when a line is still unfinished, of
   * which the first only hands that line over (termios(3), VEOF). A program that changes the mode
   * afterwards, as a shell before its prompt, reads something else of it: it is said again.
   */
  #sayEnd(): void {
    const modes = getTermios(this.#process.masterFd);
    if (modes === undefined || takesLines(modes) === this.#endedInLines) return;
    const times = this.#endedInLines !== undefined || this.#lastByte === NEWLINE ? 1 : 2;
    this.#endedInLines = takesLines(modes);
    this.#toMaster.bytes = new Uint8Array(times).fill(endOfFileCharacter(modes));
  }

  #readMaster(): void {
    const read = tryRead(this.#process.masterFd, this.#buffer);
    if (read === 'later') {
      // the process has ended and this was the last of its output
      if (!this.#running) this.#masterOpen = false;
    } else if (read === 0) {
      this.#masterOpen = false;
    } else {
      this.#toUser.bytes = this.#buffer.slice(0, read);
      if (this.#endedInLines !== undefined && this.#toMaster.empty) this.#sayEnd();
    }
  }
}

interface Endpoint {
  readonly fd: number;
  /** Opened by us, so ours to close. */
  readonly owned: boolean;
  readonly terminal: boolean;
}

/**
 * The descriptor for non-blocking use: terminals and pipes are opened once more, since the flag
 * belongs to the open file, which the caller and others share with us. Files have a position and
 * sockets cannot be opened; they are used as they are, after poll(2) said so.
 */
function openEndpoint(fd: number, mode: number): Endpoint {
  const terminal = getTermios(fd) !== undefined;
  if (!terminal && !isFifo(fd)) return { fd, owned: false, terminal };
  try {
    const flags = mode | constants.O_NONBLOCK | constants.O_NOCTTY;
    return { fd: openSync(`/proc/self/fd/${fd}`, flags), owned: true, terminal };
  } catch {
    // a terminal of another user, after su(1)
    return { fd, owned: false, terminal };
  }
}

function isFifo(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO();
  } catch {
    return false;
  }
}

function errnoOf(thrown: unknown): number {
  return Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
}

/** Bytes read, 0 at end of file or hang-up. */
function tryRead(fd: number, buffer: Uint8Array): number | 'later' {
  try {
    return readSync(fd, buffer, 0, buffer.length, null);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return 'later';
    if (errno === ERRNO.EIO || errno === ERRNO.EBADF || errno === ERRNO.ECONNRESET) return 0;
    throw thrown;
  }
}

function tryWrite(fd: number, bytes: Uint8Array, length: number): number | 'broken' {
  try {
    return writeSync(fd, bytes, 0, length);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return 0;
    if (errno === ERRNO.EPIPE || errno === ERRNO.EIO || errno === ERRNO.EBADF) return 'broken';
    if (errno === ERRNO.ECONNRESET) return 'broken';
    throw thrown;
  }
}
