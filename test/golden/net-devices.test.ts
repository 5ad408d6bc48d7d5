/** linux.netDevices: what an interface is and becomes → the mover's programs, checked and as text. */

import { describe, expect, test } from 'vitest';
import type { NetDevice } from '../../src/libcontainer/linux/interface.ts';
import {
  attributeText,
  IFA_ADDRESS,
  IFA_LABEL,
  IFA_LOCAL,
  IFA_PROTO,
  IFAPROT_KERNEL_LL,
} from '../../src/libcontainer/linux/rtnetlink.ts';
import { type DeviceMove, NetDevicesPlan } from '../../src/libcontainer/plan/net-devices.ts';
import { golden, problemsOf, programText } from './golden.ts';
import type { NamedProgram } from './plan.ts';

const PERMANENT = 0x80;
const v4 = Uint8Array.of(10, 0, 0, 5);
const v6 = Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? 0xfd : i));
const linkLocal = Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? 0xfe : i === 1 ? 0x80 : 1));

const device: NetDevice = {
  index: 7,
  name: 'eth1',
  otherNames: [],
  isUp: true,
  mtu: 1400,
  master: 3,
  addresses: [
    {
      family: 2,
      prefixLength: 24,
      scope: 0,
      flags: PERMANENT,
      attributes: [
        [IFA_ADDRESS, v4],
        [IFA_LOCAL, v4],
        [IFA_LABEL, attributeText('eth1:x')],
      ],
    },
    {
      family: 2,
      prefixLength: 16,
      scope: 253,
      flags: PERMANENT,
      attributes: [[IFA_LOCAL, v4]],
    },
    { family: 10, prefixLength: 64, scope: 0, flags: 0x82, attributes: [[IFA_ADDRESS, v6]] },
    {
      family: 10,
      prefixLength: 64,
      scope: 253,
      flags: PERMANENT,
      attributes: [
        [IFA_ADDRESS, linkLocal],
        [IFA_PROTO, Uint8Array.of(IFAPROT_KERNEL_LL)],
      ],
    },
  ],
};

function programs(moves: readonly DeviceMove[], arch: 'x64' | 'arm64' = 'x64'): NamedProgram[] {
  const plan = new NetDevicesPlan(arch);
  return [
    { name: 'mover, in', program: plan.join(4711), root: 'host' },
    { name: 'mover', program: plan.move(moves), root: 'host' },
  ];
}

const move: DeviceMove = {
  specPath: 'linux.netDevices["eth1"]',
  device,
  name: 'eth0',
  index: 9,
};

describe('linux.netDevices', () => {
  test('one interface: there with its global addresses, back with all', () => {
    const made = programs([move]);
    for (const { problems } of problemsOf(made)) expect(problems).toEqual([]);
    golden('net-devices', programText(made));
  });

  test('several, down and without addresses: the last one there is the first one back', () => {
    const plain = { ...device, isUp: false, master: 0, addresses: [] };
    const made = programs(
      ['a', 'b'].map((name, k) => ({
        specPath: `linux.netDevices["${name}"]`,
        device: { ...plain, name, index: 5 + k },
        name: 'eth%d',
        index: 5 + k,
      })),
      'arm64',
    );
    for (const { problems } of problemsOf(made)) expect(problems).toEqual([]);
    golden('net-devices-several', programText(made));
  });

  test('a label follows the name unless the kernel makes it or it would be too long', () => {
    const labels = (name: string): (string | undefined)[] => {
      const text = programText(programs([{ ...move, name }]));
      return [...text.matchAll(/IFA_LABEL="([^"]*)"/g)].map(([, label]) => label);
    };
    // The last one is the way back.
    expect(labels('net0')).toEqual(['net0:x', 'eth1:x']);
    expect(labels('net%d')).toEqual(['eth1:x']);
    expect(labels('a-name-of-14-b')).toEqual(['eth1:x']);
  });
});
