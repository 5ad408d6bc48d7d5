/**
 * The overlay that is a container's root: an image below, everything written above it.
 *
 * Layers are given by descriptor (Linux 6.13+, FSCONFIG_SET_FD), so that no byte of a path needs
 * escaping and none is too long. Below 6.13 the kernel wants strings of at most 255 bytes in which
 * `:` separates layers and, below 6.5, `,` options: there the executor goes into the container's
 * directory and names `image` (a link), `upper` and `work`, names that are always the same. The
 * mount is attached by descriptor and made private, and it is nodev: what the image calls
 * /dev/sda is a file. fsopen(2), fsconfig(2), move_mount(2), umount(2), kernel
 * Documentation/filesystems/overlayfs.rst. Pure, but for `mountOverlay` and `unmountAt` at the end.
 */

import { ERRNO } from '../libcontainer/linux/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
} from '../libcontainer/linux/fcntl.ts';
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  MS_PRIVATE,
} from '../libcontainer/linux/mount.ts';
import { mountAttr, openHostDirectory } from '../libcontainer/plan/draft.ts';
import type { Label, Program, ProgramBuilder, Slot } from '../libcontainer/program/builder.ts';
import {
  type HostFailure,
  hostBuilder,
  planDone,
  planFailure,
  runHostProgram,
} from './host-program.ts';
import { LAYER } from './layout.ts';

/** fsconfig(2) with a descriptor in its last argument: linux/mount.h. */
const FSCONFIG_SET_FD = 5;
/** umount2(2): do not follow a link as the last component, linux/fs.h. */
export const UMOUNT_NOFOLLOW = 8;

export interface Overlay {
  /** The image, absolute and without links. */
  readonly imageDirectory: string;
  /** The container's directory below `containers`; holds what LAYER names. */
  readonly containerDirectory: string;
  /** Name the layers as kernels before 6.13 need it. The program falls back to it by itself. */
  readonly byName?: boolean;
}

/** Ends with the overlay mounted on `rootfs` of the container's directory. */
export function planOverlay(b: ProgramBuilder, overlay: Overlay): Program {
  const { imageDirectory, containerDirectory, byName = false } = overlay;
  const [directory, mountPoint] = [b.slot('directory'), b.slot('mount point')];
  const [fs, mount] = [b.slot('fs'), b.slot('mount')];
  const [failed, named, layered] = [b.label(), b.label(), b.label()];

  b.section('', 'open', containerDirectory);
  openHostDirectory(b, containerDirectory, directory);
  const handle = O_PATH | O_DIRECTORY(b.arch) | O_NOFOLLOW(b.arch) | O_CLOEXEC;
  b.call('openat', [directory, b.string(LAYER.rootfs), handle], { into: mountPoint });

  b.section('', 'mount overlay', `${containerDirectory}/${LAYER.rootfs}`);
  openContext(b, fs, failed);
  if (!byName) {
    planLayersByFd(b, { directory, fs, imageDirectory, named });
    b.jump(layered);
  }
  b.place(named);
  planLayersByName(b, { directory, fs, failed });
  b.place(layered);
  // With the index on, the kernel ties upper and work together by file handles and refuses both
  // after the image was copied or restored; without it an upper is only files.
  setString(b, fs, 'index', 'off');
  b.call('fsconfig', [fs, FSCONFIG_CMD_CREATE, 0, 0, 0]);
  b.call('fsmount', [fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV], { into: mount });
  b.trap(undefined); // the context has nothing to say about what follows
  attachPrivately(b, mount, mountPoint);
  planDone(b);
  planFailure(b, failed, fs);
  return b.finish();
}

/** fsopen, from when on a failure can ask the context for the reason. */
function openContext(b: ProgramBuilder, fs: Slot, failed: Label): void {
  b.call('fsopen', [b.string('overlay'), FSOPEN_CLOEXEC], { into: fs });
  b.trap(failed);
  setString(b, fs, 'source', 'overlay');
}

