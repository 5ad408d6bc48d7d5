/**
 * Sockets that the caller names: --console-socket and --pidfd-socket (runtime-cli.md §4.2, §4.7).
 *
 * Both take one message with one descriptor. The pty's master is sent from inside the container by
 * ops that the planner writes; a pidfd is sent from here. A path longer than an address (107
 * bytes) is reached through a descriptor of its directory. unix(7), cmsg(3).
 */

import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import { isRuncellError, RuncellError } from '../../error.ts';
import { SOCK_STREAM } from '../linux/socket.ts';
import {
  connectUnix,
  encodeSockaddrUn,
  SUN_PATH_MAX,
  sendMessage,
  unixSocket,
} from '../native/socket.ts';

export { encodeSockaddrUn, SUN_PATH_MAX };

export interface ConsoleRequest {
  /** `process.terminal`, or --tty of exec. */
  readonly terminal: boolean;
  /** Whether runcell returns before the process ends. */
  readonly detach: boolean;
  readonly consoleSocket?: string | undefined;
}

/** Checks what goes together, in runc's words, and that the path is a socket's. */
export function checkConsole({ terminal, detach, consoleSocket }: ConsoleRequest): void {
  if (consoleSocket === undefined || consoleSocket === '') {
    if (!terminal || !detach) return;
    const reason = 'cannot allocate tty if runc will detach without setting console socket';
    throw new RuncellError({ code: 'console.socket', reason });
  }
  if (!terminal || !detach) {
    const reason = 'cannot use console socket if runc will not detach or allocate tty';
    throw new RuncellError({ code: 'console.socket', reason });
  }
  checkSocketPath(consoleSocket, 'console socket');
}

/** Throws unless the path is a socket's own, not a link's (security.md H41). */
export function checkSocketPath(path: string, operation: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSocket() === true) return;
  const reason = stat === undefined ? 'no such file or directory' : 'not a socket';
  throw new RuncellError({ code: 'console.socket', operation, target: path, reason });
}

/** Whether the path fits into an address; if not, see `throughDirectory`. */
export function fitsSockaddr(path: string): boolean {
  return Buffer.byteLength(path) <= SUN_PATH_MAX;
}

/** The directory to open and the name in it, for a path that does not fit. */
export function splitSocketPath(path: string): { directory: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { directory: path.slice(0, slash) || '/', name: path.slice(slash + 1) };
}

/** The path of `name` in the directory that `directoryFd` is, short enough for an address. */
export function throughDirectory(directoryFd: number, name: string): string {
  return `/proc/self/fd/${directoryFd}/${name}`;
}

/** Does something with a path of the socket that fits into an address. */
export function withSocketPath<T>(path: string, use: (fitting: string) => T): T {
  if (fitsSockaddr(path)) return use(path);
  const { directory, name } = splitSocketPath(path);
  const O_PATH = 0o10000000;
  const fd = openSync(directory, O_PATH | constants.O_DIRECTORY);
  try {
    return use(throughDirectory(fd, name));
  } finally {
    closeSync(fd);
  }
}

/** Connects to the caller's socket and sends one message with one descriptor. */
export function sendDescriptor(path: string, payload: string, descriptor: number): void {
  const socket = unixSocket(SOCK_STREAM);
  try {
    withSocketPath(path, (fitting) => connectUnix(socket, fitting));
    sendMessage(socket, Buffer.from(payload, 'utf8'), [descriptor]);
  } catch (thrown) {
    if (!isRuncellError(thrown)) throw thrown;
    throw thrown.with({ code: 'console.socket', target: path });
  } finally {
    closeSync(socket);
  }
}
