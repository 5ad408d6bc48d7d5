/**
 * pause: the container's processes stop where they are (runtime-cli.md §3.2). Running and created
 * containers can be paused; the status is derived from the freezer, so nothing is written down.
 */

import { RuncellError } from '../../error.ts';
import { freezeCgroup } from '../cgroups/freezer.ts';
import { lockContainer } from '../store/lock.ts';
import { loadState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { groupOf, locateState } from './locate.ts';
import { initAlive, statusOf } from './status.ts';

export function pauseContainer(context: Context, id: string): void {
  const directory = locateState(context, id);
  using _lock = lockContainer(directory);
  const state = loadState(directory);
  const status = statusOf(directory, state);
  if (status !== 'running' && status !== 'created') throw notRunning();
  const group = groupOf(state);
  try {
    freezeCgroup(group);
  } catch (thrown) {
    // It ended meanwhile, and its group went with it.
    throw initAlive(state) ? thrown : notRunning();
  }
}

function notRunning(): RuncellError {
  return new RuncellError({ code: 'state.conflict', reason: 'container not running' });
}
