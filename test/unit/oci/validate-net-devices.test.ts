/** linux.netDevices: names the kernel takes, and where the interfaces are to go. */

import type { Config, Linux } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { noFindings } from '../../../src/oci/validate/findings.ts';
import { checkNetDevices, deviceSpecPath } from '../../../src/oci/validate/net-devices.ts';

function problems(linux: Linux, euid = 0): string[] {
  const findings = noFindings();
  const config = { ociVersion: '1.3.0', linux } as Config;
  checkNetDevices(
    { config, linux: { namespaces: [{ type: 'network' }], ...linux }, findings },
    euid,
  );
  return findings.problems.map(({ path, reason }) => `${path}: ${reason}`);
}

const named = (...names: string[]): Linux => ({
  netDevices: Object.fromEntries(names.map((name, k) => [`eth${k}`, { name }])),
});

describe('names', () => {
  test.each(['eth0', 'a', 'fifteen-bytes-x', 'é', '...', 'veth%d', '%d'])('%s', (name) => {
    expect(problems(named(name))).toEqual([]);
  });

  test.each([
    ['sixteen-bytes-xx', "an interface's name has 15 bytes or less"],
    ['sechzehn-bytes-ä', "an interface's name has 15 bytes or less"],
    ['.', 'is no name that an interface can have'],
    ['..', 'is no name that an interface can have'],
    ['a/b', 'is no name that an interface can have'],
    ['a:b', 'is no name that an interface can have'],
    ['a b', 'is no name that an interface can have'],
    ['%dx', 'a name may have one %d, at its end'],
    ['%s', 'a name may have one %d, at its end'],
    ['%d%d', 'a name may have one %d, at its end'],
  ])('%s', (name, reason) => {
    expect(problems(named(name))).toEqual([`linux.netDevices["eth0"].name: ${reason}`]);
    const asKey = problems({ netDevices: { [name]: {} } });
    expect(asKey).toEqual([`${deviceSpecPath(name)}: ${reason}`]);
  });

  test('on the host there is no template, and a name', () => {
    expect(problems({ netDevices: { 'eth%d': {}, '': {} } })).toEqual([
      'linux.netDevices["eth%d"]: a name may have one %d, at its end',
      'linux.netDevices[""]: an interface must have a name',
    ]);
  });

  test('two of one name are refused, two templates are not, an empty one is the own', () => {
    const taken = 'is the name of eth0 in the container too';
    expect(problems(named('x', 'x'))).toEqual([`linux.netDevices["eth1"].name: ${taken}`]);
    expect(problems({ netDevices: { a: { name: 'eth0' }, eth0: {} } })).toEqual([
      'linux.netDevices["eth0"]: is the name of a in the container too',
    ]);
    expect(problems(named('x%d', 'x%d'))).toEqual([]);
    expect(problems(named('', 'eth0'))).toEqual([`linux.netDevices["eth1"].name: ${taken}`]);
    expect(problems(named('eth1', 'eth0'))).toEqual([]);
  });
});

describe('where to', () => {
  test('a network namespace and root are needed; without devices neither', () => {
    const netDevices = { eth0: {} };
    expect(problems({ namespaces: [], netDevices })).toEqual([
      "linux.netDevices: needs a network namespace that is not the runtime's",
    ]);
    expect(problems({ netDevices }, 1000)).toEqual([
      'linux.netDevices: only root can move network devices',
    ]);
    expect(problems({ namespaces: [], netDevices: {} }, 1000)).toEqual([]);
  });
});
