/**
 * The state directory of an id, below a root that is ours: one that another user owns or may write to
 * is refused before anything in it is believed (security.md H5). And the cgroup that it tells of.
 */

import { RuncellError } from '../../error.ts';
import { checkRoot, stateDirOf } from '../store/state-dir.ts';
import type { StateFile } from '../store/state-file.ts';
import type { Context } from './context.ts';

export function locateState(context: Context, id: string): string {
  const directory = stateDirOf(context.root, id);
  checkRoot(context.root);
  return directory;
}

/** The directory of the container's cgroup, for what cannot be done without one. */
export function groupOf(state: StateFile): string {
  if (state.cgroup_path !== '') return state.cgroup_path;
  const reason = 'container has no cgroup';
  throw new RuncellError({ code: 'state.conflict', target: state.id, reason });
}
