/**
 * Processes, namespaces, scheduling: include/uapi/linux/sched.h, sched/types.h, ioprio.h, wait.h,
 * personality.h, prctl.h, resource.h, nsfs.h. No I/O.
 */

export const CLONE_NEWTIME = 0x80;
export const CLONE_VM = 0x100;
export const CLONE_PIDFD = 0x1000;
export const CLONE_PARENT = 0x8000;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;
/** Linux 5.7; bit 33, so a BigInt-free exact number. */
export const CLONE_INTO_CGROUP = 0x200000000;

/** struct clone_args, CLONE_ARGS_SIZE_VER2. */
export const CLONE_ARGS_SIZE = 88;
export const CLONE_ARGS = {
  flags: 0,
  pidfd: 8,
  childTid: 16,
  parentTid: 24,
  exitSignal: 32,
  stack: 40,
  stackSize: 48,
  tls: 56,
  setTid: 64,
  setTidSize: 72,
  cgroup: 80,
} as const;

/** ioctl_ns(2): linux/nsfs.h. */
export const NS_GET_NSTYPE = 0xb703;

export const P_PID = 1;
export const P_PIDFD = 3;
export const WEXITED = 4;
export const WNOHANG = 1;
export const WNOWAIT = 0x1000000;
export const SIGINFO_SIZE = 128;

export const SCHED_NAMES = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
} as const;

export const SCHED_FLAGS = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
} as const;

/** struct sched_attr, SCHED_ATTR_SIZE_VER0. */
export const SCHED_ATTR_SIZE = 48;

/** linux/ioprio.h: class << 13 | level. */
export const IOPRIO_CLASSES = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
} as const;
export const IOPRIO_CLASS_SHIFT = 13;
export const IOPRIO_WHO_PGRP = 2;

/** linux/personality.h. */
export const PERSONALITIES = { LINUX: 0x0, LINUX32: 0x8 } as const;

/** linux/prctl.h. */
export const PR_SET_DUMPABLE = 4;
export const PR_SET_KEEPCAPS = 8;
export const PR_SET_NAME = 15;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_CHILD_SUBREAPER = 36;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;

/** keyctl(2): linux/keyctl.h. */
export const KEYCTL_JOIN_SESSION_KEYRING = 1;
export const KEYCTL_SETPERM = 5;

/** asm-generic/resource.h. */
export const RLIMITS = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
} as const;

/** asm-generic/signal.h; all names are in signal.ts. */
export const SIGKILL = 9;
export const SIGCHLD = 17;
export const SIGSYS = 31;

export const SIG_BLOCK = 0;
export const SIG_SETMASK = 2;
/** struct sigaction as rt_sigaction(2) takes it: {handler, flags, restorer, mask} of 8 bytes each. */
export const SIGACTION_SIZE = 32;
export const SA_RESTORER = 0x4000000;
export const SIGSET_SIZE = 8;

/** poll(2). */
export const POLLIN = 1;

export const MAX_PID = 4194304;
