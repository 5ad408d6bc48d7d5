/** ps: the processes of a container, as the host counts them. Any status will do (runc's ps). */

import { listProcesses } from '../cgroups/v2.ts';
import { loadState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { locateState } from './locate.ts';
import { initAlive } from './status.ts';

/** Of its cgroup and those below; without a cgroup init alone is known. */
export function containerProcesses(context: Context, id: string): number[] {
  const state = loadState(locateState(context, id));
  if (state.cgroup_path !== '') return listProcesses(state.cgroup_path);
  return initAlive(state) ? [state.init_process_pid] : [];
}
