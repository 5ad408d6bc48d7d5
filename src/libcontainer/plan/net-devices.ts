/**
 * linux.netDevices: interfaces of the runtime's network namespace go to the container's, and come
 * back when the container cannot be created (runtime-spec 1.3 config-linux.md#network-devices).
 *
 * A process of its own does it, the *mover*: it joins the container's network namespace and nothing
 * else, and keeps the namespace alive for as long as the create may fail. Where it comes from is a
 * netlink socket, and so is where it goes (a socket belongs to the namespace it was made in). One
 * message moves an interface and renames it (RTM_NEWLINK with IFLA_NET_NS_FD and IFLA_IFNAME); the
 * kernel takes it down and forgets its addresses then. Its index there is chosen by the compiler, so
 * that it is found again under whatever name a `%d` gave it.
 *
 * The mover then waits for a byte. `COMMIT` ends it; anything else, also the end of file of a
 * compiler that was killed, takes everything back: name, index, addresses, mtu, master, state.
 *
 * Every message asks for an answer, `error` of linux/rtnetlink.ts, whose errno a check makes the op's
 * own. Pure.
 */

import type { Arch } from '../linux/arch.ts';
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from '../linux/fcntl.ts';
import { addressText, type LinkAddress, type NetDevice } from '../linux/interface.ts';
import {
  type Attribute,
  attributeText,
  attributeU32,
  encodeAddress,
  encodeLink,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_CACHEINFO,
  IFA_F_HOMEADDRESS,
  IFA_F_MANAGETEMPADDR,
  IFA_F_MCAUTOJOIN,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IFA_F_PERMANENT,
  IFA_F_TEMPORARY,
  IFA_FLAGS,
  IFA_LABEL,
  IFA_LOCAL,
  IFA_PROTO,
  IFA_RT_PRIORITY,
  IFAPROT_KERNEL_LL,
  IFAPROT_KERNEL_LO,
  IFLA_IFNAME,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_NEW_IFINDEX,
  IFNAME_MAX,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  NLMSG_HEADER_SIZE,
  RT_SCOPE_UNIVERSE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  textOf,
} from '../linux/rtnetlink.ts';
import { CLONE_NEWNET, PR_SET_DUMPABLE, SIGACTION_SIZE, SIGSET_SIZE } from '../linux/sched.ts';
import { AF_INET6, AF_NETLINK, IFF_UP, SOCK_CLOEXEC, SOCK_RAW } from '../linux/socket.ts';
import {
  CTL,
  ERR,
  type Label,
  type Pointer,
  type Program,
  ProgramBuilder,
  RECORD_ADDRESS,
  SCRATCH_BYTES,
  type Slot,
  Slots,
} from '../program/builder.ts';
import { MESSAGE_SIZE } from '../program/op.ts';
import { load, sendMessage } from './draft.ts';

/** What the compiler says when the container stands: the interfaces stay where they are. */
export const COMMIT = 'c';

const SIGPIPE = 13;
const SIG_IGN = 1;
/** As the kernel names an interface whose name is taken when a namespace ends. */
const NAME_OF_LAST_RESORT = 'dev%d';
const KEPT_FLAGS =
  IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
/** What makes an address; the rest is what the kernel tells about it. */
const KEPT_ATTRIBUTES = [
  IFA_LOCAL,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_CACHEINFO,
  IFA_RT_PRIORITY,
  IFA_PROTO,
];

/** An interface and what becomes of it in the container's namespace. */
export interface DeviceMove {
  /** The place in config.json, `linux.netDevices["eth1"]`. */
  readonly specPath: string;
  readonly device: NetDevice;
  /** Its name there; ending in `%d` the kernel completes it. */
  readonly name: string;
  /** Its index there, one that is free. */
  readonly index: number;
}

/** Errno words of an answer: a negative i32 among the low half of a u64. */
const answer = (errno: number): number => -errno >>> 0;
const ENODEV = 19;
const EBUSY = 16;
const EEXIST = 17;

interface Message {
  readonly pointer: Pointer;
  readonly size: number;
}

