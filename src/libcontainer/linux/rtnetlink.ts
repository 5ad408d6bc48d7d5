/**
 * rtnetlink(7): interfaces and their addresses as messages. linux/netlink.h, rtnetlink.h, if_link.h,
 * if_addr.h. Everything little endian as both architectures are; no I/O.
 *
 *     message    u32 length, u16 type, u16 flags, u32 sequence, u32 port; then one of the bodies
 *     link       u8 family, u8 0, u16 type, i32 index, u32 flags, u32 change; then attributes
 *     address    u8 family, u8 prefix length, u8 flags, u8 scope, u32 index; then attributes
 *     attribute  u16 length of these 4 bytes and the payload, u16 type; payload, zeros up to 4 bytes
 *     error      i32 negative errno, 0 for an acknowledgement; then the message that was answered
 */

export const NETLINK_ROUTE = 0;

export const NLMSG_HEADER_SIZE = 16;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
/** What was listed changed meanwhile. */
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** NLM_F_ROOT | NLM_F_MATCH: all of them. */
export const NLM_F_DUMP = 0x300;

export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;

export const LINK_BODY_SIZE = 16;
export const ADDRESS_BODY_SIZE = 8;

export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_MASTER = 10;
export const IFLA_NET_NS_FD = 28;
/** Linux 5.13+: the index in the namespace that is moved to. */
export const IFLA_NEW_IFINDEX = 49;
export const IFLA_PROP_LIST = 52;
export const IFLA_ALT_IFNAME = 53;

export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_LABEL = 3;
export const IFA_BROADCAST = 4;
export const IFA_CACHEINFO = 6;
/** The flags in 32 bits. */
export const IFA_FLAGS = 8;
export const IFA_RT_PRIORITY = 9;
/** Linux 5.18+: who made the address. */
export const IFA_PROTO = 11;

/** Of IPv4 IFA_F_SECONDARY, which the kernel finds out by itself; of IPv6 IFA_F_TEMPORARY. */
export const IFA_F_TEMPORARY = 0x01;
export const IFA_F_NODAD = 0x02;
export const IFA_F_HOMEADDRESS = 0x10;
export const IFA_F_PERMANENT = 0x80;
export const IFA_F_MANAGETEMPADDR = 0x100;
export const IFA_F_NOPREFIXROUTE = 0x200;
export const IFA_F_MCAUTOJOIN = 0x400;
export const IFAPROT_KERNEL_LO = 1;
export const IFAPROT_KERNEL_LL = 3;

/** RFC 3549 §2.3.3.2: an address that means the same everywhere. */
export const RT_SCOPE_UNIVERSE = 0;

/** IFNAMSIZ of linux/if.h without the NUL. */
export const IFNAME_MAX = 15;

/** NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type. */
const NLA_TYPE_MASK = 0x3fff;

export type Attribute = readonly [type: number, payload: Uint8Array];

export interface RouteMessage {
  readonly type: number;
  readonly flags: number;
  /** Behind the header. */
  readonly body: Uint8Array;
}

export interface LinkBody {
  /** 0: the interface is named by an attribute, or all are meant. */
  readonly index: number;
  readonly flags?: number;
  /** Which of the flags are to be changed. */
  readonly change?: number;
}

export interface AddressBody {
  readonly family: number;
  readonly prefixLength: number;
  readonly scope: number;
  readonly index: number;
}

/** A NUL-terminated string as a payload. */
export function attributeText(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

export function attributeU32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export function encodeLink(
  message: { readonly type: number; readonly flags: number },
  link: LinkBody,
  attributes: readonly Attribute[] = [],
): Uint8Array {
  const bytes = encode(message, LINK_BODY_SIZE, attributes);
  const view = new DataView(bytes.buffer);
  view.setInt32(NLMSG_HEADER_SIZE + 4, link.index, true);
  view.setUint32(NLMSG_HEADER_SIZE + 8, link.flags ?? 0, true);
  view.setUint32(NLMSG_HEADER_SIZE + 12, link.change ?? 0, true);
  return bytes;
}

export function encodeAddress(
  message: { readonly type: number; readonly flags: number },
  address: AddressBody,
  attributes: readonly Attribute[] = [],
): Uint8Array {
  const bytes = encode(message, ADDRESS_BODY_SIZE, attributes);
  bytes[NLMSG_HEADER_SIZE] = address.family;
  bytes[NLMSG_HEADER_SIZE + 1] = address.prefixLength;
  bytes[NLMSG_HEADER_SIZE + 3] = address.scope;
  new DataView(bytes.buffer).setUint32(NLMSG_HEADER_SIZE + 4, address.index, true);
  return bytes;
}

function encode(
  { type, flags }: { readonly type: number; readonly flags: number },
  bodySize: number,
  attributes: readonly Attribute[],
): Uint8Array {
  const aligned = (size: number): number => (size + 3) & ~3;
  const sizes = attributes.map(([, payload]) => aligned(4 + payload.length));
  const length = NLMSG_HEADER_SIZE + bodySize + sizes.reduce((sum, size) => sum + size, 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  let at = NLMSG_HEADER_SIZE + bodySize;
  attributes.forEach(([attribute, payload], index) => {
    view.setUint16(at, 4 + payload.length, true);
    view.setUint16(at + 2, attribute, true);
    bytes.set(payload, at + 4);
    at += sizes[index]!;
  });
  return bytes;
}

/** The messages of one datagram; what is cut off at its end is left out. */
export function decodeMessages(datagram: Uint8Array): RouteMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: RouteMessage[] = [];
  for (let at = 0; at + NLMSG_HEADER_SIZE <= datagram.length; ) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER_SIZE || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      body: datagram.subarray(at + NLMSG_HEADER_SIZE, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** Attributes from `from` on; of two with one type the last. */
export function decodeAttributes(bytes: Uint8Array, from: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (const [type, payload] of listAttributes(bytes, from)) found.set(type, payload);
  return found;
}

export function listAttributes(bytes: Uint8Array, from: number): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const list: Attribute[] = [];
  for (let at = from; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
    list.push([type, bytes.subarray(at + 4, at + length)]);
    at += (length + 3) & ~3;
  }
  return list;
}

/** A string without its NUL. */
export function textOf(payload: Uint8Array): string {
  const end = payload.indexOf(0);
  return new TextDecoder().decode(end === -1 ? payload : payload.subarray(0, end));
}

export function u32Of(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(0, true);
}