/** Kernels that do not take descriptors say EINVAL; so do others to a layer they cannot use. */
function planLayersByFd(
  b: ProgramBuilder,
  at: { directory: Slot; fs: Slot; imageDirectory: string; named: Label },
): void {
  const layer = b.slot('layer');
  const flags = O_RDONLY | O_DIRECTORY(b.arch) | O_CLOEXEC;
  const set = (key: string) => {
    b.call('fsconfig', [at.fs, FSCONFIG_SET_FD, b.string(key), 0, layer], {
      tolerate: ['EINVAL'],
      onError: at.named,
    });
    b.call('close', [layer]);
  };
  b.call('openat', [AT_FDCWD, b.string(at.imageDirectory), flags], { into: layer });
  set('lowerdir+');
  for (const [key, name] of [
    ['upperdir', LAYER.upper],
    ['workdir', LAYER.work],
  ] as const) {
    const entry = flags | O_NOFOLLOW(b.arch);
    b.call('openat', [at.directory, b.string(name), entry], { into: layer });
    set(key);
  }
}

/** A context of its own: the first one has been told half of the layers. */
function planLayersByName(
  b: ProgramBuilder,
  at: { directory: Slot; fs: Slot; failed: Label },
): void {
  b.trap(undefined);
  b.call('close', [at.fs]);
  b.call('fchdir', [at.directory]);
  openContext(b, at.fs, at.failed);
  setString(b, at.fs, 'lowerdir', LAYER.image);
  setString(b, at.fs, 'upperdir', LAYER.upper);
  setString(b, at.fs, 'workdir', LAYER.work);
}

function setString(b: ProgramBuilder, fs: Slot, key: string, value: string): void {
  b.call('fsconfig', [fs, FSCONFIG_SET_STRING, b.string(key), b.string(value), 0]);
}

/**
 * A mount on a shared parent becomes shared itself, and what a container's tools mount below it
 * would then appear in every namespace of the host.
 */
function attachPrivately(b: ProgramBuilder, mount: Slot, mountPoint: Slot): void {
  const empty = b.string('');
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  b.call('move_mount', [mount, empty, mountPoint, empty, flags]);
  const attr = mountAttr(b, { propagation: MS_PRIVATE });
  b.call('mount_setattr', [mount, empty, AT_EMPTY_PATH, attr.pointer, attr.size]);
}

export interface Unmount {
  /** The directory that holds the mount point. */
  readonly parent: string;
  /** One component, never followed as a link. */
  readonly name: string;
  /** Detach a mount that is in use; otherwise that is an error. */
  readonly detachWhenBusy: boolean;
}

/** Unmounts what is on top; the answer is 1 when it was only detached. */
export function planUnmount(b: ProgramBuilder, unmount: Unmount): Program {
  const parent = b.slot('parent');
  const busy = b.label();
  b.section('', 'umount', `${unmount.parent === '/' ? '' : unmount.parent}/${unmount.name}`);
  openHostDirectory(b, unmount.parent, parent);
  b.call('fchdir', [parent]);
  const name = b.string(unmount.name);
  if (!unmount.detachWhenBusy) {
    b.call('umount2', [name, UMOUNT_NOFOLLOW]);
    planDone(b);
    return b.finish();
  }
  b.call('umount2', [name, UMOUNT_NOFOLLOW], { tolerate: ['EBUSY'], onError: busy });
  planDone(b);
  b.place(busy);
  b.call('umount2', [name, UMOUNT_NOFOLLOW | MNT_DETACH]);
  planDone(b, 1);
  return b.finish();
}

export function mountOverlay(overlay: Overlay): void {
  runHostProgram(planOverlay(hostBuilder(), overlay), hintForOverlay);
}

/** True when the mount was in use and is only detached. */
export function unmountAt(unmount: Unmount): boolean {
  return runHostProgram(planUnmount(hostBuilder(), unmount)) === 1;
}

function hintForOverlay({ errno, reason }: HostFailure): string | undefined {
  if (errno === ERRNO.ENODEV) return 'this kernel has no overlay filesystem (modprobe overlay)';
  if (errno === ERRNO.ELOOP)
    return 'the image and the state root must not lie inside of each other';
  if (/upper|work/.test(reason)) {
    return 'put --root on a filesystem that can be written through an overlay, as ext4 or tmpfs';
  }
  if (errno === ERRNO.EINVAL && reason === '') {
    return "the image's filesystem may not serve as an overlay's layer; the kernel's log says why";
  }
  return undefined;
}
