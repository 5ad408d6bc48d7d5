/** An interface and its addresses, read from the messages that list them (rtnetlink(7)). Pure. */

import {
  ADDRESS_BODY_SIZE,
  type Attribute,
  decodeAttributes,
  IFA_ADDRESS,
  IFA_FLAGS,
  IFA_LOCAL,
  IFLA_ALT_IFNAME,
  IFLA_IFNAME,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_PROP_LIST,
  LINK_BODY_SIZE,
  listAttributes,
  type RouteMessage,
  textOf,
  u32Of,
} from './rtnetlink.ts';
import { AF_INET, IFF_UP } from './socket.ts';

/** An interface as it is listed. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Other names that lead to it (Linux 5.5+): a name is taken when it is among these too. */
  readonly otherNames: readonly string[];
  readonly isUp: boolean;
  readonly mtu: number;
  /** Index of the bridge or bond it belongs to, 0 for none. */
  readonly master: number;
}

export interface LinkAddress {
  readonly family: number;
  readonly prefixLength: number;
  readonly scope: number;
  /** IFA_F_*, all 32 bits. */
  readonly flags: number;
  readonly attributes: readonly Attribute[];
}

/** An interface with its addresses, in the order the kernel lists them: primary ones first. */
export interface NetDevice extends Link {
  readonly addresses: readonly LinkAddress[];
}

export function decodeLink({ body }: RouteMessage): Link {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = decodeAttributes(body, LINK_BODY_SIZE);
  const master = attributes.get(IFLA_MASTER);
  const properties = attributes.get(IFLA_PROP_LIST) ?? new Uint8Array(0);
  return {
    index: view.getInt32(4, true),
    name: textOf(attributes.get(IFLA_IFNAME)!),
    otherNames: listAttributes(properties, 0)
      .filter(([type]) => type === IFLA_ALT_IFNAME)
      .map(([, payload]) => textOf(payload)),
    isUp: (view.getUint32(8, true) & IFF_UP) !== 0,
    mtu: u32Of(attributes.get(IFLA_MTU)!),
    master: master === undefined ? 0 : u32Of(master),
  };
}

export function decodeAddress({ body }: RouteMessage): LinkAddress & { readonly index: number } {
  const attributes = listAttributes(body, ADDRESS_BODY_SIZE);
  const flags = attributes.find(([type]) => type === IFA_FLAGS);
  return {
    family: body[0]!,
    prefixLength: body[1]!,
    scope: body[3]!,
    flags: flags === undefined ? body[2]! : u32Of(flags[1]),
    index: new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(4, true),
    attributes,
  };
}

/** `10.0.0.5/24`, `fd00:0:0:0:0:0:0:1/64`. */
export function addressText({ family, prefixLength, attributes }: LinkAddress): string {
  const payload = (wanted: number): Uint8Array | undefined =>
    attributes.find(([type]) => type === wanted)?.[1];
  // Of a point-to-point link IFA_ADDRESS is the other side.
  const bytes = payload(IFA_LOCAL) ?? payload(IFA_ADDRESS) ?? new Uint8Array(0);
  return `${hostText(family, bytes)}/${prefixLength}`;
}

function hostText(family: number, bytes: Uint8Array): string {
  if (family === AF_INET) return [...bytes].join('.');
  const groups = Array.from({ length: bytes.length >> 1 }, (_, i) =>
    ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16),
  );
  return groups.join(':');
}
