/**
 * `storage cleanup`: unmounts and removes what `storage pull` or `container run` made for an id, also
 * what is left of one that was killed half-way. Refused while a container lives in it.
 */

import { lstatSync } from 'node:fs';
import { RuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { checkId, checkRoot, layoutOf } from '../libcontainer/store/state-dir.ts';
import { removeImage } from './image.ts';
import { refuseWhileRunning } from './in-use.ts';
import { LAYER } from './layout.ts';
import { clearDeadLock } from './lock-holder.ts';

export function cleanupImage(context: Context, request: { readonly containerId: string }): void {
  const id = request.containerId;
  checkId(id);
  const directory = `${layoutOf(context.root).containers}/${id}`;
  const rooted = checkRoot(context.root);
  if (rooted) clearDeadLock(context.root);
  if (!rooted || !isDirectory(directory)) {
    const reason = 'has no image';
    throw new RuncellError({ code: 'state.missing', operation: 'container', target: id, reason });
  }
  refuseWhileRunning(context.root, id, `${directory}/${LAYER.rootfs}`);
  removeImage(context, directory);
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
