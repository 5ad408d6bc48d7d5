/**
 * The root of the container: cloned by the stage, attached by init on its own `/`, entered by
 * pivot_root(2) (runtime-spec 1.3 config.md#root, config-linux.md#rootfs-mount-propagation).
 *
 * The clone is attached on "/" itself, so init needs no access to the path of the rootfs, and the
 * detached tree's descriptor serves as the root for every later resolution (security.md H17). Pure.
 */

import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE } from '../linux/fcntl.ts';
import {
  MNT_DETACH,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS_PRIVATE,
  MS_SLAVE,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from '../linux/mount.ts';
import { type Draft, mountAttr, openHostDirectory } from './draft.ts';
import type { InitFds, StageFds } from './fds.ts';
import { PROPAGATIONS } from './mount-options.ts';

/** Stage: the rootfs with the mounts below it, as a detached tree. */
export function planRootSource(draft: Draft, fds: StageFds): void {
  const b = draft.builder;
  b.section('root.path', 'take the root filesystem', draft.options.rootfs);
  if (!draft.hasMountNamespace) {
    openHostDirectory(b, draft.options.rootfs, fds.root);
    return;
  }
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  b.call('open_tree', [AT_FDCWD, b.string(draft.options.rootfs), flags], { into: fds.root });
  // A peer of the host's mount would carry the container's mounts to the host, and pivot_root(2)
  // refuses a shared parent; what the configuration wants is applied after the pivot.
  const attr = mountAttr(b, { propagation: MS_SLAVE });
  const all = AT_EMPTY_PATH | AT_RECURSIVE;
  b.call('mount_setattr', [fds.root, b.string(''), all, attr.pointer, attr.size]);
}

/**
 * Init, first of its mount operations: nothing that happens from here on may reach the host, so its
 * copy of the host's tree becomes slave (never private: unmounts on the host must still arrive, or
 * a busy mount would stay alive in here until the pivot).
 */
export function planRootAttach(draft: Draft, fds: InitFds): void {
  if (!draft.hasMountNamespace) return;
  const b = draft.builder;
  b.section('root.path', 'attach the root filesystem', draft.options.rootfs);
  const attr = mountAttr(b, { propagation: MS_SLAVE });
  b.call('mount_setattr', [AT_FDCWD, b.string('/'), AT_RECURSIVE, attr.pointer, attr.size]);
  const from = b.string('');
  b.call('move_mount', [fds.root, from, AT_FDCWD, b.string('/'), MOVE_MOUNT_F_EMPTY_PATH]);
}

/** Init: the rootfs becomes `/` and the host's tree is gone, before anything of the image runs. */
export function planPivot(draft: Draft, fds: InitFds): void {
  const b = draft.builder;
  b.section('root.path', 'make it the root', draft.options.rootfs);
  if (!draft.hasMountNamespace || draft.options.noPivot) {
    enterByChroot(draft, fds);
    return;
  }
  b.call('fchdir', [fds.root]);
  const here = b.string('.');
  b.call('pivot_root', [here, here]);
  b.call('umount2', [here, MNT_DETACH]);
  b.call('chdir', [b.string('/')]);
}

/**
 * `--no-pivot`, for hosts whose root is an initramfs, and containers without a mount namespace. The
 * host's proc and sys are detached, so that they do not count as "fully visible" for a nested user
 * namespace (mount_namespaces(7); runc's msMoveRoot).
 */
function enterByChroot(draft: Draft, fds: InitFds): void {
  const b = draft.builder;
  if (draft.hasMountNamespace) {
    for (const path of ['/proc', '/sys']) {
      b.call('umount2', [b.string(path), MNT_DETACH], { tolerate: ['EINVAL', 'ENOENT'] });
    }
  }
  b.call('fchdir', [fds.root]);
  b.call('chroot', [b.string('.')]);
  b.call('chdir', [b.string('/')]);
}

/** Init, after the pivot: propagation of `/` as configured, then read-only if asked for. */
export function planRootAttributes(draft: Draft, fds: InitFds): void {
  const b = draft.builder;
  const wanted = draft.config.linux?.rootfsPropagation ?? '';
  if (wanted !== '' && draft.hasMountNamespace) {
    b.section('linux.rootfsPropagation', `make / ${wanted}`, '/');
    const recursive = wanted.startsWith('r');
    const flag = PROPAGATIONS[recursive ? wanted.slice(1) : wanted] ?? MS_PRIVATE;
    const attr = mountAttr(b, { propagation: flag });
    const at = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    b.call('mount_setattr', [fds.root, b.string(''), at, attr.pointer, attr.size]);
  }
  if (draft.config.root?.readonly === true && draft.hasMountNamespace) {
    b.section('root.readonly', 'make / read-only', '/');
    const attr = mountAttr(b, { set: MOUNT_ATTR_RDONLY });
    b.call('mount_setattr', [fds.root, b.string(''), AT_EMPTY_PATH, attr.pointer, attr.size]);
  }
}
