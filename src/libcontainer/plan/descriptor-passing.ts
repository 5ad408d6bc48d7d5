/**
 * Passing one descriptor over a unix socket: `--console-socket`, `--pidfd-socket`
 * (unix(7) SCM_RIGHTS, cmsg(3)). Receivers reject anything but exactly one message with one
 * descriptor and a payload that is not empty (runtime-cli.md §4.2). Pure.
 */

import { RuncellError } from '../../error.ts';
import { AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET } from '../linux/socket.ts';
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import type { Draft } from './draft.ts';
import type { StageFds } from './fds.ts';

/** sun_path of unix(7), with its terminating NUL. */
const SUN_PATH_MAX = 108;
/** struct cmsghdr {u64 len, i32 level, i32 type} and one int, padded to 8. */
const CMSG_LEN = 20;
const CMSG_SPACE = 24;
const MSGHDR_SIZE = 56;

/** Opens a stream socket and connects it to `path`. */
function planConnect(b: ProgramBuilder, path: string, flag: string, into: Slot): void {
  b.section(flag, `connect to ${path}`, path);
  const bytes = new TextEncoder().encode(path);
  if (bytes.length >= SUN_PATH_MAX) {
    throw new RuncellError({
      code: 'console.socket',
      specPath: flag,
      target: path,
      reason: `the path of a unix socket has at most ${SUN_PATH_MAX - 1} bytes`,
    });
  }
  const address = new Uint8Array(2 + bytes.length + 1);
  address[0] = AF_UNIX;
  address.set(bytes, 2);
  b.call('socket', [AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0], { into });
  b.call('connect', [into, b.bytes(address), address.length], { retry: true });
}

/** One sendmsg(2) with `payload` and the descriptor in `passed`. */
export function planSendDescriptor(
  b: ProgramBuilder,
  socket: Slot,
  passed: Slot,
  payload: string,
): void {
  const text = b.string(payload);
  const iov = b.words([text, payload.length]);
  const control = b.space(CMSG_SPACE);
  b.setU64(control, CMSG_LEN);
  b.setU32(control.plus(8), SOL_SOCKET);
  b.setU32(control.plus(12), SCM_RIGHTS);
  const message = b.space(MSGHDR_SIZE);
  b.setU64(message.plus(16), iov);
  b.setU64(message.plus(24), 1);
  b.setU64(message.plus(32), control);
  b.setU64(message.plus(40), CMSG_SPACE);
  b.sum(control.plus(16), passed);
  b.call('sendmsg', [socket, message, 0], { retry: true });
}

/** `--pidfd-socket`: the pidfd of the process just cloned; payload as runc's. */
export function sendPidfd(
  b: ProgramBuilder,
  socket: Slot,
  pidfd: Slot,
  payload = 'standard',
): void {
  planSendDescriptor(b, socket, pidfd, payload);
  b.call('close', [socket]);
  b.call('close', [pidfd]);
}

/** Stage: the sockets of the caller, connected while their paths still resolve. */
export function planSockets(draft: Draft, fds: StageFds): void {
  const { consoleSocket, pidfdSocket } = draft.options;
  const b = draft.builder;
  if (consoleSocket !== undefined) {
    planConnect(b, consoleSocket, '--console-socket', fds.consoleSocket);
  }
  if (pidfdSocket !== undefined) planConnect(b, pidfdSocket, '--pidfd-socket', fds.pidfdSocket);
}
