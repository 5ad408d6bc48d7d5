/**
 * The device filter of a container that is not the common one: rules of its own, a caller that may load
 * no filter, or one that the compiler has to attach itself. That is so in a group that was there before,
 * in which it takes the place of what an earlier container left; and where a file system on a block
 * device is mounted, since the kernel asks the filter about the mount too: then when the mounts are made,
 * as runc does it, and before any hook runs.
 *
 * Without a group (`--cgroup-manager disabled`) there is nothing to attach a filter to, and the log says
 * so. A caller in a user namespace may load no filter, and one that is not root mostly not: as in runc, the
 * container then runs without, and the log says so. Root that lacks the capabilities is no such caller:
 * its container fails, by the field's name.
 */

import type { LinuxDeviceCgroup } from '@opencontainers-ts/spec';
import { replaceDeviceFilter } from '../cgroups/device-attach.ts';
import { compileDeviceFilter } from '../cgroups/device-filter.ts';
import type { HostFacts } from '../host/facts.ts';
import { inInitialUserNamespace } from '../host/probe.ts';
import { CAPABILITIES } from '../linux/capability.ts';
import type { Context } from './context.ts';
import { type FilterRequest, mountsBlockDevice, type PlannedFilter } from './device-filter.ts';

const NO_GROUP = 'the container has no cgroup of its own';
const NO_RIGHT = 'the caller may not load a device filter';

export function rareDeviceFilter(request: FilterRequest): PlannedFilter {
  const { state, config, facts, log } = request;
  const obstacle = facts.cgroupDir === undefined ? NO_GROUP : mayLoad(facts) ? undefined : NO_RIGHT;
  if (obstacle !== undefined) {
    log.warn(`linux.resources.devices: not enforced, ${obstacle}`);
    return {};
  }
  warnOfWide(config.linux.resources?.devices ?? [], log);
  const filter = compileDeviceFilter(config.linux);
  const directory = state.cgroup_path;
  const attach = (): void => replaceDeviceFilter(directory, filter);
  if (mountsBlockDevice(config)) return { late: attach };
  if (state.cgroup_made?.includes(directory) === true) return { early: filter };
  attach();
  return {};
}

/** A rule of type `a` is about everything, as in runc: what else it says is not looked at. */
function warnOfWide(rules: readonly LinuxDeviceCgroup[], log: Context['log']): void {
  rules.forEach(({ type = '', major = -1, minor = -1, access = '' }, index) => {
    const isPartial =
      major >= 0 || minor >= 0 || ![...'rwm'].every((letter) => access.includes(letter));
    if (isPartial && (type === '' || type === 'a')) {
      const what = 'a rule for all types is for all numbers and letters too';
      log.warn(`linux.resources.devices[${index}]: ${what}`);
    }
  });
}

/** bpf(2) asks for CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the first user namespace. */
function mayLoad({ euid, permittedCapabilities: held }: HostFacts): boolean {
  if (!inInitialUserNamespace()) return false;
  const has = (name: keyof typeof CAPABILITIES): boolean =>
    ((held >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
  return euid === 0 || has('CAP_SYS_ADMIN') || (has('CAP_BPF') && has('CAP_NET_ADMIN'));
}
