/**
 * Unix sockets without `net` (8 ms of loading): pairs, datagrams, descriptors as messages.
 *
 * Addresses are struct sockaddr_un (unix(7)): u16 family, 108 bytes of path. A longer path is
 * reached through a descriptor of its directory, /proc/self/fd/N/name. All descriptors made or
 * received here are close-on-exec.
 */

import { ERRNO } from '../linux/errno.ts';
import { AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOL_SOCKET } from '../linux/socket.ts';
import { Block, keep } from './block.ts';
import { openKoffi } from './koffi.ts';
import { checked, syscall, syscallFunction } from './libc.ts';

/** socketpair(2): x86-64 syscall_64.tbl, arm64 asm-generic/unistd.h. */
const SOCKETPAIR = process.arch === 'arm64' ? 199 : 53;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Longest path that fits with its NUL. */
export const SUN_PATH_MAX = 107;

/** struct sockaddr_un for a path, or for an abstract name when it begins with `@`. */
export function encodeSockaddrUn(path: string): Uint8Array {
  const bytes = Buffer.from(path, 'utf8');
  if (bytes.length > SUN_PATH_MAX) throw new RangeError(`socket path too long: ${path}`);
  const abstract = path.startsWith('@');
  const address = new Uint8Array(2 + bytes.length + (abstract ? 0 : 1));
  address[0] = AF_UNIX;
  address.set(bytes, 2);
  if (abstract) address[2] = 0;
  return address;
}

/** Two connected sockets. */
export function socketPair(type: number): [number, number] {
  const pair = new Int32Array(2);
  const result = syscallFunction()(SOCKETPAIR, AF_UNIX, type | SOCK_CLOEXEC, 0, pair, 0, 0);
  checked(result === -1 ? -openKoffi().errno() : result, 'socketpair');
  return [pair[0]!, pair[1]!];
}

export function unixSocket(type: number): number {
  return checked(syscall('socket', AF_UNIX, type | SOCK_CLOEXEC, 0), 'socket');
}

export function bindUnix(fd: number, path: string): void {
  const address = encodeSockaddrUn(path);
  checked(syscall('bind', fd, address, address.length), 'bind', path);
}

export function connectUnix(fd: number, path: string): void {
  const address = encodeSockaddrUn(path);
  let result: number;
  do result = syscall('connect', fd, address, address.length);
  while (result === -ERRNO.EINTR);
  checked(result, 'connect', path);
}

/** struct msghdr: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48. */
function messageHeader(block: Block, iov: number, control: number, controlLength: number): number {
  const header = block.take(56);
  block.setPointer(header + 16, iov);
  block.view.setUint32(header + 24, 1, true);
  if (controlLength > 0) block.setPointer(header + 32, control);
  block.view.setUint32(header + 40, controlLength, true);
  return header;
}

/** One message with the payload and, where given, descriptors (SCM_RIGHTS). */
export function sendMessage(fd: number, payload: Uint8Array, descriptors: number[] = []): void {
  const dataLength = 4 * descriptors.length;
  const controlLength = descriptors.length === 0 ? 0 : 16 + ((dataLength + 7) & ~7);
  const block = keep(new Block(payload.length + controlLength + 256));
  const iov = block.take(16);
  block.setPointer(iov, block.put(payload));
  block.view.setUint32(iov + 8, payload.length, true);
  const control = block.take(controlLength);
  if (controlLength > 0) {
    // struct cmsghdr: u64 len, i32 level, i32 type
    block.view.setUint32(control, 16 + dataLength, true);
    block.view.setInt32(control + 8, SOL_SOCKET, true);
    block.view.setInt32(control + 12, SCM_RIGHTS, true);
    descriptors.forEach((one, index) => {
      block.view.setInt32(control + 16 + 4 * index, one, true);
    });
  }
  const header = messageHeader(block, iov, control, controlLength);
  let result: number;
  do result = syscall('sendmsg', fd, block.address(header), MSG_NOSIGNAL);
  while (result === -ERRNO.EINTR);
  checked(result, 'sendmsg', fd);
}

export interface ReceivedMessage {
  readonly payload: Uint8Array;
  readonly descriptors: number[];
}

/** The next message without waiting, undefined when there is none; at most 8 descriptors. */
export function receiveMessage(fd: number, maxLength: number): ReceivedMessage | undefined {
  const controlLength = 16 + 4 * 8;
  const block = keep(new Block(maxLength + controlLength + 256));
  const data = block.take(maxLength);
  const iov = block.take(16);
  block.setPointer(iov, data);
  block.view.setUint32(iov + 8, maxLength, true);
  const control = block.take(controlLength);
  const header = messageHeader(block, iov, control, controlLength);
  const flags = MSG_CMSG_CLOEXEC | MSG_DONTWAIT;
  let result: number;
  do result = syscall('recvmsg', fd, block.address(header), flags);
  while (result === -ERRNO.EINTR);
  if (result === -ERRNO.EAGAIN) return undefined;
  const length = checked(result, 'recvmsg', fd);
  return {
    payload: block.bytes.slice(data, data + length),
    descriptors: receivedDescriptors(block, header, control),
  };
}

function receivedDescriptors(block: Block, header: number, control: number): number[] {
  if (block.view.getUint32(header + 40, true) < 16) return [];
  const level = block.view.getInt32(control + 8, true);
  const type = block.view.getInt32(control + 12, true);
  if (level !== SOL_SOCKET || type !== SCM_RIGHTS) return [];
  const count = (block.view.getUint32(control, true) - 16) / 4;
  return Array.from({ length: count }, (_, index) =>
    block.view.getInt32(control + 16 + 4 * index, true),
  );
}
