/**
 * Questions to the kernel about interfaces, over a netlink socket: of the compiler's own network
 * namespace, or one that a process in another has opened and handed over (netlink(7), rtnetlink(7)).
 * Only asks; what changes something is an op of a program.
 */

import { closeSync } from 'node:fs';
import { ERRNO } from '../linux/errno.ts';
import {
  decodeMessages,
  NETLINK_ROUTE,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  type RouteMessage,
} from '../linux/rtnetlink.ts';
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW } from '../linux/socket.ts';
import { checked, syscall } from './libc.ts';

/** The kernel never makes a dump's datagram larger than this (net/netlink/af_netlink.c). */
const DATAGRAM_BYTES = 32768;

export function openRouteSocket(): number {
  return checked(syscall('socket', AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'socket');
}

/** A dump that met a change is asked for again, so often at most. */
const DUMPS = 8;

/** Everything that the dump request is answered with. */
export function dumpRoute(fd: number, request: Uint8Array): RouteMessage[] {
  for (let dump = 1; ; dump++) {
    const found = dumpOnce(fd, request);
    if (dump === DUMPS || !found.some(({ flags }) => (flags & NLM_F_DUMP_INTR) !== 0)) return found;
  }
}

function dumpOnce(fd: number, request: Uint8Array): RouteMessage[] {
  checked(syscall('sendto', fd, request, request.length, 0, null, 0), 'sendto', 'netlink');
  const found: RouteMessage[] = [];
  for (;;) {
    for (const message of decodeMessages(receive(fd))) {
      if (message.type === NLMSG_DONE) return found;
      if (message.type === NLMSG_ERROR) checked(errnoOf(message), 'netlink');
      else found.push(message);
    }
  }
}

/** The same on a socket of our own network namespace. */
export function dumpOwnRoute(request: Uint8Array): RouteMessage[] {
  const fd = openRouteSocket();
  try {
    return dumpRoute(fd, request);
  } finally {
    closeSync(fd);
  }
}

function receive(fd: number): Uint8Array {
  const buffer = new Uint8Array(DATAGRAM_BYTES);
  let result: number;
  do result = syscall('recvfrom', fd, buffer, buffer.length, 0, null, null);
  while (result === -ERRNO.EINTR);
  return buffer.subarray(0, checked(result, 'recvfrom', 'netlink'));
}

/** Negative, as `checked` takes it. */
function errnoOf({ body }: RouteMessage): number {
  return new DataView(body.buffer, body.byteOffset, body.byteLength).getInt32(0, true);
}
