/**
 * Whether a container lives in a root: its image cannot be taken from under it.
 *
 * A container is bound to an image by its id, or by `root.path` of its configuration where another
 * id was chosen for it. A pid alone says nothing (store/process.ts). Reads state, changes nothing.
 */

import { statSync } from 'node:fs';
import { isRuncellError, RuncellError } from '../error.ts';
import { isSameProcess } from '../libcontainer/store/process.ts';
import { listIds, stateDirOf } from '../libcontainer/store/state-dir.ts';
import { loadState, type StateFile } from '../libcontainer/store/state-file.ts';

export function refuseWhileRunning(root: string, id: string, rootfs: string): void {
  for (const other of listIds(root) ?? []) {
    const state = stateOf(root, other);
    if (state === undefined || !lives(state)) continue;
    if (other !== id && !isSameDirectory(state.rootfs, rootfs)) continue;
    throw new RuncellError({
      code: 'state.conflict',
      operation: 'container',
      target: other,
      reason: 'is running and uses the image',
      hint: `delete it first: \`delete --force ${other}\``,
    });
  }
}

/** Undefined where there is none, and where a killed `create` left none that can be read. */
function stateOf(root: string, id: string): StateFile | undefined {
  try {
    return loadState(stateDirOf(root, id));
  } catch (thrown) {
    if (isRuncellError(thrown) && thrown.code.startsWith('state.')) return undefined;
    throw thrown;
  }
}

/** By whatever path it was named: the default root's `containers` is a link. */
function isSameDirectory(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => statSync(path, { throwIfNoEntry: false }));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

function lives(state: StateFile): boolean {
  const { init_process_pid: pid, init_start_ticks: startTicks, boot_id: bootId } = state;
  return pid !== 0 && isSameProcess({ pid, startTicks, bootId });
}
