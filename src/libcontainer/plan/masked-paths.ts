/**
 * linux.maskedPaths and linux.readonlyPaths (runtime-spec 1.3 config-linux.md#masked-paths).
 *
 * A file is covered by the host's /dev/null, opened and verified by init in its copy of the host's
 * tree (never the container's: CVE-2025-31133); directories by one shared empty read-only tmpfs.
 * Only a missing target is tolerated. Pure.
 */

import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
} from '../linux/fcntl.ts';
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from '../linux/mount.ts';
import { S_IFCHR, S_IFDIR, S_IFMT, STATX_MODE, STATX_TYPE } from '../linux/stat.ts';
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import { type Draft, mountAttr, openInRoot, statxBuffer } from './draft.ts';
import type { InitFds } from './fds.ts';

const CLONE = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
const BY_FD = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

/** Device number 1:3 as two adjacent u32 words, major first. */
const NULL_DEVICE = (3n << 32n) | 1n;

/** Before the root is attached: the host's /dev/null, which must be that. */
export function planMaskSource(draft: Draft): Slot | undefined {
  if (!masks(draft)) return undefined;
  const b = draft.builder;
  b.section('linux.maskedPaths', 'take the host /dev/null', '/dev/null');
  const nullFd = b.slot('null');
  const flags = O_PATH | O_CLOEXEC | O_NOFOLLOW(b.arch);
  b.call('openat', [AT_FDCWD, b.string('/dev/null'), flags], { into: nullFd });
  verifyNull(b, nullFd);
  return nullFd;
}

/**
 * After the pivot, when the host's tree is gone: the container's /dev/null, below the root and
 * verified to be the null device, as descriptor and not as path.
 */
export function planOwnMaskSource(draft: Draft, fds: InitFds): Slot | undefined {
  if (!masks(draft)) return undefined;
  const b = draft.builder;
  b.section('linux.maskedPaths', 'take /dev/null', '/dev/null');
  const nullFd = b.slot('null');
  openInRoot(b, fds.root, '/dev/null', nullFd);
  verifyNull(b, nullFd);
  return nullFd;
}

function verifyNull(b: ProgramBuilder, nullFd: Slot): void {
  const { buffer, mode, rdev } = statxBuffer(b);
  b.call('statx', [nullFd, b.string(''), AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, buffer]);
  b.check(mode, S_IFMT, S_IFCHR, 'ENODEV', { note: '/dev/null is no character device' });
  b.check(rdev, 0xffffffffffffffffn, NULL_DEVICE, 'ENODEV', {
    note: '/dev/null is another device',
  });
}

function masks(draft: Draft): boolean {
  return draft.hasMountNamespace && (draft.config.linux?.maskedPaths?.length ?? 0) > 0;
}

export function planMaskedPaths(draft: Draft, fds: InitFds, nullFd: Slot | undefined): void {
  if (nullFd === undefined) return;
  const b = draft.builder;
  b.section('linux.maskedPaths', 'make the empty directory that masks', 'tmpfs');
  const empty = makeEmptyDirectory(b, fds);
  const attached = b.slot('mask attached');
  b.sum(attached, 0);
  for (const [index, path] of distinct(draft.config.linux?.maskedPaths)) {
    draft.breathe();
    const b = draft.builder;
    b.section(`linux.maskedPaths[${index}]`, `mask ${path}`, path);
    maskPath(b, fds, path, { nullFd, empty, attached });
  }
  for (const fd of [empty, nullFd]) draft.builder.call('close', [fd]);
}

/** One tmpfs for all masked directories: each costs a mount, not a superblock (runc#5275). */
function makeEmptyDirectory(b: ProgramBuilder, fds: InitFds): Slot {
  const empty = b.slot('empty directory');
  b.call('fsopen', [b.string('tmpfs'), FSOPEN_CLOEXEC], { into: fds.fs });
  for (const [key, value] of [
    ['source', 'tmpfs'],
    // Two, not one: Ubuntu 20.04's kernel refuses to make the root directory with one.
    ['nr_inodes', '2'],
    ['nr_blocks', '1'],
    ['mode', '0755'],
  ] as const) {
    b.call('fsconfig', [fds.fs, FSCONFIG_SET_STRING, b.string(key), b.string(value), 0]);
  }
  b.call('fsconfig', [fds.fs, FSCONFIG_SET_FLAG, b.string('ro'), 0, 0]);
  b.call('fsconfig', [fds.fs, FSCONFIG_CMD_CREATE, 0, 0, 0]);
  const attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  b.call('fsmount', [fds.fs, FSMOUNT_CLOEXEC, attr], { into: empty });
  b.call('close', [fds.fs]);
  b.sum(fds.fs, -1);
  return empty;
}

function maskPath(
  b: ProgramBuilder,
  fds: InitFds,
  path: string,
  mask: { nullFd: Slot; empty: Slot; attached: Slot },
): void {
  const [done, file, first, attach] = [b.label(), b.label(), b.label(), b.label()];
  openInRoot(b, fds.root, path, fds.destination, {
    tolerate: ['ENOENT', 'ENOTDIR'],
    onError: done,
  });
  const { buffer, mode } = statxBuffer(b);
  const none = b.string('');
  b.call('statx', [fds.destination, none, AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, buffer]);
  b.check(mode, S_IFMT, S_IFDIR, 'ENOTDIR', { onError: file });
  // The mount is attached once; the kernel clones only mounts that are attached (before 6.15).
  b.jumpIfZero(mask.attached, first);
  b.call('open_tree', [mask.empty, none, CLONE], { into: fds.mount });
  b.jump(attach);
  b.place(first);
  b.call('move_mount', [mask.empty, none, fds.destination, none, BY_FD]);
  b.sum(mask.attached, 1);
  b.call('close', [fds.destination]);
  b.jump(done);
  b.place(file);
  b.call('open_tree', [mask.nullFd, none, CLONE], { into: fds.mount });
  b.place(attach);
  b.call('move_mount', [fds.mount, none, fds.destination, none, BY_FD]);
  b.call('close', [fds.mount]);
  b.call('close', [fds.destination]);
  b.place(done);
}

/** Each path once, with the place of its first mention. */
function distinct(paths: readonly string[] = []): [index: number, path: string][] {
  return paths
    .map((path, index): [number, string] => [index, path])
    .filter(([index, path]) => paths.indexOf(path) === index);
}

export function planReadonlyPaths(draft: Draft, fds: InitFds): void {
  if (!draft.hasMountNamespace) return;
  for (const [index, path] of distinct(draft.config.linux?.readonlyPaths)) {
    draft.breathe();
    const b = draft.builder;
    b.section(`linux.readonlyPaths[${index}]`, `make ${path} read-only`, path);
    const done = b.label();
    openInRoot(b, fds.root, path, fds.destination, {
      tolerate: ['ENOENT', 'ENOTDIR'],
      onError: done,
    });
    const none = b.string('');
    b.call('open_tree', [fds.destination, none, CLONE | AT_RECURSIVE], { into: fds.mount });
    const attr = mountAttr(b, { set: MOUNT_ATTR_RDONLY });
    const all = AT_EMPTY_PATH | AT_RECURSIVE;
    b.call('mount_setattr', [fds.mount, none, all, attr.pointer, attr.size]);
    b.call('move_mount', [fds.mount, none, fds.destination, none, BY_FD]);
    b.call('close', [fds.mount]);
    b.call('close', [fds.destination]);
    b.place(done);
  }
}
