/** Names of kernel parameters. */

import { expect, test } from 'vitest';
import { sysctlSteps } from '../../../src/libcontainer/linux/sysctl.ts';

test.each<[string, string[] | undefined]>([
  ['net.ipv4.ip_forward', ['net', 'ipv4', 'ip_forward']],
  ['net/ipv4/ip_forward', ['net', 'ipv4', 'ip_forward']],
  ['net/ipv4/conf/eno2.100/rp_filter', ['net', 'ipv4', 'conf', 'eno2.100', 'rp_filter']],
  ['net.ipv4.conf.eno2/100.rp_filter', ['net', 'ipv4', 'conf', 'eno2.100', 'rp_filter']],
  ['net./x', ['net', '.x']],
  ['kernel', ['kernel']],
  ['', undefined],
  ['net.//', undefined],
  ['net/../kernel', undefined],
  ['net..x', undefined],
  ['net. x', undefined],
])('sysctlSteps of %j is %j', (key, steps) => {
  expect(sysctlSteps(key)).toEqual(steps);
});