/** The mover's two programs; the compiler asks what is in the namespace between them. */
export class NetDevicesPlan {
  #builder: ProgramBuilder;
  readonly #slots = new Slots();
  /** Handles of both namespaces, and a netlink socket of each. */
  readonly #hostNs: Slot;
  readonly #containerNs: Slot;
  readonly #hostSocket: Slot;
  readonly #containerSocket: Slot;
  readonly #errno: Slot;

  constructor(arch: Arch) {
    this.#builder = new ProgramBuilder(arch, this.#slots);
    this.#hostNs = this.#slots.take("host's network namespace");
    this.#containerNs = this.#slots.take("container's network namespace");
    this.#hostSocket = this.#slots.take("host's netlink");
    this.#containerSocket = this.#slots.take("container's netlink");
    this.#errno = this.#slots.take('answer');
  }

  /** Into the network namespace of `pid`, of which the compiler then gets a netlink socket. */
  join(pid: number): Program {
    const b = this.#builder;
    b.section('', 'keep other processes out', 'prctl');
    b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
    b.section('', 'outlive the caller and its terminal', 'setsid');
    b.call('setsid', []);
    const ignore = b.space(SIGACTION_SIZE);
    b.setU64(ignore, SIG_IGN);
    b.call('rt_sigaction', [SIGPIPE, ignore, 0, SIGSET_SIZE]);
    b.section('linux.netDevices', "join the container's network namespace", `/proc/${pid}/ns/net`);
    const flags = O_RDONLY | O_CLOEXEC;
    const own = b.string('/proc/self/ns/net');
    b.call('openat', [AT_FDCWD, own, flags], { into: this.#hostNs });
    const theirs = b.string(`/proc/${pid}/ns/net`);
    b.call('openat', [AT_FDCWD, theirs, flags], { into: this.#containerNs });
    const netlink = [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE];
    b.call('socket', netlink, { into: this.#hostSocket });
    b.call('setns', [this.#containerNs, CLONE_NEWNET]);
    b.call('socket', netlink, { into: this.#containerSocket });
    sendMessage(b, 'NETLINK', this.#containerSocket);
    b.end();
    const program = b.finish();
    this.#builder = new ProgramBuilder(b.arch, this.#slots);
    return program;
  }

  /** All of them there, the wait, and the way back; it ends the process. */
  move(moves: readonly DeviceMove[]): Program {
    const b = this.#builder;
    const sent = moves.map(({ device }) => b.slot(`${device.name} moved`));
    const failed = b.label();
    const back = b.label();
    b.section('linux.netDevices', 'take back what was moved when it fails', 'trap');
    b.trap(failed);
    for (const [k, move] of moves.entries()) this.#moveOne(move, sent[k]!);
    this.#wait(back);
    b.place(failed);
    b.section('linux.netDevices', 'tell what failed', 'record');
    this.#tell();
    b.place(back);
    for (let k = moves.length - 1; k >= 0; k--) this.#takeBack(moves[k]!, sent[k]!);
    b.section('linux.netDevices', 'end', 'exit_group');
    b.call('exit_group', [0]);
    return b.finish();
  }

  #moveOne(move: DeviceMove, sent: Slot): void {
    const b = this.#builder;
    const { device, name, index, specPath: at } = move;
    b.section(at, `move ${device.name} into the container's network namespace`, device.name);
    // Anything but 0: it may be there even if the answer does not come.
    b.sum(sent, 1);
    const attributes: Attribute[] = [
      [IFLA_IFNAME, attributeText(name)],
      [IFLA_NEW_IFINDEX, attributeU32(index)],
    ];
    const message = this.#toNamespace(device.index, attributes, this.#containerNs);
    this.#request(this.#hostSocket, message, sent);
    for (const address of inOrder(device.addresses.filter(isForContainer))) {
      b.section(at, `add ${addressText(address)}`, device.name);
      const label = labelThere(address, device.name, name);
      this.#request(this.#containerSocket, this.#address(address, index, label));
    }
    b.section(at, `set ${device.name} up`, device.name);
    this.#request(this.#containerSocket, this.#link(index, IFF_UP));
  }

  /** Until the compiler says that the container stands. */
  #wait(back: Label): void {
    const b = this.#builder;
    b.section('linux.netDevices', 'wait until the container stands', 'read');
    sendMessage(b, 'DEVICES');
    const byte = b.space(8);
    const length = b.slot('length');
    b.call('read', [CTL, byte, 1], { into: length, retry: true });
    b.jumpIfZero(length, back);
    b.check(byte, 0xff, COMMIT.charCodeAt(0), 'ECANCELED', {
      tolerate: ['ECANCELED'],
      onError: back,
    });
    b.call('exit_group', [0]);
  }

  /**
   * An interface that is not there, or whose place another one had taken, is none of ours. One whose
   * name or index is taken on the host comes back under another name: it would be lost with the
   * namespace. What went wrong is told, and the next interface follows.
   */
  #takeBack(move: DeviceMove, sent: Slot): void {
    const b = this.#builder;
    const { device, index, specPath: at } = move;
    const next = b.label();
    const other = b.label();
    const failed = b.label();
    b.section(at, `move ${device.name} back`, device.name);
    b.trap(other);
    b.jumpIfZero(sent, next);
    b.check(sent, 0xffffffff, answer(EBUSY), 'EBUSY', { tolerate: ['EBUSY'], onZero: next });
    const attributes: Attribute[] = [
      [IFLA_IFNAME, attributeText(device.name)],
      [IFLA_NEW_IFINDEX, attributeU32(device.index)],
    ];
    const message = this.#toNamespace(index, attributes, this.#hostNs);
    const error = this.#send(this.#containerSocket, message);
    b.check(error, 0xffffffff, answer(ENODEV), 'ENODEV', { tolerate: ['ENODEV'], onZero: next });
    this.#answered(error);
    b.trap(failed);
    this.#restore(move);
    b.jump(next);
    b.place(other);
    b.section(at, `move ${device.name} back as ${NAME_OF_LAST_RESORT}`);
    this.#tell();
    b.trap(failed);
    const anyName: Attribute[] = [[IFLA_IFNAME, attributeText(NAME_OF_LAST_RESORT)]];
    this.#send(this.#containerSocket, this.#toNamespace(index, anyName, this.#hostNs));
    // It may be back already, with the name it had in the container.
    b.check(error, 0xffffffff, answer(ENODEV), 'ENODEV', { tolerate: ['ENODEV'], onZero: next });
    this.#answered(error);
    b.jump(next);
    b.place(failed);
    this.#tell();
    b.place(next);
  }

  /** The record of the error that led here; a compiler that was killed does not read it. */
  #tell(): void {
    this.#builder.call('write', [ERR, RECORD_ADDRESS, MESSAGE_SIZE], { tolerate: ['EPIPE'] });
  }

  /** In the host's namespace again: what the kernel forgot, and what may have changed. */
  #restore({ device, specPath: at }: DeviceMove): void {
    const b = this.#builder;
    const { index, mtu, master, isUp } = device;
    const attributes: Attribute[] = [[IFLA_MTU, attributeU32(mtu)]];
    if (master !== 0) attributes.push([IFLA_MASTER, attributeU32(master)]);
    this.#request(this.#hostSocket, this.#link(index, 0, attributes));
    for (const address of inOrder(device.addresses.filter(isForHost))) {
      b.section(at, `add ${addressText(address)} again`, device.name);
      const label = attributeOf(address, IFA_LABEL);
      const message = this.#address(address, index, label === undefined ? '' : textOf(label));
      const error = this.#send(this.#hostSocket, message);
      const there = b.label();
      b.check(error, 0xffffffff, answer(EEXIST), 'EEXIST', { tolerate: ['EEXIST'], onZero: there });
      this.#answered(error);
      b.place(there);
    }
    if (!isUp) return;
    b.section(at, `set ${device.name} up again`, device.name);
    this.#request(this.#hostSocket, this.#link(index, IFF_UP));
  }

  #link(index: number, up: number, attributes: readonly Attribute[] = []): Message {
    const flags = NLM_F_REQUEST | NLM_F_ACK;
    const link = { index, flags: up, change: up };
    return this.#message(encodeLink({ type: RTM_NEWLINK, flags }, link, attributes));
  }

  /** A link message whose last attribute is the namespace; its number is known when the op runs. */
  #toNamespace(index: number, attributes: readonly Attribute[], namespace: Slot): Message {
    const message = { type: RTM_NEWLINK, flags: NLM_F_REQUEST | NLM_F_ACK };
    const all: Attribute[] = [...attributes, [IFLA_NET_NS_FD, attributeU32(0)]];
    const bytes = encodeLink(message, { index }, all);
    // A result is 8 bytes: room for its other half behind the message.
    const pointer = this.#builder.space(bytes.length + 4);
    this.#builder.setBytes(pointer, bytes);
    this.#builder.sum(pointer.plus(bytes.length - 4), namespace);
    return { pointer, size: bytes.length };
  }

  #address(address: LinkAddress, index: number, label: string): Message {
    const { family, prefixLength, scope } = address;
    const flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    const attributes: Attribute[] = address.attributes.filter(([type]) =>
      KEPT_ATTRIBUTES.includes(type),
    );
    attributes.push([IFA_FLAGS, attributeU32(address.flags & KEPT_FLAGS)]);
    if (label !== '') attributes.push([IFA_LABEL, attributeText(label)]);
    const body = { family, prefixLength, scope, index };
    return this.#message(encodeAddress({ type: RTM_NEWADDR, flags }, body, attributes));
  }

  #message(bytes: Uint8Array): Message {
    return { pointer: this.#builder.bytes(bytes), size: bytes.length };
  }

  /** Sends and receives; gives where the answer has its errno. */
  #send(socket: Slot, { pointer, size }: Message): Pointer {
    const b = this.#builder;
    const reply = b.scratch();
    b.call('sendto', [socket, pointer, size, 0, 0, 0]);
    b.call('recvfrom', [socket, reply, SCRATCH_BYTES, 0, 0, 0], { retry: true });
    const error = reply.plus(NLMSG_HEADER_SIZE);
    // As 64 bits the answer is the errno and the length of the message it is to.
    b.sum(this.#errno, load(error), -(BigInt(size) * (1n << 32n) + (1n << 32n)));
    b.negate(this.#errno, this.#errno);
    return error;
  }

  /** An answer that is an error is this op's. */
  #answered(error: Pointer): void {
    this.#builder.check(error, 0xffffffff, 0, this.#errno);
  }

  #request(socket: Slot, message: Message, keep?: Slot): void {
    const error = this.#send(socket, message);
    if (keep !== undefined) this.#builder.sum(keep, load(error));
    this.#answered(error);
  }
}

/** config-linux.md#network-devices: permanent and of global scope, of any family. */
function isForContainer({ flags, scope }: LinkAddress): boolean {
  return (flags & IFA_F_PERMANENT) !== 0 && scope === RT_SCOPE_UNIVERSE;
}

/** All but those that the kernel makes by itself when the interface is up. */
function isForHost(address: LinkAddress): boolean {
  const isTemporary = address.family === AF_INET6 && (address.flags & IFA_F_TEMPORARY) !== 0;
  const origin = attributeOf(address, IFA_PROTO)?.[0];
  return !isTemporary && origin !== IFAPROT_KERNEL_LL && origin !== IFAPROT_KERNEL_LO;
}

/** To be listed as they were: of IPv6 the kernel lists the newest first. */
function inOrder(addresses: readonly LinkAddress[]): readonly LinkAddress[] {
  const isNew = ({ family }: LinkAddress): boolean => family === AF_INET6;
  const others = addresses.filter((address) => !isNew(address));
  return [...others, ...addresses.filter(isNew).reverse()];
}

function attributeOf({ attributes }: LinkAddress, wanted: number): Uint8Array | undefined {
  return attributes.find(([type]) => type === wanted)?.[1];
}

/**
 * The label of an IPv4 address follows the name, as it does when an interface is renamed
 * (inetdev_changename in net/ipv4/devinet.c); without one the kernel gives it the name.
 */
function labelThere(address: LinkAddress, oldName: string, newName: string): string {
  const payload = attributeOf(address, IFA_LABEL);
  const label = payload === undefined ? '' : textOf(payload);
  if (label === oldName) return '';
  if (!label.startsWith(`${oldName}:`)) return label;
  const renamed = newName + label.slice(oldName.length);
  return newName.includes('%') || renamed.length > IFNAME_MAX ? '' : renamed;
}
