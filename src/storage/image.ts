/**
 * A container's root from an image, made and removed: what `storage pull`, `storage cleanup`,
 * `container run` and `delete` share. The image is only read; all writes go into a layer above it.
 *
 *     mkdir <id> ─► lock ─► image.json ─► image, upper, work, rootfs ─► overlay on rootfs
 *
 * A kill at any point leaves a prefix of this, and removal takes any prefix back to nothing: the
 * mount, then the mount point, then the layers, then the record. Two verbs on one id meet at the
 * mkdir(2), and at a flock(2) on the directory that dies with its holder.
 */

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  realpathSync,
  rmdirSync,
  symlinkSync,
} from 'node:fs';
import { isRuncellError, RuncellError, toRuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { lockContainer } from '../libcontainer/store/lock.ts';
import type { Layout } from '../libcontainer/store/state-dir.ts';
import type { ImageSource } from './image-source.ts';
import { LAYER, RECORD } from './layout.ts';
import { isMountPoint, loadMountTable, mountsBelow } from './mount-table.ts';
import { mountOverlay, unmountAt } from './overlay.ts';
import {
  checkContents,
  type ImageRecord,
  loadImageRecord,
  nowSeconds,
  recordNames,
  writeRecord,
} from './record.ts';
import { OpenDirectory, removeFiles, removeTrees, TRASH } from './remove-tree.ts';

const LAYERS = [LAYER.image, LAYER.upper, LAYER.work];
const KNOWN = [...LAYERS, LAYER.rootfs, TRASH];
/** Mounts that may lie on one another on a rootfs before something is wrong. */
const STACK_MAX = 32;

export interface PulledImage {
  /** Where the overlay is mounted, absolute. */
  readonly rootfs: string;
}

/** Makes the directories and mounts the overlay; whatever fails, nothing of it stays. */
export function prepareImage(
  layout: Layout,
  request: {
    readonly id: string;
    readonly source: ImageSource;
    readonly maker: ImageRecord['maker'];
  },
): PulledImage {
  const { id, source, maker } = request;
  const directory = `${layout.containers}/${id}`;
  claim(directory, id, source);
  using _lock = lockContainer(directory);
  if (existsSync(`${directory}/${RECORD.image}`)) throw alreadyThere(id);
  const rootfs = `${directory}/${LAYER.rootfs}`;
  try {
    const image = source.directory;
    const created = nowSeconds();
    writeRecord(directory, RECORD.image, { version: 1, id, maker, image, rootfs, created });
    makeLayers(directory, source);
    mountOverlay({ imageDirectory: image, containerDirectory: directory });
  } catch (thrown) {
    throw undone(thrown, () => removeLocked(directory, () => {}));
  }
  return { rootfs };
}

function claim(directory: string, id: string, source: ImageSource): void {
  const real = realpathSync.native(directory.slice(0, directory.lastIndexOf('/')));
  if (`${real}/`.startsWith(source.directory === '/' ? '/' : `${source.directory}/`)) {
    throw new RuncellError({
      code: 'storage.source',
      operation: 'image',
      target: source.directory,
      reason: `contains ${real}, where its own containers would be`,
      hint: 'keep the image outside of the state root, or choose another --root',
    });
  }
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') throw alreadyThere(id);
    throw toRuncellError(thrown, { code: 'storage.operation' });
  }
}

function alreadyThere(id: string): RuncellError {
  return new RuncellError({
    code: 'state.exists',
    operation: 'image of container',
    target: id,
    reason: 'already exists',
    hint: `\`storage cleanup --container-id ${id}\` removes it`,
  });
}

/** `/` of the container is the upper layer's own directory: it has the image's mode and owner. */
function makeLayers(directory: string, source: ImageSource): void {
  symlinkSync(source.directory, `${directory}/${LAYER.image}`);
  const upper = `${directory}/${LAYER.upper}`;
  mkdirSync(upper, { mode: 0o700 });
  chownSync(upper, source.uid, source.gid);
  chmodSync(upper, source.mode); // after the chown, which clears set-id bits
  mkdirSync(`${directory}/${LAYER.work}`, { mode: 0o700 });
  const rootfs = `${directory}/${LAYER.rootfs}`;
  mkdirSync(rootfs, { mode: 0o755 });
  chmodSync(rootfs, 0o755); // whatever the umask
}

/** The error to throw on, with what failed of the undo. */
export function undone(thrown: unknown, undo: () => void): RuncellError {
  const error = toRuncellError(thrown, isRuncellError(thrown) ? {} : { code: 'storage.operation' });
  try {
    undo();
    return error;
  } catch (second) {
    return error.with({ undo: [...(error.fields.undo ?? []), toRuncellError(second).message] });
  }
}

/** Removes the image directory of a container; it must be one of runcell's, and not be in use. */
export function removeImage(context: Context, directory: string): void {
  using _lock = lockContainer(directory);
  removeLocked(directory, (line) => context.log.warn(line));
}

function removeLocked(directory: string, warn: (line: string) => void): void {
  const { unrecorded } = checkContents(directory, RECORD.image, KNOWN);
  if (!unrecorded) {
    loadImageRecord(directory, RECORD.image);
    unmountRootfs(directory, warn);
    removeMountPoint(`${directory}/${LAYER.rootfs}`);
  }
  using open = new OpenDirectory(directory);
  refuseMounts(directory);
  removeTrees(open, LAYERS);
  // The proof that these were ours goes after them.
  removeFiles(open, recordNames(RECORD.image));
  try {
    rmdirSync(directory);
  } catch (thrown) {
    throw toRuncellError(thrown, { code: 'storage.operation' });
  }
}

/** All that is mounted on the rootfs, the topmost first. */
function unmountRootfs(directory: string, warn: (line: string) => void): void {
  const real = `${realpathSync.native(directory)}/${LAYER.rootfs}`;
  for (let left = STACK_MAX; left > 0; left--) {
    const table = loadMountTable();
    if (!isMountPoint(table, real)) return;
    const below = mountsBelow(table, real);
    const detached = unmountAt({ parent: directory, name: LAYER.rootfs, detachWhenBusy: true });
    if (!detached) continue;
    const why = below.length === 0 ? 'a process uses it' : `${below.join(', ')} is mounted below`;
    warn(`umount ${real}: device or resource busy (EBUSY), detached instead: ${why}`);
  }
  const reason = `still a mount point after ${STACK_MAX} unmounts`;
  throw new RuncellError({ code: 'storage.operation', operation: 'umount', target: real, reason });
}

/** What is in the bare mount point was put there by somebody while nothing was mounted. */
function removeMountPoint(rootfs: string): void {
  try {
    rmdirSync(rootfs);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code !== 'ENOTEMPTY') throw toRuncellError(thrown, { code: 'storage.operation' });
    throw new RuncellError({
      code: 'storage.operation',
      operation: 'remove',
      target: rootfs,
      reason: "not empty without its overlay, and what is in it is not runcell's",
      hint: 'move away what is to be kept, and remove the rest by hand',
    });
  }
}

/** Nothing is deleted under a mount: a bind mount of the same filesystem looks like a directory. */
function refuseMounts(directory: string): void {
  const real = realpathSync.native(directory);
  const mounted = mountsBelow(loadMountTable(), real)[0];
  if (mounted === undefined) return;
  const reason = `${mounted} is still mounted`;
  throw new RuncellError({
    code: 'storage.operation',
    operation: 'remove',
    target: directory,
    reason,
    hint: 'unmount it first',
  });
}
