/**
 * `storage pull`: makes the root of a container from an image, before there is a container.
 *
 * The verb works alone in the image storage of its root (shared-lock.ts): unpacking an archive will
 * write into layers that containers share. `container run` makes an overlay of a directory without
 * that lock, whose loading alone costs more than the mount (DESIGN.md §6).
 */

import type { Context } from '../libcontainer/container/context.ts';
import { checkId, prepareRoot } from '../libcontainer/store/state-dir.ts';
import { type PulledImage, prepareImage } from './image.ts';
import { findImage } from './image-source.ts';

export interface PullRequest {
  /** A directory: a path, `dir:///path` or `file:///path`. */
  readonly image: string;
  readonly containerId: string;
}

/** Ends with the overlay mounted on `<root>/containers/<id>/rootfs`, or with nothing made. */
export async function pullImage(context: Context, request: PullRequest): Promise<PulledImage> {
  checkId(request.containerId);
  const source = findImage(request.image, context.cwd);
  const layout = prepareRoot(context.root, { explicit: context.explicitRoot });
  const { withSharedLock } = await import('./shared-lock.ts');
  const id = request.containerId;
  return withSharedLock(layout.root, () =>
    prepareImage(layout, { id, source, maker: 'storage pull' }),
  );
}
