/**
 * rtnetlink(7) messages as text: `{RTM_NEWLINK ack, index=7, IFLA_IFNAME="eth0", …}`; the layout is
 * drawn in linux/rtnetlink.ts.
 */

import * as rtnetlink from '../../linux/rtnetlink.ts';
import { AF_INET, AF_INET6, IFF_UP } from '../../linux/socket.ts';
import { type Call, sizeAt } from './call.ts';
import { hex } from './names.ts';
import { quote } from './text.ts';

type Table = ReadonlyMap<number, string>;

const named = (prefix: RegExp): Table =>
  new Map(
    Object.entries(rtnetlink)
      .filter(([name, value]) => prefix.test(name) && typeof value === 'number')
      .map(([name, value]) => [value as number, name]),
  );

const TYPES = named(/^RTM_/);
const LINK_ATTRIBUTES = named(/^IFLA_/);
const ADDRESS_ATTRIBUTES = named(/^IFA_(?!F_)/);
const TEXTS = new Set(['IFLA_IFNAME', 'IFA_LABEL']);
const ADDRESSES = new Set(['IFA_ADDRESS', 'IFA_LOCAL', 'IFA_BROADCAST']);

/** The message at the address, undefined when it is something else. */
export function netlinkMessage(address: bigint, call: Call, position: number): string | undefined {
  const size = sizeAt(call, position + 1);
  const bytes = size === undefined ? undefined : call.image.bytes(address, size);
  if (bytes === undefined || bytes.length < rtnetlink.NLMSG_HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = TYPES.get(view.getUint16(4, true));
  if (view.getUint32(0, true) !== bytes.length || type === undefined) return undefined;
  const isLink = type.endsWith('LINK');
  call.places.register(address, bytes.length, 'netlink');
  const acknowledged = (view.getUint16(6, true) & rtnetlink.NLM_F_ACK) !== 0 ? ' ack' : '';
  const from = rtnetlink.NLMSG_HEADER_SIZE + bodySize(isLink);
  const attributes = rtnetlink
    .listAttributes(bytes, from)
    .map((attribute) => attributeText(attribute, { isLink, address, start: bytes, call }));
  const body = isLink ? linkText(view) : addressText(view);
  return `{${[`${type}${acknowledged}`, ...body, ...attributes].join(', ')}}`;
}

function bodySize(isLink: boolean): number {
  return isLink ? rtnetlink.LINK_BODY_SIZE : rtnetlink.ADDRESS_BODY_SIZE;
}

function linkText(view: DataView): string[] {
  const at = rtnetlink.NLMSG_HEADER_SIZE;
  const index = `index=${view.getInt32(at + 4, true)}`;
  const flags = view.getUint32(at + 8, true);
  const change = view.getUint32(at + 12, true);
  if (change === 0 && flags === 0) return [index];
  return [index, change === IFF_UP && flags === IFF_UP ? 'IFF_UP' : `flags=${flags}/${change}`];
}

function addressText(view: DataView): string[] {
  const at = rtnetlink.NLMSG_HEADER_SIZE;
  const family = { [AF_INET]: 'AF_INET', [AF_INET6]: 'AF_INET6' }[view.getUint8(at)];
  const prefix = `/${view.getUint8(at + 1)}`;
  const scope = view.getUint8(at + 3);
  const index = `index=${view.getUint32(at + 4, true)}`;
  const shown = [family ?? `family ${view.getUint8(at)}`, prefix, index];
  return scope === rtnetlink.RT_SCOPE_UNIVERSE ? shown : [...shown, `scope=${scope}`];
}

interface Surroundings {
  readonly isLink: boolean;
  readonly address: bigint;
  readonly start: Uint8Array;
  readonly call: Call;
}

function attributeText([type, payload]: rtnetlink.Attribute, around: Surroundings): string {
  const { isLink, address, start, call } = around;
  const name = (isLink ? LINK_ATTRIBUTES : ADDRESS_ATTRIBUTES).get(type) ?? `attribute ${type}`;
  const offset = payload.byteOffset - start.byteOffset;
  if (call.image.stored.has(address + BigInt(offset))) {
    call.places.field(address, offset, `.${name}`);
    return `${name}=<stored>`;
  }
  if (TEXTS.has(name)) return `${name}=${quote(payload.subarray(0, -1), true)}`;
  if (ADDRESSES.has(name) && payload.length === 4) return `${name}=${[...payload].join('.')}`;
  if (payload.length === 4) return `${name}=${rtnetlink.u32Of(payload)}`;
  return `${name}=${hex(BigInt(`0x${Buffer.from(payload).toString('hex') || '0'}`))}`;
}
