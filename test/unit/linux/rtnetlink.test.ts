/** rtnetlink messages: layout, padding, and what is cut off. */

import { describe, expect, test } from 'vitest';
import {
  attributeText,
  attributeU32,
  decodeAttributes,
  decodeMessages,
  encodeAddress,
  encodeLink,
  IFLA_IFNAME,
  IFLA_MTU,
  LINK_BODY_SIZE,
  listAttributes,
  NLM_F_ACK,
  NLM_F_REQUEST,
  RTM_NEWADDR,
  RTM_NEWLINK,
  textOf,
  u32Of,
} from '../../../src/libcontainer/linux/rtnetlink.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const message = { type: RTM_NEWLINK, flags: NLM_F_REQUEST | NLM_F_ACK };

describe('encode', () => {
  test('a link message: header, body, attributes padded to 4', () => {
    const bytes = encodeLink(message, { index: 7, flags: 1, change: 1 }, [
      [IFLA_IFNAME, attributeText('eth0')],
      [IFLA_MTU, attributeU32(1400)],
    ]);
    const header = '34000000' + '1000' + '0500' + '00000000' + '00000000';
    const body = '0000' + '0000' + '07000000' + '01000000' + '01000000';
    const name = '0900' + '0300' + '6574683000' + '000000';
    expect(hex(bytes)).toBe(`${header}${body}${name}08000400${'78050000'}`);
  });

  test('an address message: family, prefix, scope and index in their places', () => {
    const body = { family: 10, prefixLength: 64, scope: 253, index: 258 };
    const bytes = encodeAddress({ type: RTM_NEWADDR, flags: 5 }, body);
    expect(hex(bytes.subarray(16))).toBe('0a4000fd02010000');
    expect(bytes.length).toBe(24);
  });
});

describe('decode', () => {
  test('messages and attributes are read back, flags of an attribute type are no part of it', () => {
    const bytes = encodeLink(message, { index: 7 }, [
      [IFLA_IFNAME, attributeText('eth0')],
      [IFLA_MTU | 0x8000, attributeU32(1400)],
    ]);
    const [first, second, ...rest] = decodeMessages(Buffer.concat([bytes, bytes]));
    expect(rest).toEqual([]);
    expect(second).toEqual(first);
    expect(first).toMatchObject({ type: RTM_NEWLINK, flags: 5 });
    const attributes = decodeAttributes(first!.body, LINK_BODY_SIZE);
    expect(textOf(attributes.get(IFLA_IFNAME)!)).toBe('eth0');
    expect(u32Of(attributes.get(IFLA_MTU)!)).toBe(1400);
  });

  test('what is cut off or has a length of nothing ends the list', () => {
    const bytes = encodeLink(message, { index: 7 }, [[IFLA_MTU, attributeU32(1)]]);
    expect(decodeMessages(bytes.subarray(0, -1))).toEqual([]);
    expect(decodeMessages(bytes.subarray(0, 8))).toEqual([]);
    expect(listAttributes(bytes.subarray(0, -1), 32)).toEqual([]);
    expect(listAttributes(Uint8Array.of(0, 0, 1, 0), 0)).toEqual([]);
  });
});
