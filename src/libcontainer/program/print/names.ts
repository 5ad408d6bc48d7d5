/**
 * Numbers as the kernel's names: flag sets, commands, modes.
 *
 * The names are those that src/libcontainer/linux exports; EXTRA adds the ones no planner needs a
 * constant for, so that an unexpected flag is still readable. Where both know a name, linux/ wins
 * (a unit test compares them). What has no name is shown as a number: nothing is hidden.
 */

import type { Arch } from '../../linux/arch.ts';
import * as bpf from '../../linux/bpf.ts';
import * as capability from '../../linux/capability.ts';
import * as fcntl from '../../linux/fcntl.ts';
import * as mempolicy from '../../linux/mempolicy.ts';
import * as mount from '../../linux/mount.ts';
import * as sched from '../../linux/sched.ts';
import * as socket from '../../linux/socket.ts';
import * as stat from '../../linux/stat.ts';

/** include/uapi: asm-generic/{fcntl,mman-common,socket,ioctls,poll}.h, linux/{mount,sched,…}.h. */
export const EXTRA: Readonly<Record<string, number>> = {
  O_DSYNC: 0o10000,
  O_NOATIME: 0o1000000,
  O_SYNC: 0o4010000,
  AT_SYMLINK_FOLLOW: 0x400,
  AT_NO_AUTOMOUNT: 0x800,
  AT_STATX_FORCE_SYNC: 0x2000,
  AT_STATX_DONT_SYNC: 0x4000,
  RESOLVE_CACHED: 0x20,
  F_OFD_SETLK: 37,
  F_SEAL_FUTURE_WRITE: 0x10,
  MFD_NOEXEC_SEAL: 8,
  CLOSE_RANGE_UNSHARE: 2,
  MS_RDONLY: 1,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_REMOUNT: 0x20,
  MS_NOATIME: 0x400,
  MS_BIND: 0x1000,
  MS_MOVE: 0x2000,
  MS_SILENT: 0x8000,
  MNT_FORCE: 1,
  MNT_EXPIRE: 4,
  UMOUNT_NOFOLLOW: 8,
  MOVE_MOUNT_F_SYMLINKS: 1,
  MOVE_MOUNT_F_AUTOMOUNTS: 2,
  MOVE_MOUNT_T_SYMLINKS: 0x10,
  MOVE_MOUNT_T_AUTOMOUNTS: 0x20,
  MOVE_MOUNT_SET_GROUP: 0x100,
  MOVE_MOUNT_BENEATH: 0x200,
  FSCONFIG_SET_BINARY: 2,
  FSCONFIG_SET_PATH: 3,
  FSCONFIG_SET_PATH_EMPTY: 4,
  FSCONFIG_SET_FD: 5,
  FSCONFIG_CMD_RECONFIGURE: 7,
  FSCONFIG_CMD_CREATE_EXCL: 8,
  FSPICK_CLOEXEC: 1,
  FSPICK_SYMLINK_NOFOLLOW: 2,
  FSPICK_NO_AUTOMOUNT: 4,
  FSPICK_EMPTY_PATH: 8,
  CLONE_FS: 0x200,
  CLONE_FILES: 0x400,
  CLONE_SIGHAND: 0x800,
  CLONE_PTRACE: 0x2000,
  CLONE_VFORK: 0x4000,
  CLONE_THREAD: 0x10000,
  CLONE_CLEAR_SIGHAND: 0x100000000,
  P_ALL: 0,
  P_PGID: 2,
  WUNTRACED: 2,
  WCONTINUED: 8,
  PR_SET_PDEATHSIG: 1,
  PR_SET_SECCOMP: 22,
  PR_CAP_AMBIENT_IS_SET: 1,
  PR_CAP_AMBIENT_LOWER: 3,
  KEYCTL_DESCRIBE: 6,
  IOPRIO_WHO_PROCESS: 1,
  IOPRIO_WHO_USER: 3,
  IOPRIO_CLASS_NONE: 0,
  SIG_UNBLOCK: 1,
  SA_NOCLDSTOP: 1,
  SA_NOCLDWAIT: 2,
  SA_SIGINFO: 4,
  SA_ONSTACK: 0x8000000,
  SA_RESTART: 0x10000000,
  SA_NODEFER: 0x40000000,
  SA_RESETHAND: 0x80000000,
  POLLPRI: 2,
  POLLOUT: 4,
  POLLERR: 8,
  POLLHUP: 16,
  SOCK_SEQPACKET: 5,
  SOCK_NONBLOCK: 0o4000,
  SO_PEERCRED: 17,
  SO_RCVTIMEO: 20,
  SO_SNDTIMEO: 21,
  SCM_CREDENTIALS: 2,
  MSG_PEEK: 2,
  MSG_DONTWAIT: 0x40,
  MSG_WAITALL: 0x100,
  MSG_NOSIGNAL: 0x4000,
  MSG_CMSG_CLOEXEC: 0x40000000,
  SHUT_RD: 0,
  SHUT_WR: 1,
  SHUT_RDWR: 2,
  IFF_RUNNING: 0x40,
  TIOCGWINSZ: 0x5413,
  TIOCGPTN: 0x80045430,
  FIONBIO: 0x5421,
  NS_GET_USERNS: 0xb701,
  NS_GET_PARENT: 0xb702,
  R_OK: 4,
  STATX_NLINK: 0x4,
  STATX_UID: 0x8,
  STATX_GID: 0x10,
  STATX_SIZE: 0x200,
  STATX_MNT_ID: 0x1000,
  STATX_MNT_ID_UNIQUE: 0x4000,
  RENAME_NOREPLACE: 1,
  RENAME_EXCHANGE: 2,
  PROT_READ: 1,
  PROT_WRITE: 2,
  PROT_EXEC: 4,
  MAP_SHARED: 1,
  MAP_PRIVATE: 2,
  MAP_FIXED: 0x10,
  MAP_ANONYMOUS: 0x20,
  LOCK_SH: 1,
  LOCK_EX: 2,
  LOCK_NB: 4,
  LOCK_UN: 8,
  CLOCK_REALTIME: 0,
  CLOCK_MONOTONIC: 1,
  CLOCK_BOOTTIME: 7,
  GRND_NONBLOCK: 1,
  PIDFD_NONBLOCK: 0o4000,
  PRIO_PROCESS: 0,
  PRIO_PGRP: 1,
  PRIO_USER: 2,
  SECCOMP_SET_MODE_STRICT: 0,
  SECCOMP_SET_MODE_FILTER: 1,
  SECCOMP_GET_ACTION_AVAIL: 2,
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_NEW_LISTENER: 8,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 0x20,
  FUTEX_WAIT: 0,
  FUTEX_WAKE: 1,
  ARCH_SET_GS: 0x1001,
  ARCH_SET_FS: 0x1002,
};

