/**
 * What config.json can ask for and runcell does not carry out yet: cgroup limits, seccomp, LSM labels,
 * network devices, Intel RDT, memory policy. Refused by name, never ignored.
 *
 * What Docker sends for "no limit" is none: 0, "", [], {} and -1 (config-linux.md#configLinuxControlGroups).
 * Rules for devices are accepted, since every default document has them; the debug log says so.
 */

import type { LinuxResources } from '@opencontainers-ts/spec';
import { type Findings, unsupported } from './findings.ts';
import { checkProcessSupport } from './process.ts';
import type { Subject } from './subject.ts';

export function checkSupport({ config, linux, findings }: Subject): void {
  if (config.process !== undefined) checkProcessSupport(config.process, 'process', findings);
  if (linux.resources !== undefined) checkResources(linux.resources, findings);
  if (linux.seccomp !== undefined) unsupported(findings, 'linux.seccomp');
  if (linux.mountLabel) unsupported(findings, 'linux.mountLabel', linux.mountLabel);
  for (const name in linux.netDevices) unsupported(findings, 'linux.netDevices', name);
  if (linux.intelRdt !== undefined) unsupported(findings, 'linux.intelRdt');
  if (linux.memoryPolicy !== undefined) unsupported(findings, 'linux.memoryPolicy');
}

/** Limits whose zero is a limit like any other, so that only their absence means nothing. */
const COUNTED = ['hugepageLimits', 'rdma', 'unified'] as const;

function checkResources(resources: LinuxResources, findings: Findings): void {
  const at = 'linux.resources';
  if ((resources.devices?.length ?? 0) > 0) {
    findings.debug.push(`${at}.devices: accepted, not enforced yet`);
  }
  for (const part of ['memory', 'cpu', 'pids', 'blockIO', 'network'] as const) {
    for (const [name, value] of Object.entries(resources[part] ?? {})) {
      if (isLimit(name, value)) unsupported(findings, `${at}.${part}.${name}`, shown(value));
    }
  }
  for (const part of COUNTED) {
    if (Object.keys(resources[part] ?? {}).length > 0) unsupported(findings, `${at}.${part}`);
  }
}

/** `checkBeforeUpdate` is about `update`; a negative number is "without limit" wherever it is allowed. */
function isLimit(name: string, value: unknown): boolean {
  if (name === 'checkBeforeUpdate') return false;
  if (typeof value === 'number' || typeof value === 'bigint') return value > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function shown(value: unknown): string | undefined {
  return typeof value === 'object' ? undefined : String(value);
}
