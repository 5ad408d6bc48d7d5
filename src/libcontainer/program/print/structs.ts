/**
 * The layout of the structs that programs hand to the kernel, as tables: x86-64 and arm64 agree.
 *
 * Man pages: openat2(2), clone(2), mount_setattr(2), sigaction(2), getrlimit(2), sched_setattr(2),
 * netdevice(7), statx(2), statfs(2), poll(2), ioctl_tty(2), waitid(2). No code, only facts.
 */

import type { ScalarKind } from './kinds.ts';

/** A struct's field is no struct itself, but it may be the address of a word to fill. */
type FieldKind = ScalarKind | 'out:word';

export interface Field {
  readonly name: string;
  readonly at: number;
  readonly size: 2 | 4 | 8;
  readonly kind: FieldKind;
  /** Shown even when it is 0. */
  readonly always?: true;
}

export interface Struct {
  readonly size: number;
  readonly fields: readonly Field[];
}

const u64 = (name: string, at: number, kind: FieldKind = 'number'): Field => ({
  name,
  at,
  size: 8,
  kind,
});
const u32 = (name: string, at: number, kind: FieldKind = 'number'): Field => ({
  name,
  at,
  size: 4,
  kind,
});
const u16 = (name: string, at: number, kind: FieldKind = 'number'): Field => ({
  name,
  at,
  size: 2,
  kind,
});
const always = (field: Field): Field => ({ ...field, always: true });

export const STRUCTS = {
  /** linux/openat2.h: struct open_how. */
  open_how: {
    size: 24,
    fields: [
      always(u64('flags', 0, 'openFlags')),
      u64('mode', 8, 'octal'),
      always(u64('resolve', 16, 'flags:resolve')),
    ],
  },
  /** linux/sched.h: struct clone_args, CLONE_ARGS_SIZE_VER2. */
  clone_args: {
    size: 88,
    fields: [
      always(u64('flags', 0, 'flags:clone')),
      u64('pidfd', 8, 'out:word'),
      u64('child_tid', 16, 'out:word'),
      u64('parent_tid', 24, 'out:word'),
      u64('exit_signal', 32, 'signal'),
      u64('stack', 40, 'address'),
      u64('stack_size', 48),
      u64('tls', 56, 'address'),
      u64('set_tid', 64, 'address'),
      u64('set_tid_size', 72),
      u64('cgroup', 80, 'fd'),
    ],
  },
  /** linux/mount.h: struct mount_attr. */
  mount_attr: {
    size: 32,
    fields: [
      u64('attr_set', 0, 'flags:mountAttr'),
      u64('attr_clr', 8, 'flags:mountAttr'),
      u64('propagation', 16, 'flags:ms'),
      u64('userns_fd', 24, 'fd'),
    ],
  },
  /** As rt_sigaction(2) takes it; arm64 has sa_restorer too. */
  sigaction: {
    size: 32,
    fields: [
      always(u64('handler', 0, 'handler')),
      u64('flags', 8, 'flags:sigaction'),
      u64('restorer', 16, 'handler'),
      u64('mask', 24, 'signalMask'),
    ],
  },
  /** prlimit64(2): struct rlimit64. */
  rlimit: { size: 16, fields: [always(u64('soft', 0, 'limit')), always(u64('hard', 8, 'limit'))] },
  /** linux/sched/types.h: struct sched_attr; 56 bytes with the clamps. */
  sched_attr: {
    size: 48,
    fields: [
      u32('size', 0),
      always(u32('policy', 4, 'enum:policy')),
      u64('flags', 8, 'flags:sched'),
      u32('nice', 16, 'int'),
      u32('priority', 20),
      u64('runtime', 24),
      u64('deadline', 32),
      u64('period', 40),
    ],
  },
  /** linux/time_types.h: struct __kernel_timespec. */
  timespec: { size: 16, fields: [always(u64('sec', 0)), always(u64('nsec', 8))] },
  /** asm-generic/termios.h: struct winsize. */
  winsize: {
    size: 8,
    fields: [always(u16('rows', 0)), always(u16('columns', 2)), u16('xpixel', 4), u16('ypixel', 6)],
  },
  /** linux/stat.h: struct statx, the fields that programs look at. */
  statx: {
    size: 256,
    fields: [
      u32('mask', 0),
      u32('nlink', 16),
      u32('uid', 20),
      u32('gid', 24),
      u16('mode', 28),
      u64('ino', 32),
      u64('size', 40),
      u32('rdev_major', 128),
      u32('rdev_minor', 132),
      u32('dev_major', 136),
      u32('dev_minor', 140),
      u64('mnt_id', 144),
    ],
  },
  /** asm-generic/statfs.h: struct statfs. */
  statfs: { size: 120, fields: [u64('type', 0), u64('bsize', 8), u64('flags', 80)] },
  /** asm-generic/siginfo.h: what waitid(2) fills of siginfo_t. */
  siginfo: {
    size: 128,
    fields: [
      u32('signo', 0),
      u32('errno', 4),
      u32('code', 8),
      u32('pid', 16),
      u32('uid', 20),
      u32('status', 24),
    ],
  },
  /** linux/signalfd.h: struct signalfd_siginfo. */
  signalfd_siginfo: { size: 128, fields: [u32('signo', 0), u32('pid', 12)] },
  /** sys/socket.h: struct ucred, of SO_PEERCRED. */
  ucred: { size: 12, fields: [u32('pid', 0), u32('uid', 4), u32('gid', 8)] },
  /** A single word, a single int, the two ints of pipe2(2). */
  word: { size: 8, fields: [] },
  int: { size: 4, fields: [] },
  pair: { size: 8, fields: [u32('[0]', 0), u32('[1]', 4)] },
  /** What the kernel may fill and no program looks into: rusage(2), stat(2), sockaddr_storage. */
  rusage: { size: 144, fields: [] },
  stat: { size: 128, fields: [] },
} satisfies Record<string, Struct>;

export type StructName = keyof typeof STRUCTS;
