/** fcntl and open constants: include/uapi/asm-generic/fcntl.h, linux/fcntl.h, linux/openat2.h. No I/O. */

import type { Arch } from './arch.ts';

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EACCESS = 0x200;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

/** Flags of open(2) that have the same value everywhere; the others differ by architecture. */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

/** arch/arm64/include/uapi/asm/fcntl.h swaps O_DIRECTORY and O_NOFOLLOW with O_DIRECT and O_LARGEFILE. */
export function O_DIRECTORY(arch: Arch): number {
  return arch === 'arm64' ? 0o40000 : 0o200000;
}
export function O_NOFOLLOW(arch: Arch): number {
  return arch === 'arm64' ? 0o100000 : 0o400000;
}

/** openat2(2): struct open_how is {u64 flags, u64 mode, u64 resolve}. */
export const OPEN_HOW_SIZE = 24;
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

export const F_DUPFD = 0;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;
export const FD_CLOEXEC = 1;

/** memfd seals: linux/fcntl.h. */
export const F_SEAL_SEAL = 0x01;
export const F_SEAL_SHRINK = 0x02;
export const F_SEAL_GROW = 0x04;
export const F_SEAL_WRITE = 0x08;
export const F_SEAL_EXEC = 0x20;

/** memfd_create(2): linux/memfd.h. MFD_EXEC is Linux 6.3+. */
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const MFD_EXEC = 0x10;

/** close_range(2): linux/close_range.h; CLOEXEC is Linux 5.11+. */
export const CLOSE_RANGE_CLOEXEC = 4;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
