/**
 * P1 to P3: which paths a program may give to the kernel.
 *
 * P1: a path is resolved by openat2(2) below a descriptor (IN_ROOT or BENEATH, no magic links), or is
 * a single component whose last link is not followed, or is empty (the descriptor itself), or names
 * something on the host before the program's root changes. P2: mounts are attached and detached by
 * descriptor; umount2 only in the pivot idiom. P3: no path leads through /proc/self/fd.
 * After the root changed an absolute path is the container's own: chdir, execve and the lookup of
 * the executable may use one, nothing that yields a descriptor or changes a file.
 */

import * as fcntl from '../../linux/fcntl.ts';
import * as mount from '../../linux/mount.ts';
import { CLONE_NEWNS } from '../../linux/sched.ts';
import type { DecodedOp, Image, Word } from '../print/image.ts';
import { type AnySyscall, signatureOf } from '../print/signatures.ts';
import { analyse, type Facts } from './flow.ts';

type Add = (op: DecodedOp, text: string) => void;

const ROOT = 'root';
const PIVOTED = 'pivoted';

/** Calls that never follow a link in the last component: symlink(7). */
const NEVER_FOLLOW = new Set([
  'mkdirat',
  'mknodat',
  'symlinkat',
  'unlinkat',
  'renameat2',
  'readlinkat',
]);
/** The argument with AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH or O_NOFOLLOW of those that can follow. */
const FLAGS_AT: Readonly<Record<string, number>> = {
  openat: 2,
  fchownat: 4,
  fchmodat2: 3,
  statx: 2,
  newfstatat: 3,
  faccessat2: 3,
  open_tree: 2,
  mount_setattr: 2,
  execveat: 4,
  move_mount: 4,
  linkat: 4,
};
/** What may name a path of the container once the root is the container's. */
const INSIDE = new Set(['chdir', 'execve', 'statx', 'faccessat2', 'mount_setattr']);
const THROUGH_DESCRIPTORS = /^\/(proc\/(self|thread-self|\d+)(\/task\/\d+)?|dev)\/fd(\/|$)/;

export function pathProblems(image: Image, root: 'host' | 'container', add: Add): void {
  const before = analyse(image, new Map([[ROOT, root]]), (facts, op) =>
    rootAfter(image, facts, op),
  );
  for (const op of image.ops) {
    const name = image.syscall(op.nr) as AnySyscall | undefined;
    const facts = before[op.index];
    if (name === undefined || facts === undefined) continue;
    if (isMountCall(name)) {
      const problem = mountProblem(image, op, name, facts);
      if (problem !== undefined) add(op, problem);
      continue;
    }
    const kinds = signatureOf(name, op.args);
    kinds.forEach((kind, k) => {
      if (kind !== 'path') return;
      const directory = kinds[k - 1] === 'dirFd' ? op.args[k - 1] : undefined;
      const operand = { name, position: k, directory, isInside: facts.get(ROOT) !== 'host' };
      const problem = pathProblem(image, op, operand);
      if (problem !== undefined) add(op, problem);
    });
  }
}

/** `root` is the container's after pivot_root, chroot, or joining a mount namespace. */
function rootAfter(image: Image, facts: Facts, op: DecodedOp): Facts {
  const name = image.syscall(op.nr);
  const joinsMounts = name === 'setns' && (op.args[1]!.value & BigInt(CLONE_NEWNS)) !== 0n;
  if (name !== 'pivot_root' && name !== 'chroot' && !joinsMounts) return facts;
  const after = new Map(facts).set(ROOT, 'container');
  return name === 'pivot_root' ? after.set(PIVOTED, 'yes') : after;
}

function isMountCall(name: string): boolean {
  return name === 'mount' || name === 'umount2' || name === 'pivot_root' || name === 'chroot';
}

/** P2. */
function mountProblem(image: Image, op: DecodedOp, name: string, facts: Facts): string | undefined {
  const path = text(image, op.args[0]!);
  if (name === 'mount') return 'P2: mount(2) works by path';
  if (name === 'chroot') return path === '.' ? undefined : 'P2: chroot to a path';
  if (name === 'pivot_root') {
    const isIdiom = path === '.' && text(image, op.args[1]!) === '.';
    return isIdiom ? undefined : 'P2: pivot_root by path';
  }
  const flags = Number(op.args[1]!.value);
  const detaches = (flags & mount.MNT_DETACH) !== 0;
  if (path === '.' && detaches && facts.get(PIVOTED) === 'yes') return undefined;
  // Without pivot_root the old /proc and /sys are detached before the chroot (runc's msMoveRoot).
  const isOldRoot = (path === '/proc' || path === '/sys') && detaches;
  if (isOldRoot && facts.get(ROOT) === 'host') return undefined;
  const UMOUNT_NOFOLLOW = 8;
  const isComponent = path !== undefined && isSingle(path) && (flags & UMOUNT_NOFOLLOW) !== 0;
  return isComponent ? undefined : `P2: umount2 of ${path ?? 'an unknown path'}`;
}

