/** Interfaces and addresses from the messages that list them. */

import { expect, test } from 'vitest';
import {
  addressText,
  decodeAddress,
  decodeLink,
} from '../../../src/libcontainer/linux/interface.ts';
import {
  type Attribute,
  attributeText,
  attributeU32,
  decodeMessages,
  encodeAddress,
  encodeLink,
  IFA_ADDRESS,
  IFA_FLAGS,
  IFA_LOCAL,
  IFLA_ALT_IFNAME,
  IFLA_IFNAME,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_PROP_LIST,
  RTM_NEWADDR,
  RTM_NEWLINK,
} from '../../../src/libcontainer/linux/rtnetlink.ts';

const NAMED: readonly Attribute[] = [
  [IFLA_IFNAME, attributeText('eth0')],
  [IFLA_MTU, attributeU32(1500)],
];

const link = (attributes: readonly Attribute[], flags = 0) => {
  const bytes = encodeLink({ type: RTM_NEWLINK, flags: 0 }, { index: 4, flags }, attributes);
  return decodeLink(decodeMessages(bytes)[0]!);
};

test('a link: other names and master where there are any', () => {
  const name = attributeText('enp0s1');
  const other = new Uint8Array(12);
  new DataView(other.buffer).setUint16(0, 4 + name.length, true);
  new DataView(other.buffer).setUint16(2, IFLA_ALT_IFNAME, true);
  other.set(name, 4);
  const plain = { index: 4, name: 'eth0', otherNames: [], isUp: false, mtu: 1500, master: 0 };
  expect(link(NAMED)).toEqual(plain);
  expect(link([...NAMED, [IFLA_MASTER, attributeU32(9)], [IFLA_PROP_LIST, other]], 0x1003)).toEqual(
    { ...plain, isUp: true, master: 9, otherNames: ['enp0s1'] },
  );
});

test('an address: 32 bits of flags win over 8, of a pair the own side is shown', () => {
  const body = { family: 2, prefixLength: 32, scope: 0, index: 4 };
  const attributes: readonly Attribute[] = [
    [IFA_ADDRESS, Uint8Array.of(10, 0, 0, 2)],
    [IFA_LOCAL, Uint8Array.of(10, 0, 0, 1)],
    [IFA_FLAGS, attributeU32(0x280)],
  ];
  const bytes = encodeAddress({ type: RTM_NEWADDR, flags: 0 }, body, attributes);
  const address = decodeAddress(decodeMessages(bytes)[0]!);
  expect(address).toMatchObject({ ...body, flags: 0x280 });
  expect(addressText(address)).toBe('10.0.0.1/32');
  const v6 = { ...address, family: 10, prefixLength: 64, attributes: [V6] };
  expect(addressText(v6)).toBe('fd00:0:0:0:0:0:0:102/64');
});

const V6: Attribute = [IFA_ADDRESS, Uint8Array.of(0xfd, 0, ...Array(12).fill(0), 1, 2)];
