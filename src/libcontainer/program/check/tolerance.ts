/**
 * P7: an error that a program lets pass is one that the operation expects, call by call.
 *
 * A row names the errors that may be no failure and why; any other is a mistake of the planner: a
 * tolerated EPERM of mount_setattr would be a container that runs without what it asked for.
 */

import { errnoName } from '../../linux/errno.ts';
import { O_CREAT, O_PATH, O_RDWR, O_WRONLY } from '../../linux/fcntl.ts';
import { JUMP_ON_ERROR } from '../op.ts';
import type { DecodedOp, Image } from '../print/image.ts';

const TOLERABLE: Readonly<Record<string, readonly string[]>> = {
  // Already there: what is there is verified afterwards, on its descriptor. EROFS: an existing
  // directory of a read-only root; the openat2 that follows decides.
  mkdirat: ['EEXIST', 'EROFS'],
  mknodat: ['EEXIST', 'EPERM'],
  symlinkat: ['EEXIST'],
  // Optional things: a masked path, an image's passwd, a missing mount point.
  openat: ['ENOENT', 'ENXIO', 'EACCES'],
  openat2: ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'],
  statx: ['ENOENT', 'ENOTDIR', 'EACCES'],
  faccessat2: ['ENOENT', 'ENOTDIR', 'EACCES'],
  unlinkat: ['ENOENT'],
  // cwd: root may be refused what the user may enter, tried again after the change of user.
  chdir: ['EACCES', 'EPERM', 'ENOENT'],
  // Not mounted any more; or in use, and then detached.
  umount2: ['EINVAL', 'ENOENT', 'EBUSY'],
  // A copied entry's owner without a mapping; ids of the user namespace.
  fchownat: ['EINVAL', 'EPERM'],
  fchown: ['EINVAL', 'EPERM'],
  // setgroups(2) is denied in a user namespace that an unprivileged caller made.
  setgroups: ['EPERM'],
  // Kernels without the feature: MFD_EXEC, F_SEAL_EXEC (6.3), FSCONFIG_SET_FD for layers (6.13).
  memfd_create: ['EINVAL'],
  fcntl: ['EINVAL', 'EBADF'],
  fsconfig: ['EINVAL'],
  // Capabilities above the last one; SIGKILL and SIGSTOP have no disposition.
  prctl: ['EINVAL'],
  rt_sigaction: ['EINVAL'],
  keyctl: ['ENOSYS', 'EACCES'],
  // The other side is gone, or there is nothing yet.
  close: ['EBADF'],
  read: ['EAGAIN', 'EINTR', 'EIO', 'EPIPE', 'ENODATA', 'ENOMSG'],
  write: ['EPIPE', 'EAGAIN'],
  ppoll: ['EINTR'],
  // A group may hold a program that changed its user.
  kill: ['ESRCH', 'EPERM'],
  // EINVAL: a number that the kernel does not let through is no reason to stop relaying.
  pidfd_send_signal: ['ESRCH', 'EINVAL'],

  wait4: ['ECHILD', 'EINTR'],
  waitid: ['ECHILD', 'EINTR'],
  setsid: ['EPERM'],
  setpgid: ['EPERM', 'ESRCH', 'EACCES'],
  ioctl: ['ENOTTY', 'EIO', 'EPERM'],
};

/**
 * Calls that may jump on whatever error: what they fail to do is told or done otherwise, and nothing
 * of the container depends on it. Opening counts when it is for reading only, never for a mount.
 */
const MAY_CATCH_ALL = new Set(['execve', 'execveat', 'statx', 'faccessat2', 'read', 'pread64']);

export function toleranceProblems(
  image: Image,
  rules: { readonly isSupervisor: boolean },
  add: (op: DecodedOp, text: string) => void,
): void {
  // A supervisor's errors all lead to the compiler, which decides.
  if (rules.isSupervisor) return;
  for (const op of image.ops) {
    const name = image.syscall(op.nr);
    if (name === undefined) continue;
    for (const errno of op.tolerated) {
      const text = errnoName(errno) ?? String(errno);
      const isListed = (TOLERABLE[name] ?? []).includes(text);
      const isKnown = text === 'EINVAL' && (becomesMappedRoot(op, name) || closesUpTo(op, name));
      if (!isListed && !isKnown) add(op, `P7: ${name} tolerates ${text}`);
    }
    const catchesAll = (op.flags & JUMP_ON_ERROR) !== 0 && op.tolerated.length === 0;
    if (catchesAll && !MAY_CATCH_ALL.has(name) && !isInformative(image, op, name)) {
      add(op, `P7: ${name} tolerates every error`);
    }
  }
}

/**
 * Root of a user namespace that has just been entered, where 0 may have no mapping (EINVAL). The
 * identity of the configuration, which comes later, is never tolerated.
 */
function becomesMappedRoot(op: DecodedOp, name: string): boolean {
  const isSetId = name === 'setresuid' || name === 'setresgid';
  return isSetId && op.args.slice(0, 3).every((word) => !word.loaded && word.value === 0n);
}

/**
 * Up to just below a descriptor that is known only when the op runs: nothing may be there. The flags
 * are none, so a last number below the first is the only reason for EINVAL (close_range(2)).
 */
function closesUpTo(op: DecodedOp, name: string): boolean {
  const [, last, flags] = op.args;
  return name === 'close_range' && last!.loaded && !flags!.loaded && flags!.value === 0n;
}

/** Reading a file to tell what is in it, or a last word before the process ends anyway. */
function isInformative(image: Image, op: DecodedOp, name: string): boolean {
  if (image.syscall(image.ops[op.target]!.nr) === 'exit_group') return true;
  const changes = BigInt(O_WRONLY | O_RDWR | O_CREAT | O_PATH);
  if (name === 'openat') return (op.args[2]!.value & changes) === 0n;
  if (name === 'openat2') return ((image.read(op.args[2]!.value, 8) ?? changes) & changes) === 0n;
  return false;
}
