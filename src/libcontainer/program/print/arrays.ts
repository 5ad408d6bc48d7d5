/**
 * Arguments whose layout depends on other arguments or on their own content: socket messages and
 * addresses, interface requests, capability sets, lists of groups, CPUs, descriptors to poll.
 *
 * capset(2), sendmsg(2), cmsg(3), unix(7), netdevice(7), setgroups(2), sched_setaffinity(2),
 * poll(2), set_mempolicy(2).
 */

import { LINUX_CAPABILITY_VERSION_3 } from '../../linux/capability.ts';
import { AF_UNIX, IFREQ_SIZE, SCM_RIGHTS, SOL_SOCKET } from '../../linux/socket.ts';
import { type Call, checkPlace, sizeAt } from './call.ts';
import { ENUMS, enumName, FLAGS, flagSet, hex, number } from './names.ts';
import { quote } from './text.ts';

/** struct __user_cap_header_struct {u32 version, int pid}. */
export function capabilityHeader(address: bigint, call: Call): string {
  if (!checkPlace(address, 8, call)) return hex(address);
  const version = call.image.read(address, 4);
  const pid = call.image.read(address + 4n, 4);
  if (version === undefined || pid === undefined) return `&${call.places.whole(address)}`;
  if (version !== BigInt(LINUX_CAPABILITY_VERSION_3)) {
    call.problem(`capability version ${hex(version)} has another layout of the sets`);
  }
  const name = version === BigInt(LINUX_CAPABILITY_VERSION_3) ? 'V3' : hex(version);
  return `{${name}, ${pid}}`;
}

/** Two structs {u32 effective, permitted, inheritable}: the low and the high half of each set. */
export function capabilitySets(address: bigint, call: Call): string {
  if (!checkPlace(address, 24, call)) return hex(address);
  const names = ['effective', 'permitted', 'inheritable'];
  const shown = names.map((name, i) => {
    const low = call.image.read(address + BigInt(4 * i), 4);
    const high = call.image.read(address + BigInt(12 + 4 * i), 4);
    if (low === undefined || high === undefined) return `${name}=?`;
    return `${name}=${capabilitySet(low | (high << 32n))}`;
  });
  return `{${shown.join(', ')}}`;
}

function capabilitySet(mask: bigint): string {
  return flagSet(
    mask,
    ENUMS.capability.map(([name, bit]) => [name, 1n << bit] as const),
  );
}

/** The gid_t list of setgroups(2), whose length is the argument before it. */
export function groups(address: bigint, call: Call, position: number): string {
  const count = sizeAt(call, position - 1) ?? 0;
  if (count === 0) return address === 0n ? 'NULL' : '[]';
  if (!checkPlace(address, 4 * count, call)) return hex(address);
  const ids = Array.from({ length: count }, (_, i) => call.image.read(address + BigInt(4 * i), 4));
  return `[${ids.join(', ')}]`;
}

/** A CPU mask as ranges, `[0-3,8]`; its size is the argument before it. */
export function cpus(address: bigint, call: Call, position: number): string {
  const size = sizeAt(call, position - 1) ?? 8;
  if (!checkPlace(address, size, call)) return hex(address);
  const mask = call.image.bytes(address, size);
  return mask === undefined ? `&${call.places.whole(address)}` : `[${ranges(mask)}]`;
}

/** A node mask as ranges; the argument behind it is the number of bits and one more (get_nodes). */
export function nodes(address: bigint, call: Call, position: number): string {
  if (address === 0n) return 'NULL';
  const size = Math.ceil(((sizeAt(call, position + 1) ?? 65) - 1) / 64) * 8;
  if (!checkPlace(address, size, call)) return hex(address);
  const mask = call.image.bytes(address, size);
  return mask === undefined ? `&${call.places.whole(address)}` : `[${ranges(mask)}]`;
}

