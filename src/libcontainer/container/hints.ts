/**
 * What a user can do about a failed system call, by operation, errno and place in config.json; one
 * line each, as bubblewrap's mount_strerror. No hint is better than a wrong one.
 */

import { ERRNO } from '../linux/errno.ts';

interface Failure {
  readonly specPath: string;
  readonly operation: string;
  readonly errno: number;
  /** The section's reason, as `mount proc on /proc`. */
  readonly reason: string;
}

type Rule = readonly [(failure: Failure) => boolean, string];

const at = (prefix: string) => (f: Failure) => f.specPath.startsWith(prefix);

const RULES: readonly Rule[] = [
  [
    (f) => at('process.user')(f) && f.errno === ERRNO.EINVAL,
    'the id has no mapping in the user namespace: see linux.uidMappings and linux.gidMappings',
  ],
  [
    (f) => at('process.rlimits')(f) && f.errno === ERRNO.EPERM,
    'raising a hard limit needs CAP_SYS_RESOURCE',
  ],
  [
    (f) => at('process.oomScoreAdj')(f) && f.errno === ERRNO.EACCES,
    'lowering the score needs CAP_SYS_RESOURCE',
  ],
  [
    (f) => at('process.scheduler')(f) && f.errno === ERRNO.EPERM,
    'the policy needs CAP_SYS_NICE, and SCHED_DEADLINE all CPUs of its cpuset',
  ],
  [
    (f) => at('linux.netDevices')(f) && / back$/.test(f.reason),
    'it is in its namespace again under another name, dev0 or the like',
  ],
  [
    (f) => at('linux.memoryPolicy')(f) && f.errno === ERRNO.EINVAL,
    'a node without memory or outside of cpuset.mems; MPOL_PREFERRED_MANY needs Linux 5.15, MPOL_WEIGHTED_INTERLEAVE 6.9',
  ],
  [
    (f) => at('linux.resources.devices')(f) && f.errno === ERRNO.EPERM,
    'a device filter needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, and no seccomp filter of the host against bpf(2)',
  ],
  [
    (f) =>
      at('linux.resources.devices')(f) && (f.errno === ERRNO.EINVAL || f.errno === ERRNO.ENOSYS),
    'a device filter needs a kernel with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF',
  ],
  [
    (f) => f.operation === 'seccomp' && f.errno === ERRNO.EACCES,
    'a filter needs process.noNewPrivileges, or CAP_SYS_ADMIN in the caller',
  ],
  [
    (f) => f.operation === 'seccomp' && f.errno === ERRNO.EINVAL,
    'the kernel lacks one of linux.seccomp.flags, or an action',
  ],
  [
    (f) => f.operation === 'pivot_root' && f.errno === ERRNO.EINVAL,
    'on an initramfs use --no-pivot',
  ],
  [
    (f) => f.reason.startsWith('mount sysfs') && f.errno === ERRNO.EPERM,
    'sysfs needs a network namespace of the same user namespace: bind /sys instead',
  ],
  [
    (f) => f.reason.startsWith('mount proc') && f.errno === ERRNO.EPERM,
    'proc needs a new pid namespace and a host /proc without masks',
  ],
  [
    (f) => f.reason.startsWith('mount mqueue') && f.errno === ERRNO.EPERM,
    'mqueue needs an ipc namespace of the same user namespace: bind /dev/mqueue instead',
  ],
  [
    (f) => f.reason.startsWith('mount cgroup') && f.errno === ERRNO.EPERM,
    'cgroup needs a cgroup namespace of the same user namespace: bind /sys/fs/cgroup instead',
  ],
  [
    (f) =>
      at('mounts')(f) &&
      (f.errno === ERRNO.EMFILE || (f.operation === 'dup3' && f.errno === ERRNO.EBADF)),
    'each bind mount takes a descriptor until it is attached: raise the hard RLIMIT_NOFILE',
  ],
  [
    (f) => at('mounts')(f) && f.errno === ERRNO.ENODEV,
    'the kernel has no such filesystem: see /proc/filesystems',
  ],
  [
    (f) => f.operation === 'clone3' && f.errno === ERRNO.ENOSPC,
    'a limit in /proc/sys/user/max_*_namespaces is reached',
  ],
  [
    (f) => f.operation === 'clone3' && f.errno === ERRNO.EBUSY,
    'the cgroup has controllers enabled for its children: processes may only be in its leaves',
  ],
  [
    (f) => f.operation === 'clone3' && f.errno === ERRNO.EAGAIN,
    'a limit on processes (RLIMIT_NPROC or pids.max) is reached',
  ],
  [
    (f) => (at('mounts')(f) || at('linux.devices')(f)) && f.errno === ERRNO.EROFS,
    'the mount point is missing and its file system is read-only',
  ],
];

export function hintFor(failure: Failure): string | undefined {
  return RULES.find(([applies]) => applies(failure))?.[1];
}
