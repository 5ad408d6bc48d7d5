/**
 * Filters of system calls: include/uapi/linux/seccomp.h, filter.h, bpf_common.h, audit.h. No I/O.
 *
 * A filter is classic BPF over struct seccomp_data {i32 nr, u32 arch, u64 instruction_pointer,
 * u64 args[6]}; an instruction is struct sock_filter {u16 code, u8 jt, u8 jf, u32 k}.
 */

export const SECCOMP_SET_MODE_FILTER = 1;

export const SECCOMP_FILTER_FLAG_TSYNC = 1;
export const SECCOMP_FILTER_FLAG_LOG = 2;
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
/** Linux 5.7: TSYNC beside NEW_LISTENER. */
export const SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10;
/** Linux 5.19; only beside NEW_LISTENER. */
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20;

/** What a filter returns; the low 16 bits are errno of ERRNO and the message of TRACE. */
export const SECCOMP_RET = {
  KILL_PROCESS: 0x80000000,
  KILL_THREAD: 0,
  TRAP: 0x30000,
  ERRNO: 0x50000,
  USER_NOTIF: 0x7fc00000,
  TRACE: 0x7ff00000,
  LOG: 0x7ffc0000,
  ALLOW: 0x7fff0000,
} as const;

/** struct seccomp_data. */
export const SECCOMP_DATA = { nr: 0, arch: 4, args: 16 } as const;

/** BPF_LD|BPF_W|BPF_ABS and the like: the codes that a filter of ours has. */
export const BPF = {
  LOAD: 0x20,
  AND: 0x54,
  JA: 0x05,
  JEQ: 0x15,
  JGT: 0x25,
  JGE: 0x35,
  JSET: 0x45,
  RET: 0x06,
} as const;

export const SOCK_FILTER_SIZE = 8;
/** BPF_MAXINSNS. */
export const FILTER_LENGTH_MAX = 4096;
/** struct sock_fprog {u16 len, struct sock_filter *filter}. */
export const SOCK_FPROG_SIZE = 16;
