/** What the host's side of linux.netDevices asks: the loopback interface is everywhere. */

import { expect, test } from 'vitest';
import { listLinks, probeNetDevices } from '../../../src/libcontainer/host/net-devices.ts';
import { addressText } from '../../../src/libcontainer/linux/interface.ts';

test('the loopback interface is listed, with its addresses when it is up', () => {
  expect(listLinks()).toContainEqual(expect.objectContaining({ index: 1, name: 'lo' }));
  const [lo, ...others] = probeNetDevices(['lo']);
  expect(others).toEqual([]);
  const texts = lo!.addresses.map(addressText);
  expect(texts.includes('127.0.0.1/8')).toBe(lo!.isUp);
});

test('an interface that is not there is left out', () => {
  expect(probeNetDevices(['no-such-device'])).toEqual([]);
});
