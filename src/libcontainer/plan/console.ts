/**
 * The container's terminal, made inside: a pty of its own devpts, /dev/console, the controlling
 * terminal (runtime-spec 1.3 config.md#process terminal, pty(7), ioctl_tty(2) TIOCGPTPEER).
 *
 * The multiplexer is opened below the root and verified to be one (devpts, inode 2, 5:2), the peer
 * comes from that descriptor and never from a path (CVE-2025-52565), the mount point of
 * /dev/console is made and opened without following links (CVE-2026-88264). Pure.
 */

import { AT_EMPTY_PATH, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_PATH, O_RDWR } from '../linux/fcntl.ts';
import {
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from '../linux/mount.ts';
import { TIOCGPTPEER, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ } from '../linux/socket.ts';
import {
  DEVPTS_SUPER_MAGIC,
  S_IFCHR,
  S_IFMT,
  S_IFREG,
  STATX,
  STATX_BASIC_STATS,
} from '../linux/stat.ts';
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import { planSendDescriptor } from './descriptor-passing.ts';
import { type Draft, openInRoot, sendMessage } from './draft.ts';

/** Device 5:2 as two adjacent u32 words, major first. */
const PTMX_DEVICE = (2n << 32n) | 5n;
/** The multiplexer's inode in every devpts (fs/devpts/inode.c). */
const PTMX_INODE = 2;

export interface TerminalFds {
  readonly root: Slot;
  /** The container's /dev when its console is to be made; absent for exec. */
  readonly dev?: Slot;
  readonly consoleSocket: Slot;
}

export interface Terminal {
  readonly master: Slot;
  readonly slave: Slot;
}

/** The pty, its window size, and /dev/console on it. */
export function planTerminal(
  draft: Draft,
  fds: TerminalFds,
  size: { height?: unknown; width?: unknown } | undefined,
  owner: number,
): Terminal {
  const b = draft.builder;
  b.section('process.terminal', 'make the terminal', '/dev/pts/ptmx');
  const master = b.slot('pty master');
  const slave = b.slot('pty slave');
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  openInRoot(b, fds.root, '/dev/pts/ptmx', master, { flags });
  verifyMultiplexer(b, master);
  b.call('ioctl', [master, TIOCSPTLCK, b.words([0])]);
  const rows = Number(size?.height ?? 0);
  const columns = Number(size?.width ?? 0);
  if (rows > 0 || columns > 0) {
    const winsize = b.space(8);
    b.setU16(winsize, rows);
    b.setU16(winsize.plus(2), columns);
    b.call('ioctl', [master, TIOCSWINSZ, winsize]);
  }
  b.call('ioctl', [master, TIOCGPTPEER, flags], { into: slave });
  if (fds.dev !== undefined) planConsole(b, fds.dev, slave);
  // Group stays the devpts' (gid=5 by default): only the owner is the process's.
  b.call('fchown', [slave, owner, 0xffffffff]);
  return { master, slave };
}

function verifyMultiplexer(b: ProgramBuilder, master: Slot): void {
  const statfs = b.scratch();
  b.call('fstatfs', [master, statfs]);
  b.check(statfs, 0xffffffff, DEVPTS_SUPER_MAGIC, 'ENODEV', { note: 'is it on a devpts' });
  const statx = b.scratch();
  b.call('statx', [master, b.string(''), AT_EMPTY_PATH, STATX_BASIC_STATS, statx]);
  b.check(statx.plus(STATX.mode), S_IFMT, S_IFCHR, 'ENODEV');
  b.check(statx.plus(STATX.ino), 0xffffffff, PTMX_INODE, 'ENODEV', {
    note: 'is it the multiplexer',
  });
  b.check(statx.plus(STATX.rdevMajor), 0xffffffffffffffffn, PTMX_DEVICE, 'ENODEV');
}

function planConsole(b: ProgramBuilder, dev: Slot, slave: Slot): void {
  const name = b.string('console');
  const mount = b.slot('console mount');
  const target = b.slot('console');
  b.call('mknodat', [dev, name, S_IFREG | 0o600, 0], { tolerate: ['EEXIST'] });
  b.call('openat', [dev, name, O_PATH | O_CLOEXEC | O_NOFOLLOW(b.arch)], { into: target });
  const empty = b.string('');
  const clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  b.call('open_tree', [slave, empty, clone], { into: mount });
  const move = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  b.call('move_mount', [mount, empty, target, empty, move]);
  b.call('close', [mount]);
  b.call('close', [target]);
}

/** Hands the master to the console socket, or offers it to the compiler, which then takes it. */
export function planHandOver(draft: Draft, terminal: Terminal, socket: Slot): void {
  const b = draft.builder;
  if (draft.options.foregroundTerminal) {
    sendMessage(b, 'PTY', terminal.master);
    return;
  }
  b.section('--console-socket', 'send the terminal', draft.options.consoleSocket ?? '');
  planSendDescriptor(b, socket, terminal.master, '/dev/ptmx');
  b.call('close', [socket]);
}

/** The slave becomes standard input, output and error and the controlling terminal. */
export function planUseTerminal(draft: Draft, terminal: Terminal): void {
  const b = draft.builder;
  b.section('process.terminal', 'use the terminal', '/dev/console');
  b.call('close', [terminal.master]);
  b.call('ioctl', [terminal.slave, TIOCSCTTY, 0]);
  for (const fd of [0, 1, 2]) b.call('dup3', [terminal.slave, fd, 0]);
  b.call('close', [terminal.slave]);
}
