/** resume: a paused container goes on as what it was, created or running (runtime-cli.md §3.2). */

import { RuncellError } from '../../error.ts';
import { thawCgroup } from '../cgroups/freezer.ts';
import { lockContainer } from '../store/lock.ts';
import { loadState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { locateState } from './locate.ts';
import { statusOf } from './status.ts';

export function resumeContainer(context: Context, id: string): void {
  const directory = locateState(context, id);
  using _lock = lockContainer(directory);
  const state = loadState(directory);
  if (statusOf(directory, state) !== 'paused') {
    throw new RuncellError({ code: 'state.conflict', reason: 'container not paused' });
  }
  thawCgroup(state.cgroup_path);
}
