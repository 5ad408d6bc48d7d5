/**
 * A terminal's modes and size: termios(3), ioctl_tty(2).
 *
 * The kernel's struct termios (asm-generic/termbits.h) is 36 bytes: u32 iflag, oflag, cflag, lflag,
 * u8 line, 19 control characters. Raw mode here is cfmakeraw(3), so that every key, ctrl-C too, is
 * a byte for the container's own terminal to interpret.
 */

import { ERRNO } from '../linux/errno.ts';
import { SIG_BLOCK, SIG_SETMASK } from '../linux/sched.ts';
import { SIGNALS } from '../linux/signal.ts';
import { TIOCSWINSZ } from '../linux/socket.ts';
import { checked, syscall } from '../native/libc.ts';

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCGWINSZ = 0x5413;
const TERMIOS_SIZE = 36;

// asm-generic/termbits.h
const IGNBRK_TO_ICRNL = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400;
const IXON = 0o2000;
const OPOST = 0o1;
const ONLCR = 0o4;
const CSIZE = 0o60;
const CS8 = 0o60;
const PARENB = 0o400;
const ISIG = 0o1;
const ICANON = 0o2;
const ECHO = 0o10;
const ECHONL = 0o100;
const IEXTEN = 0o100000;
const CC = 17;
const VEOF = 4;
const VTIME = 5;
const VMIN = 6;

/** The modes as the kernel gives them. */
export type Termios = Uint8Array<ArrayBuffer>;

/** Undefined when the descriptor is no terminal. */
export function getTermios(fd: number): Termios | undefined {
  const termios = new Uint8Array(TERMIOS_SIZE);
  const result = syscall('ioctl', fd, TCGETS, termios);
  // EIO: a terminal that was hung up; EBADF: closed by the caller
  if (result === -ERRNO.ENOTTY || result === -ERRNO.EIO || result === -ERRNO.EBADF)
    return undefined;
  if (result === -ERRNO.EINVAL) return undefined;
  checked(result, 'get terminal modes', fd);
  return termios;
}

export function setTermios(fd: number, termios: Termios): void {
  checked(syscall('ioctl', fd, TCSETS, termios), 'set terminal modes', fd);
}

/**
 * Sets the modes from the background as well, where the terminal would stop us by SIGTTOU if it
 * were not blocked; false when the terminal is gone.
 */
export function restoreTermios(fd: number, termios: Termios): boolean {
  const blocked = BigUint64Array.of(1n << BigInt(SIGNALS.SIGTTOU - 1));
  const before = new BigUint64Array(1);
  checked(syscall('rt_sigprocmask', SIG_BLOCK, blocked, before, 8), 'rt_sigprocmask');
  const result = syscall('ioctl', fd, TCSETS, termios);
  checked(syscall('rt_sigprocmask', SIG_SETMASK, before, null, 8), 'rt_sigprocmask');
  return result >= 0;
}

export function rawModes(termios: Termios): Termios {
  const raw = termios.slice();
  const view = new DataView(raw.buffer);
  const change = (at: number, clear: number, set = 0) =>
    view.setUint32(at, (view.getUint32(at, true) & ~clear) | set, true);
  change(0, IGNBRK_TO_ICRNL | IXON);
  change(4, OPOST);
  change(8, CSIZE | PARENB, CS8);
  change(12, ISIG | ICANON | ECHO | ECHONL | IEXTEN);
  raw[CC + VMIN] = 1;
  raw[CC + VTIME] = 0;
  return raw;
}

/** Each key as it is typed and not shown; signals are the terminal's still. */
export function keyModes(termios: Termios): Termios {
  const keys = termios.slice();
  const view = new DataView(keys.buffer);
  view.setUint32(12, view.getUint32(12, true) & ~(ICANON | ECHO | ECHONL), true);
  keys[CC + VMIN] = 1;
  keys[CC + VTIME] = 0;
  return keys;
}

/** Output without a carriage return before each newline. */
export function withoutOnlcr(termios: Termios): Termios {
  const changed = termios.slice();
  const view = new DataView(changed.buffer);
  view.setUint32(4, view.getUint32(4, true) & ~ONLCR, true);
  return changed;
}

/** The character that ends input in canonical mode; ctrl-D unless changed. */
export function endOfFileCharacter(termios: Termios): number {
  return termios[CC + VEOF]!;
}

/** struct winsize: u16 rows, columns, and two that nobody uses. Undefined where there is none. */
function readWindowSize(fd: number): Uint16Array | undefined {
  const size = new Uint16Array(4);
  if (syscall('ioctl', fd, TIOCGWINSZ, size) < 0) return undefined;
  return size[0] === 0 && size[1] === 0 ? undefined : size;
}

export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

/** Undefined when the terminal does not know. */
export function windowSize(fd: number): WindowSize | undefined {
  const size = readWindowSize(fd);
  return size === undefined ? undefined : { rows: size[0]!, columns: size[1]! };
}

/** Gives the terminal `to` the size of `from`; a terminal that knows no size is not followed. */
export function copyWindowSize(from: number, to: number): void {
  const size = readWindowSize(from);
  if (size === undefined) return;
  const result = syscall('ioctl', to, TIOCSWINSZ, size);
  if (result !== -ERRNO.EIO) checked(result, 'set window size', to);
}

/** Canonical mode: input is read by lines, and the end-of-file character means what it says. */
export function takesLines(termios: Termios): boolean {
  return (new DataView(termios.buffer).getUint32(12, true) & ICANON) !== 0;
}
