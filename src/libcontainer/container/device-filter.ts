/**
 * Which device filter a container gets, and who attaches it (runtime-cli.md §6.3, security.md H23).
 *
 * Every container has one, whatever its rules say, and it begins with "nothing is allowed" (GHSA-g54h-
 * m393-cpwq). Rules that allow nothing change nothing about it, since runc's own come last: then the
 * filter is at hand, and the stage loads and attaches it before there is a process in the group. What
 * else can be is in rare-device-filter.ts.
 */

import type { ValidConfig } from '../../oci/validate.ts';
import { DEFAULT_DEVICE_FILTER } from '../cgroups/default-device-filter.ts';
import type { HostFacts } from '../host/facts.ts';
import { inInitialUserNamespace } from '../host/probe.ts';
import type { StateFile } from '../store/state-file.ts';
import type { Context } from './context.ts';

/** What decides about the filter; the group is made. */
export interface FilterRequest {
  readonly state: Pick<StateFile, 'cgroup_path' | 'cgroup_made'>;
  readonly config: Pick<ValidConfig, 'linux' | 'mounts'>;
  readonly facts: HostFacts;
  readonly log: Context['log'];
}

export interface PlannedFilter {
  /** For the stage to attach. */
  readonly early?: Uint8Array;
  /** Attaches it from here, when the mounts are made. */
  readonly late?: () => void;
}

export async function deviceFilterFor(request: FilterRequest): Promise<PlannedFilter> {
  const { state, config, facts } = request;
  const { devices, resources } = config.linux;
  const isCommon =
    facts.euid === 0 &&
    inInitialUserNamespace() &&
    state.cgroup_made?.includes(state.cgroup_path) === true &&
    !devices?.length &&
    !resources?.devices?.some((rule) => rule.allow || rule.access !== 'rwm' || 'major' in rule) &&
    !mountsBlockDevice(config);
  if (isCommon) return { early: Buffer.from(DEFAULT_DEVICE_FILTER, 'base64') };
  return (await import('./rare-device-filter.ts')).rareDeviceFilter(request);
}

/** Whether a mount may be one of a block device: a source that is a path, and no bind mount. */
export function mountsBlockDevice({ mounts = [] }: FilterRequest['config']): boolean {
  return mounts.some(
    ({ source, type, options }) =>
      source?.startsWith('/') && type !== 'bind' && !options?.some((o) => /^r?bind$/.test(o)),
  );
}
