/**
 * linux.devices (runtime-spec 1.3 config-linux.md#configLinuxDevices; mknod(2)). Opens no file.
 */

import type { LinuxDevice } from '@opencontainers-ts/spec';
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
    checkNumbers(findings, device, at);
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

function checkNumbers(findings: Findings, device: LinuxDevice, at: string): void {
  if (device.type === 'p') return;
  for (const field of ['major', 'minor'] as const) {
    const number = device[field];
    if (number === undefined) problem(findings, `${at}.${field}`, 'is required');
    else if (number < 0 || number > NUMBER_MAX[field]) {
      problem(findings, `${at}.${field}`, `must be from 0 to ${NUMBER_MAX[field]}`, {
        target: String(number),
      });
    }
  }
}

function isSameNode(a: LinuxDevice, b: LinuxDevice): boolean {
  return a.type === b.type && a.major === b.major && a.minor === b.minor;
}