interface Operand {
  readonly name: string;
  readonly position: number;
  readonly directory: Word | undefined;
  readonly isInside: boolean;
}

function pathProblem(image: Image, op: DecodedOp, operand: Operand): string | undefined {
  const { name, directory, isInside } = operand;
  const word = op.args[operand.position]!;
  const path = text(image, word);
  if (path === undefined) {
    // The lookup in PATH leaves the address of the string it found in a slot: it is executed, or
    // its head is read to tell why not.
    const isProgram = word.loaded && (name === 'execve' || (name === 'openat' && isInside));
    return isProgram ? undefined : `P1: ${name} of a path not known here`;
  }
  if (THROUGH_DESCRIPTORS.test(path)) return `P3: ${name} through ${path}`;
  if (path === '') return isEmptyAllowed(op, operand) ? undefined : `P1: ${name} of ''`;
  if (path.startsWith('/')) {
    // The root itself is no way anywhere.
    const inside = INSIDE.has(name) || (name === 'openat' && path === '/');
    if (isInside ? inside : directory === undefined || isCwd(directory)) return undefined;
    return `P1: ${name} of ${path} ${isInside ? 'in the container' : 'beside a descriptor'}`;
  }
  if (name === 'execve') return undefined; // relative to cwd, which the program has verified
  if (directory === undefined || isCwd(directory)) {
    return `P1: ${name} of ${path}, relative to the working directory`;
  }
  if (name === 'openat2') return resolveProblem(image, op);
  if (isOwnFilesystem(image, directory)) return undefined;
  if (path === '.') return undefined;
  if (!isSingle(path)) return `P1: ${name} of ${path}, more than one component`;
  return isFollowed(image, op, operand) ? `P1: ${name} of ${path} follows a link` : undefined;
}

function resolveProblem(image: Image, op: DecodedOp): string | undefined {
  const how = op.args[2]!;
  const resolve = how.loaded ? undefined : image.read(how.value + 16n, 8);
  if (resolve === undefined) return 'P1: openat2 with a resolution not known here';
  const bounded = BigInt(fcntl.RESOLVE_IN_ROOT | fcntl.RESOLVE_BENEATH);
  const safe = BigInt(fcntl.RESOLVE_NO_MAGICLINKS);
  if ((resolve & bounded) === 0n) return 'P1: openat2 is not bounded by its directory';
  // RESOLVE_NO_SYMLINKS implies no magic links: openat2(2).
  const isSafe = (resolve & (safe | BigInt(fcntl.RESOLVE_NO_SYMLINKS))) !== 0n;
  return isSafe ? undefined : 'P1: openat2 follows magic links';
}

/** A filesystem that the program itself just made and nobody else can reach. */
function isOwnFilesystem(image: Image, directory: Word): boolean {
  if (!directory.loaded) return false;
  const makers = image.ops.filter((op) => op.result === directory.value);
  return makers.length > 0 && makers.every((op) => image.syscall(op.nr) === 'fsmount');
}

function isEmptyAllowed(op: DecodedOp, { name, position }: Operand): boolean {
  const flags = FLAGS_AT[name];
  if (flags === undefined) return false;
  const value = op.args[flags]!.value;
  if (name !== 'move_mount') return (value & BigInt(fcntl.AT_EMPTY_PATH)) !== 0n;
  const needed = position === 1 ? mount.MOVE_MOUNT_F_EMPTY_PATH : mount.MOVE_MOUNT_T_EMPTY_PATH;
  return (value & BigInt(needed)) !== 0n;
}

function isFollowed(image: Image, op: DecodedOp, { name }: Operand): boolean {
  if (NEVER_FOLLOW.has(name)) return false;
  const position = FLAGS_AT[name];
  if (position === undefined) return true;
  const flags = op.args[position]!.value;
  // move_mount and linkat follow only when they are told to.
  if (name === 'move_mount') return (flags & 0x11n) !== 0n;
  if (name === 'linkat') return (flags & 0x400n) !== 0n;
  const nofollow =
    name === 'openat' ? fcntl.O_NOFOLLOW(image.program.arch) : fcntl.AT_SYMLINK_NOFOLLOW;
  return (flags & BigInt(nofollow)) === 0n;
}

function isCwd(directory: Word): boolean {
  return !directory.loaded && BigInt.asIntN(32, directory.value) === BigInt(fcntl.AT_FDCWD);
}

function isSingle(path: string): boolean {
  return !path.includes('/') && path !== '..' && path !== '.';
}

/** The string an argument points to, undefined when it is not in the encoded data. */
function text(image: Image, word: Word): string | undefined {
  if (word.loaded) return undefined;
  const bytes = image.string(word.value);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