function ranges(mask: Uint8Array): string {
  const parts: string[] = [];
  const isSet = (bit: number): boolean => ((mask[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  for (let bit = 0; bit < mask.length * 8; bit++) {
    if (!isSet(bit)) continue;
    const first = bit;
    while (isSet(bit + 1)) bit++;
    parts.push(first === bit ? `${first}` : `${first}-${bit}`);
  }
  return parts.join(',');
}

/** struct pollfd {int fd, short events, short revents}, as many as the next argument says. */
export function pollFds(address: bigint, call: Call, position: number): string {
  const count = sizeAt(call, position + 1) ?? 1;
  if (address === 0n && count === 0) return 'NULL';
  call.places.register(address, 8 * count, call.name);
  if (!checkPlace(address, 8 * count, call)) return hex(address);
  const shown = Array.from({ length: count }, (_, i) => {
    const at = address + BigInt(8 * i);
    const index = count === 1 ? '' : `[${i}]`;
    call.places.field(address, 8 * i, `${index}.fd`);
    call.places.field(address, 8 * i + 4, `${index}.events`);
    call.places.field(address, 8 * i + 6, `${index}.revents`);
    const events = call.image.read(at + 4n, 2);
    const fd = call.image.read(at, 4);
    if (events === undefined || fd === undefined) return `&${call.places.whole(at)}`;
    // A result is 64 bits: stored into fd it is the events as well.
    if (call.image.stored.has(at)) return '{<stored>}';
    const shownFd = String(BigInt.asIntN(32, fd));
    const shownEvents = flagSet(events, FLAGS.poll);
    return `{${shownFd}, ${shownEvents}}`;
  });
  return `[${shown.join(', ')}]`;
}

/** struct sockaddr_un, or the family and the bytes of another; its size is the next argument. */
export function socketAddress(address: bigint, call: Call, position: number): string {
  if (address === 0n) return 'NULL';
  const size = sizeAt(call, position + 1);
  return socketAddressOf(address, size, call);
}

function socketAddressOf(address: bigint, size: number | undefined, call: Call): string {
  if (!checkPlace(address, size ?? 2, call)) return hex(address);
  const family = call.image.read(address, 2);
  if (family === undefined || size === undefined) return `&${call.places.whole(address)}`;
  const content = call.image.bytes(address + 2n, Math.max(0, size - 2))!;
  const name = enumName(family, ENUMS.addressFamily);
  if (family !== BigInt(AF_UNIX)) return `{${name}, ${quote(content, false)}}`;
  // A leading NUL is an abstract address, which is all of the bytes: unix(7).
  const end = content[0] === 0 ? content.length : content.indexOf(0);
  const path = end === -1 ? content : content.subarray(0, end);
  return `{${name}, ${quote(path, call.options.whole === true)}}`;
}

/** struct ifreq {char name[16]; union}: the flags are all that runcell sets. */
export function interfaceRequest(address: bigint, call: Call): string {
  call.places.register(address, IFREQ_SIZE, call.name);
  call.places.field(address, 16, '.flags');
  if (!checkPlace(address, IFREQ_SIZE, call)) return hex(address);
  const name = call.image.string(address);
  const flags = call.image.read(address + 16n, 2);
  if (name === undefined || flags === undefined) return `&${call.places.whole(address)}`;
  const shown = call.image.stored.has(address + 16n) ? '<stored>' : flagSet(flags, FLAGS.interface);
  return `{${quote(name, false)}, ${shown}}`;
}

/**
 * struct msghdr {name, u32 namelen, pad, iov, iovlen, control, controllen, u32 flags}: 56 bytes.
 * recvmsg(2) fills what the same struct points to.
 */
export function message(address: bigint, call: Call): string {
  call.places.register(address, 56, call.name);
  if (!checkPlace(address, 56, call)) return hex(address);
  const word = (offset: number): bigint | undefined => call.image.read(address + BigInt(offset), 8);
  const [name, nameLength, vector, count, control, controlLength] = [0, 8, 16, 24, 32, 40].map(
    word,
  );
  if (name === undefined || vector === undefined || control === undefined) {
    return `&${call.places.whole(address)}`;
  }
  const parts: string[] = [];
  if (name !== 0n)
    parts.push(`name=${socketAddressOf(name, Number(nameLength! & 0xffffffffn), call)}`);
  parts.push(`iov=${ioVector(vector, Number(count), call)}`);
  if (control !== 0n)
    parts.push(`control=${controlMessages(control, Number(controlLength), call)}`);
  return `{${parts.join(', ')}}`;
}

/** struct iovec {base, length}; what recvmsg(2) reads into is named, not shown. */
function ioVector(address: bigint, count: number, call: Call): string {
  if (count === 0) return '[]';
  if (count > 1024 || !checkPlace(address, 16 * count, call)) return hex(address);
  const shown = Array.from({ length: count }, (_, i) => {
    const base = call.image.read(address + BigInt(16 * i), 8);
    const length = call.image.read(address + BigInt(16 * i + 8), 8);
    if (base === undefined || length === undefined) return '?';
    if (base === 0n && length === 0n) return 'NULL';
    const isReceived = call.name === 'recvmsg' || call.places.isFilled(base);
    if (isReceived) call.places.registerFilled(base, Number(length), call.name);
    if (!checkPlace(base, Number(length), call)) return hex(base);
    const content = isReceived ? undefined : call.image.bytes(base, Number(length));
    if (content === undefined) return `&${call.places.whole(base)}`;
    return quote(content, call.options.whole === true);
  });
  return `[${shown.join(', ')}]`;
}

/** struct cmsghdr {u64 length, int level, int type}, data, padded to 8. */
function controlMessages(address: bigint, size: number, call: Call): string {
  if (!checkPlace(address, size, call)) return hex(address);
  const shown: string[] = [];
  if (call.name === 'recvmsg') {
    call.places.register(address, size, `${call.name} control`);
    return `&${call.places.whole(address)}`;
  }
  for (let offset = 0; offset + 16 <= size; ) {
    const at = address + BigInt(offset);
    const length = Number(call.image.read(at, 8) ?? 0n);
    if (length < 16 || offset + length > size) {
      call.problem(`control message of ${length} bytes does not fit ${size - offset}`);
      break;
    }
    shown.push(controlMessage(at, length, call));
    offset += (length + 7) & ~7;
  }
  return `[${shown.join(', ')}]`;
}

function controlMessage(address: bigint, length: number, call: Call): string {
  const level = call.image.read(address + 8n, 4)!;
  const type = call.image.read(address + 12n, 4)!;
  const data = address + 16n;
  if (level !== BigInt(SOL_SOCKET) || type !== BigInt(SCM_RIGHTS)) {
    const content = call.image.bytes(data, length - 16)!;
    return `{${number(level)}, ${enumName(type, ENUMS.scm)}, ${quote(content, false)}}`;
  }
  call.places.register(address, length, `${call.name} rights`);
  const fds = Array.from({ length: Math.floor((length - 16) / 4) }, (_, i) => {
    const at = data + BigInt(4 * i);
    call.places.field(address, 16 + 4 * i, `[${i}]`);
    return call.image.stored.has(at) ? '<stored>' : String(call.image.read(at, 4));
  });
  return `{SCM_RIGHTS, [${fds.join(', ')}]}`;
}
