/**
 * update: other limits for a container that is there (reference/runtime-cli.md §1.8).
 *
 * What is not given is left as it is, in the kernel and in the record. All of it holds or nothing
 * does: a refused write brings the others back. Rules for devices are never touched.
 */

import type { LinuxResources } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { parseJson, stringifyJson } from '../../oci/json.ts';
import { applyLimits, checkLimits } from '../cgroups/apply.ts';
import { GroupDirectory } from '../cgroups/files.ts';
import { classOf, updateClass } from '../cgroups/intel-rdt.ts';
import { mergeResources } from '../cgroups/merge.ts';
import { findResctrl } from '../cgroups/resctrl.ts';
import { type LimitOptions, zeroPidsIsLimit } from '../cgroups/resources.ts';
import { type Schemas, schemataLines } from '../cgroups/schemata.ts';
import type { ScopeUpdate } from '../cgroups/systemd.ts';
import { findCgroupRoot } from '../host/cgroup-mode.ts';
import { lockContainer } from '../store/lock.ts';
import {
  loadConfigBytes,
  loadResourcesBytes,
  loadState,
  type StateFile,
  writeResources,
  writeState,
} from '../store/state-file.ts';
import type { Context } from './context.ts';
import { groupOf, locateState } from './locate.ts';
import { statusOf } from './status.ts';
import { parseConfig } from './stored-config.ts';

export async function updateContainer(
  context: Context,
  id: string,
  given: LinuxResources,
  schemas: Schemas = {},
): Promise<undefined> {
  const directory = locateState(context, id);
  using _lock = lockContainer(directory);
  const state = loadState(directory);
  const status = statusOf(directory, state);
  if (status === 'stopped' || status === 'creating') {
    throw new RuncellError({ code: 'state.conflict', reason: 'container not running' });
  }
  const group = groupOf(state);
  const root = findCgroupRoot();
  const config = parseConfig(loadConfigBytes(directory));
  const inForce = resourcesInForce(directory, config.linux?.resources ?? {});
  const wanted = withCheck(given, inForce);
  const options = { at: '', zeroPids: zeroPidsIsLimit(config.ociVersion) };
  checkLimits(root, wanted, options);
  using unit = await unitOf(context, state, { resources: wanted, group, options });
  const resources = unit?.resources ?? wanted;
  const applied = applyLimits({ root, directory: group, resources, ...options });
  let told = false;
  try {
    unit?.tell();
    told = true;
    updateRdt(directory, state, schemas);
    const merged = mergeResources(inForce, given);
    writeResources(directory, Buffer.from(stringifyJson(merged, 2)));
  } catch (thrown) {
    applied.restore();
    using before = told
      ? await unitOf(context, state, { resources: inForce, group, options })
      : undefined;
    before?.tell();
    throw thrown;
  }
}

/** Where systemd made the group, it has to know what is in its files. */
async function unitOf(
  context: Context,
  state: StateFile,
  limits: { resources: LinuxResources; group: string; options: LimitOptions },
): Promise<ScopeUpdate | undefined> {
  if (!state.systemd_cgroup) return undefined;
  const { planUpdate } = await import('./scope.ts');
  using files = new GroupDirectory(limits.group);
  return planUpdate(context, state, { ...limits, files });
}

/** After the limits, which can be taken back: what was written to a class of service cannot. */
function updateRdt(directory: string, state: StateFile, schemas: Schemas): void {
  if (schemataLines(schemas).length === 0) return;
  const { id, cgroup_path: cgroup, intel_rdt } = state;
  const at = 'linux.intelRdt';
  const resctrl = intel_rdt === undefined ? findResctrl(at) : classOf(intel_rdt);
  const made = updateClass(resctrl, { id, cgroup, state: intel_rdt }, schemas);
  if (intel_rdt === undefined) writeState(directory, { ...state, intel_rdt: made });
}

/** Those of the last update, or of the configuration. */
export function resourcesInForce(directory: string, configured: LinuxResources): LinuxResources {
  const bytes = loadResourcesBytes(directory);
  if (bytes === undefined) return configured;
  return parseJson(bytes, { source: 'resources.json', code: 'state.corrupt' }) as LinuxResources;
}

/** `memory.checkBeforeUpdate` of the configuration counts until an update says otherwise. */
function withCheck(given: LinuxResources, inForce: LinuxResources): LinuxResources {
  const { memory } = given;
  if (memory === undefined || inForce.memory?.checkBeforeUpdate !== true) return given;
  return { ...given, memory: { checkBeforeUpdate: true, ...memory } };
}