/** Flags whose value depends on the architecture: arch/arm64/include/uapi/asm/fcntl.h. */
const ARCH_FLAGS: Readonly<Record<Arch, Readonly<Record<string, number>>>> = {
  x64: { O_DIRECT: 0o40000, O_LARGEFILE: 0o100000 },
  arm64: { O_DIRECT: 0o200000, O_LARGEFILE: 0o400000 },
};

export type Names = readonly (readonly [name: string, value: bigint])[];

const KNOWN = new Map<string, number>(Object.entries(EXTRA));
for (const [name, value] of exportedNumbers()) KNOWN.set(name, value);

/** Every number that linux/ exports under a kernel name. */
export function exportedNumbers(): [string, number][] {
  const modules = [bpf, fcntl, mount, sched, socket, stat];
  return modules
    .flatMap((module) => Object.entries(module) as [string, unknown][])
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .filter(([name]) => !/_SIZE$|_BYTES$|_SHIFT$|^MOUNT_ATTR_USERNS_FD$/.test(name));
}

/** The names that begin with `prefix`, but for those that `without` begins. */
function family(prefix: string, ...without: string[]): Names {
  return [...KNOWN]
    .filter(([name]) => name.startsWith(prefix) && !without.some((other) => name.startsWith(other)))
    .map(([name, value]) => [name, BigInt(value)] as const);
}

function table(names: Readonly<Record<string, number>>): Names {
  return Object.entries(names).map(([name, value]) => [name, BigInt(value)] as const);
}

/** Commands, modes, kinds: one name for the whole number. */
export const ENUMS = {
  fcntl: family('F_', 'F_SEAL_', 'F_OK'),
  fsconfig: family('FSCONFIG_'),
  ioctl: [...family('TIOC'), ...family('SIOC'), ...family('NS_GET_'), ...family('FIO')],
  idType: family('P_'),
  prctl: family('PR_', 'PR_CAP_AMBIENT_'),
  ambient: family('PR_CAP_AMBIENT_'),
  keyctl: family('KEYCTL_'),
  seek: family('SEEK_'),
  policy: table(sched.SCHED_NAMES),
  rlimit: table(sched.RLIMITS),
  ioprioWho: family('IOPRIO_WHO_'),
  ioprioClass: [...family('IOPRIO_CLASS_NONE'), ...table(sched.IOPRIO_CLASSES)],
  sigmask: family('SIG_'),
  capability: table(capability.CAPABILITIES),
  addressFamily: family('AF_'),
  socketType: family('SOCK_', 'SOCK_CLOEXEC', 'SOCK_NONBLOCK'),
  socketLevel: family('SOL_'),
  socketOption: family('SO_'),
  scm: family('SCM_'),
  shutdown: family('SHUT_'),
  clock: family('CLOCK_'),
  priorityWho: family('PRIO_'),
  seccomp: family('SECCOMP_', 'SECCOMP_FILTER_FLAG_'),
  bpf: [...family('BPF_PROG_', 'BPF_PROG_TYPE_'), ...family('BPF_OBJ_')],
  bpfProgType: family('BPF_PROG_TYPE_'),
  bpfAttachType: family('BPF_CGROUP_DEVICE'),
  memoryPolicy: table(mempolicy.MPOL_MODES),
  futex: family('FUTEX_'),
  archPrctl: family('ARCH_'),
  fileType: family('S_IF', 'S_IFMT'),
  magic: [...KNOWN]
    .filter(([name]) => name.endsWith('_MAGIC'))
    .map(([name, value]) => [name, BigInt(value)] as const),
  persona: table(sched.PERSONALITIES),
} satisfies Record<string, Names>;

