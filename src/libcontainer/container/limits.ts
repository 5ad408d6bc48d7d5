/**
 * `linux.resources` of a container that is created: checked, and put into force before its group has
 * a process. Loaded only where something is limited, or where a controller is to be turned on.
 */

import type { Config, LinuxResources } from '@opencontainers-ts/spec';
import { findingsOfResources } from '../../oci/validate/resources.ts';
import { type Applied, applyLimits, checkLimits } from '../cgroups/apply.ts';
import { type LimitOptions, zeroPidsIsLimit } from '../cgroups/resources.ts';
import { findCgroupRoot } from '../host/cgroup-mode.ts';
import type { Log } from './context.ts';

/** Nothing has been made yet: values, and controllers that this hierarchy does not have. */
export function checkConfigLimits(config: Config, log: Log): void {
  const { resources = {} } = config.linux ?? {};
  const { warnings, debug } = findingsOfResources(resources, 'linux.resources');
  for (const warning of warnings) log.warn(warning);
  for (const line of debug) log.debug(line);
  checkLimits(findCgroupRoot(), resources, limitOptions(config));
}

/** Controllers are turned on for statistics too, where nothing is limited. */
export function limitGroup(root: string, directory: string, config: Config): Applied {
  const resources: LinuxResources = config.linux?.resources ?? {};
  return applyLimits({ root, directory, resources, ...limitOptions(config) });
}

export function limitOptions(config: Config): LimitOptions {
  return { at: 'linux.resources', zeroPids: zeroPidsIsLimit(config.ociVersion) };
}
