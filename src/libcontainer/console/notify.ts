/**
 * NOTIFY_SOCKET for a container: sd_notify(3) through a socket of its own (runtime-cli.md §4.6).
 *
 * The container gets `<state directory>/notify/` bound to /run/notify; what it sends to the socket
 * there is taken from a process that may be hostile: READY=1 is all that is heard, descriptors are
 * closed. The host's manager is then told READY=1 and the pid, and asked by BARRIER=1 to have
 * processed it: it closes the pipe end it is sent.
 */

import { chmodSync, closeSync, mkdirSync, rmSync } from 'node:fs';
import { SOCK_DGRAM } from '../linux/socket.ts';
import { checked, POLLIN, poll, syscall } from '../native/libc.ts';
import {
  bindUnix,
  connectUnix,
  receiveMessage,
  sendMessage,
  unixSocket,
} from '../native/socket.ts';
import { notifyDirectoryOf } from './notify-directory.ts';
import { withSocketPath } from './socket.ts';

/** Where the container finds it. */
export const NOTIFY_DIRECTORY = '/run/notify';
export const NOTIFY_NAME = 'notify.sock';

const O_CLOEXEC = 0o2000000;
const BARRIER_MS = 30_000;
const MAX_DATAGRAM = 4096;

export interface NotifySocket extends Disposable {
  readonly fd: number;
  /** The host directory to bind on NOTIFY_DIRECTORY. */
  readonly directory: string;
}

/** The directory alone, for a `create` whose socket `start` will make. */
export function makeNotifyDirectory(stateDirectory: string): string {
  const directory = notifyDirectoryOf(stateDirectory);
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o755);
  return directory;
}

/** Makes the directory and the socket; whatever user the container has may send to it. */
export function bindNotifySocket(stateDirectory: string): NotifySocket {
  const directory = makeNotifyDirectory(stateDirectory);
  const path = `${directory}/${NOTIFY_NAME}`;
  // of a `start` that was killed; the container has the directory read-only
  rmSync(path, { force: true });
  const fd = unixSocket(SOCK_DGRAM);
  try {
    withSocketPath(path, (fitting) => bindUnix(fd, fitting));
    chmodSync(path, 0o777);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
  return { fd, directory, [Symbol.dispose]: () => closeSync(fd) };
}

export interface ReadyRelay {
  readonly initPidfd: number;
  /** The caller's NOTIFY_SOCKET: a path, or `@` and an abstract name. */
  readonly hostSocket: string;
  /** The pid the manager is to follow: init's, or ours while we wait for it. */
  readonly mainPid: number;
}

/** What became of it; `unacknowledged`: told, but the manager did not close the barrier in time. */
export type ReadyResult = 'ready' | 'unacknowledged' | 'died';

/** Blocks until the container is ready or its init has died, and tells the host's manager. */
export function relayReady(socket: NotifySocket, relay: ReadyRelay): ReadyResult {
  if (!waitForReady(socket.fd, relay.initPidfd)) return 'died';
  const host = unixSocket(SOCK_DGRAM);
  try {
    withSocketPath(relay.hostSocket, (fitting) => connectUnix(host, fitting));
    sendMessage(host, Buffer.from(`READY=1\nMAINPID=${relay.mainPid}`, 'utf8'));
    return barrier(host) ? 'ready' : 'unacknowledged';
  } finally {
    closeSync(host);
  }
}

function waitForReady(fd: number, initPidfd: number): boolean {
  for (;;) {
    const [readable, died] = poll([
      { fd, events: POLLIN },
      { fd: initPidfd, events: POLLIN },
    ]);
    for (;;) {
      const message = receiveMessage(fd, MAX_DATAGRAM);
      if (message === undefined) break;
      for (const descriptor of message.descriptors) closeSync(descriptor);
      if (saysReady(message.payload)) return true;
    }
    if (died !== 0 && readable === 0) return false;
  }
}

function saysReady(payload: Uint8Array): boolean {
  const lines = Buffer.from(payload).toString('latin1').split('\n');
  return lines.some((line) => line.startsWith('READY='));
}

/** True when the other side has closed the pipe end: it has read everything before it. */
function barrier(host: number): boolean {
  const ends = new Int32Array(2);
  checked(syscall('pipe2', ends, O_CLOEXEC), 'pipe2');
  const [ours, theirs] = [ends[0]!, ends[1]!];
  try {
    try {
      sendMessage(host, Buffer.from('BARRIER=1', 'utf8'), [theirs]);
    } finally {
      closeSync(theirs);
    }
    return poll([{ fd: ours, events: POLLIN }], BARRIER_MS)[0] !== 0;
  } finally {
    closeSync(ours);
  }
}
