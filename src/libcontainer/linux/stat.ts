/** File types and statx: include/uapi/linux/stat.h, linux/magic.h, linux/kdev_t.h. No I/O. */

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

export const STATX_TYPE = 0x1;
export const STATX_MODE = 0x2;
export const STATX_INO = 0x100;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_SIZE_BYTES = 256;
/** Offsets in struct statx. */
export const STATX = {
  mask: 0,
  mode: 28,
  ino: 32,
  size: 40,
  rdevMajor: 128,
  rdevMinor: 132,
} as const;

export const W_OK = 2;
export const X_OK = 1;
export const F_OK = 0;

/** Filesystem magics, linux/magic.h. */
export const PROC_SUPER_MAGIC = 0x9fa0;
export const SYSFS_MAGIC = 0x62656572;
export const TMPFS_MAGIC = 0x01021994;
export const DEVPTS_SUPER_MAGIC = 0x1cd1;
export const CGROUP2_SUPER_MAGIC = 0x63677270;
export const CGROUP_SUPER_MAGIC = 0x27e0eb;
export const NSFS_MAGIC = 0x6e736673;

/** Size of the buffer fstatfs(2) fills; f_type is its first word. */
export const STATFS_SIZE_BYTES = 120;

/** The kernel's encoding of a device number for mknod(2): new_encode_dev in linux/kdev_t.h. */
export function makedev(major: number, minor: number): number {
  return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12);
}