const AT_PER_CALL = ['AT_FDCWD', 'AT_REMOVEDIR', 'AT_EACCESS', 'AT_RECURSIVE'];

/** Sets of bits. */
export const FLAGS = {
  at: family('AT_', ...AT_PER_CALL),
  atRecursive: family('AT_', 'AT_FDCWD', 'AT_REMOVEDIR', 'AT_EACCESS'),
  atUnlink: family('AT_REMOVEDIR'),
  atAccess: [...family('AT_EACCESS'), ...family('AT_', ...AT_PER_CALL)],
  resolve: family('RESOLVE_'),
  seals: family('F_SEAL_'),
  fd: family('FD_'),
  memfd: family('MFD_'),
  closeRange: family('CLOSE_RANGE_'),
  ms: family('MS_'),
  umount: [...family('MNT_'), ...family('UMOUNT_')],
  mountAttr: family('MOUNT_ATTR_'),
  openTree: [...family('OPEN_TREE_'), ...family('AT_', 'AT_FDCWD', 'AT_REMOVEDIR', 'AT_EACCESS')],
  moveMount: family('MOVE_MOUNT_'),
  fsopen: family('FSOPEN_'),
  fsmount: family('FSMOUNT_'),
  fspick: family('FSPICK_'),
  clone: family('CLONE_', 'CLONE_ARGS'),
  wait: family('W', 'W_OK'),
  sigaction: family('SA_'),
  sched: table(sched.SCHED_FLAGS),
  poll: family('POLL'),
  socket: [...family('SOCK_CLOEXEC'), ...family('SOCK_NONBLOCK')],
  message: family('MSG_'),
  interface: family('IFF_'),
  access: [...family('R_OK'), ...family('W_OK'), ...family('X_OK')],
  statx: family('STATX_'),
  rename: family('RENAME_'),
  protection: family('PROT_'),
  map: family('MAP_'),
  lock: family('LOCK_'),
  random: family('GRND_'),
  pidfd: family('PIDFD_'),
  seccomp: family('SECCOMP_FILTER_FLAG_'),
  bpfAttach: family('BPF_F_'),
  memoryPolicy: table(mempolicy.MPOL_FLAGS),
} satisfies Record<string, Names>;

export type EnumName = keyof typeof ENUMS;
export type FlagsName = keyof typeof FLAGS;

const ACCESS_MODES = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'];

/** The flags of open(2) and its relatives; the access mode is named unless O_PATH makes it void. */
export function openFlags(value: bigint, arch: Arch): string {
  const names: Names = [
    ...family('O_', 'O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_DIRECTORY', 'O_NOFOLLOW'),
    ['O_DIRECTORY', BigInt(fcntl.O_DIRECTORY(arch))],
    ['O_NOFOLLOW', BigInt(fcntl.O_NOFOLLOW(arch))],
    ...table(ARCH_FLAGS[arch]),
  ];
  const mode = Number(value & 3n);
  const rest = value & ~3n;
  const path = (value & BigInt(fcntl.O_PATH)) !== 0n && mode === 0;
  if (path) return flagSet(rest, names);
  return rest === 0n ? ACCESS_MODES[mode]! : `${ACCESS_MODES[mode]}|${flagSet(rest, names)}`;
}

/** `A|B|0x40`: names in the order of their bits, what has no name as a number; `0` for none. */
export function flagSet(value: bigint, names: Names): string {
  const found: [bigint, string][] = [];
  let rest = value;
  // Masks of several bits first, so that a whole mask is not shown as its parts.
  for (const [name, bits] of [...names].sort((a, b) => bitCount(b[1]) - bitCount(a[1]))) {
    if (bits <= 0n || (rest & bits) !== bits) continue;
    found.push([bits & -bits, name]);
    rest &= ~bits;
  }
  found.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const parts = found.map(([, name]) => name);
  if (rest !== 0n) parts.push(hex(rest));
  return parts.length === 0 ? '0' : parts.join('|');
}

/** The name of one value, the number itself where it has none. */
export function enumName(value: bigint, names: Names): string {
  return names.find(([, number]) => number === value)?.[0] ?? number(value);
}

/** Signed: -1 is -1; large values without a name in hexadecimal. */
export function number(value: bigint): string {
  const signed = BigInt.asIntN(64, value);
  return signed >= -0x100000000n && signed < 1n << 53n ? String(signed) : hex(value);
}

export function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function bitCount(value: bigint): number {
  let count = 0;
  for (let rest = value; rest > 0n; rest &= rest - 1n) count++;
  return count;
}
