/** A new network namespace has its loopback interface down; containers expect it up (netdevice(7)). Pure. */

import {
  AF_INET,
  IFF_UP,
  IFREQ_SIZE,
  SIOCGIFFLAGS,
  SIOCSIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from '../linux/socket.ts';
import type { ProgramBuilder } from '../program/builder.ts';
import { load } from './draft.ts';

/** Offset of ifr_flags in struct ifreq. */
const IFR_FLAGS = 16;

export function planLoopback(b: ProgramBuilder): void {
  b.section('linux.namespaces', 'bring up the loopback interface', 'lo');
  const socket = b.slot('socket');
  const request = b.space(IFREQ_SIZE);
  b.setU16(request, 'lo'.charCodeAt(0) | ('lo'.charCodeAt(1) << 8));
  b.call('socket', [AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0], { into: socket });
  b.call('ioctl', [socket, SIOCGIFFLAGS, request]);
  // A fresh interface is only IFF_LOOPBACK: adding the bit is setting it.
  b.sum(request.plus(IFR_FLAGS), load(request.plus(IFR_FLAGS)), IFF_UP);
  b.call('ioctl', [socket, SIOCSIFFLAGS, request]);
  b.call('close', [socket]);
}
