/**
 * `--cgroup-manager disabled`, which podman gives for `--cgroups=disabled`: no group is made, the
 * container's processes stay in the caller's (crun(1)). What a group would be needed for is refused.
 *
 * Rules for devices are the exception: every document has them, podman's for this case too, and as
 * with crun nobody enforces them, of which the log warns. What keeps devices away then is that the
 * container has no nodes of them, and cannot make any without CAP_MKNOD. Pure.
 */

import type { Linux } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { ANY_GROUP, type LimitOptions, limitWrites } from './resources.ts';

export function checkNoGroup(linux: Linux, options: LimitOptions): void {
  if (linux.cgroupsPath) throw needsGroup('linux.cgroupsPath', linux.cgroupsPath);
  const limit = limitWrites(linux.resources ?? {}, ANY_GROUP, options).find(({ lifts }) => !lifts);
  if (limit !== undefined) throw needsGroup(limit.specPath, limit.value);
}

function needsGroup(specPath: string, target: string): RuncellError {
  return new RuncellError({
    code: 'config.value',
    specPath,
    target,
    reason: 'needs a cgroup, and --cgroup-manager disabled makes none',
    hint: 'leave the field out, or use another --cgroup-manager',
  });
}
