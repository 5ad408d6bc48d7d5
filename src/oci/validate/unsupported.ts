/**
 * What config.json can ask for and runcell does not carry out yet: LSM labels. Refused by name, never
 * ignored. And whether there are limits, which are checked apart.
 */

import type { Config, LinuxResources } from '@opencontainers-ts/spec';
import { unsupported } from './findings.ts';
import { checkProcessSupport } from './process.ts';
import type { Subject } from './subject.ts';

export function checkSupport({ config, linux, findings }: Subject): void {
  if (config.process !== undefined) checkProcessSupport(config.process, 'process', findings);
  if (linux.mountLabel) unsupported(findings, 'linux.mountLabel', linux.mountLabel);
}

/**
 * Whether `linux.resources` limits anything, for which validate/resources.ts and cgroups/apply.ts are
 * loaded. Zeros and nothing at all are what engines send for "no limit"; of the parts that count,
 * a zero is a limit like any other.
 */
export function hasLimits(config: Config): boolean {
  const resources = config.linux?.resources ?? {};
  for (const part in resources) {
    if (part === 'devices') continue;
    const fields = Object.entries(resources[part as keyof LinuxResources] ?? {});
    if (COUNTED.includes(part) ? fields.length > 0 : fields.some(isLimit)) return true;
  }
  return false;
}

const COUNTED = ['pids', 'hugepageLimits', 'rdma', 'unified'];

/** `checkBeforeUpdate` limits nothing; it is also the one that may be alone and true. */
function isLimit([name, value]: [string, unknown]): boolean {
  if (typeof value === 'object') return Object.keys(value ?? {}).length > 0;
  return Boolean(value) && name !== 'checkBeforeUpdate';
}
