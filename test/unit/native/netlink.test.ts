/** Dumps over netlink of what every machine has: the loopback interface. */

import { closeSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  encodeLink,
  NLM_F_DUMP,
  NLM_F_REQUEST,
} from '../../../src/libcontainer/linux/rtnetlink.ts';
import {
  dumpOwnRoute,
  dumpRoute,
  openRouteSocket,
} from '../../../src/libcontainer/native/netlink.ts';

const RTM_GETLINK = 18;
const flags = NLM_F_REQUEST | NLM_F_DUMP;

test('a dump gives every message once, again and again on one socket', () => {
  const request = encodeLink({ type: RTM_GETLINK, flags }, { index: 0 });
  const fd = openRouteSocket();
  try {
    const first = dumpRoute(fd, request).map(({ body }) => body[4]);
    expect(first).toContain(1);
    expect(dumpRoute(fd, request).map(({ body }) => body[4])).toEqual(first);
  } finally {
    closeSync(fd);
  }
});

test('an answer that is an error is thrown with its errno', () => {
  const RTM_UNKNOWN = 4095;
  expect(() => dumpOwnRoute(encodeLink({ type: RTM_UNKNOWN, flags }, { index: 0 }))).toThrow(
    'netlink: operation not supported (EOPNOTSUPP)',
  );
});
