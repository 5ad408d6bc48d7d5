/**
 * The interfaces that are to be moved (linux.netDevices) as they are in the runtime's network
 * namespace, and what the container's has already: asked over netlink (rtnetlink(7)).
 */

import { decodeAddress, decodeLink, type Link, type NetDevice } from '../linux/interface.ts';
import {
  encodeAddress,
  encodeLink,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
} from '../linux/rtnetlink.ts';
import { dumpOwnRoute, dumpRoute } from '../native/netlink.ts';

/** The interfaces of these names in our own network namespace; what is absent is left out. */
export function probeNetDevices(names: readonly string[]): NetDevice[] {
  const wanted = listLinks().filter(({ name }) => names.includes(name));
  if (wanted.length === 0) return [];
  const addresses = dumpOwnRoute(ADDRESSES)
    .filter(({ type }) => type === RTM_NEWADDR)
    .map(decodeAddress);
  return wanted.map((link) => ({
    ...link,
    addresses: addresses.filter(({ index }) => index === link.index),
  }));
}

const REQUEST = NLM_F_REQUEST | NLM_F_DUMP;
const LINKS = encodeLink({ type: RTM_GETLINK, flags: REQUEST }, { index: 0 });
const ADDRESSES = encodeAddress(
  { type: RTM_GETADDR, flags: REQUEST },
  { family: 0, prefixLength: 0, scope: 0, index: 0 },
);

/** All interfaces of the namespace that the netlink socket is of; without one of our own. */
export function listLinks(socketFd?: number): Link[] {
  const messages = socketFd === undefined ? dumpOwnRoute(LINKS) : dumpRoute(socketFd, LINKS);
  return messages.filter(({ type }) => type === RTM_NEWLINK).map(decodeLink);
}
