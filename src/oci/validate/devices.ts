/**
 * linux.devices and linux.resources.devices (runtime-spec 1.3 config-linux.md#configLinuxDevices,
 * #configLinuxDeviceAllowedlist; mknod(2)). Opens no file.
 */

import type { LinuxDevice, LinuxDeviceCgroup } from '@opencontainers-ts/spec';
import { type Findings, problem } from './findings.ts';
import { ID_MAX, isAbsolute, type Subject } from './subject.ts';

/** dev_t of the kernel: 12 bits and 20 bits (include/linux/kdev_t.h). */
const NUMBER_MAX = { major: 4095, minor: 1048575 } as const;

export function checkDevices({ linux, findings }: Subject): void {
  const byPath = new Map<string, LinuxDevice>();
  linux.devices?.forEach((device, index) => {
    const at = `linux.devices[${index}]`;
    const { path } = device;
    if (!isAbsolute(path)) {
      problem(findings, `${at}.path`, 'must be an absolute path', { target: path });
    }
    if (device.type !== 'p') checkNumbers(findings, device, at, 0);
    for (const owner of ['uid', 'gid'] as const) {
      if ((device[owner] ?? 0) > ID_MAX) {
        problem(findings, `${at}.${owner}`, `must be at most ${ID_MAX}`, {
          target: String(device[owner]),
        });
      }
    }
    const other = byPath.get(path);
    if (other !== undefined && !isSameNode(device, other)) {
      problem(findings, `${at}.path`, 'is also the path of another device', { target: path });
    }
    byPath.set(path, device);
  });
}

/** A rule without a number, or with -1 (as runc has it), is about all of them. */
export function checkDeviceRules({ linux, findings }: Subject): void {
  linux.resources?.devices?.forEach((rule, index) => {
    const at = `linux.resources.devices[${index}]`;
    const { type = '', access = '' } = rule;
    if (!/^[abc]?$/.test(type)) {
      problem(findings, `${at}.type`, 'must be a, b or c', { target: type });
    }
    if (!/^[rwm]+$/.test(access)) {
      problem(findings, `${at}.access`, 'must be one or more of r, w and m', { target: access });
    }
    checkNumbers(findings, rule, at, -1);
  });
}

function checkNumbers(
  findings: Findings,
  entry: LinuxDevice | LinuxDeviceCgroup,
  at: string,
  lowest: number,
): void {
  for (const field of ['major', 'minor'] as const) {
    const number = entry[field];
    if (number === undefined) {
      if (lowest === 0) problem(findings, `${at}.${field}`, 'is required');
    } else if (number < lowest || number > NUMBER_MAX[field]) {
      problem(findings, `${at}.${field}`, `must be from ${lowest} to ${NUMBER_MAX[field]}`, {
        target: String(number),
      });
    }
  }
}

function isSameNode(a: LinuxDevice, b: LinuxDevice): boolean {
  return a.type === b.type && a.major === b.major && a.minor === b.minor;
}
