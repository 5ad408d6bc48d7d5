/** One hint for what a person can do, none where it would be wrong. */

import { expect, test } from 'vitest';
import { hintFor } from '../../../src/libcontainer/container/hints.ts';
import { ERRNO, type ErrnoName } from '../../../src/libcontainer/linux/errno.ts';

function hint(specPath: string, operation: string, errno: ErrnoName, reason = ''): string {
  return hintFor({ specPath, operation, errno: ERRNO[errno], reason }) ?? 'none';
}

test.each<[Parameters<typeof hint>, RegExp]>([
  [['process.user.uid', 'setresuid', 'EINVAL'], /no mapping in the user namespace/],
  [['process.rlimits[2]', 'prlimit64', 'EPERM'], /CAP_SYS_RESOURCE/],
  [['process.oomScoreAdj', 'write', 'EACCES'], /CAP_SYS_RESOURCE/],
  [['process.scheduler', 'sched_setattr', 'EPERM'], /CAP_SYS_NICE/],
  [['root.path', 'pivot_root', 'EINVAL'], /--no-pivot/],
  [['mounts[3]', 'fsconfig', 'EPERM', 'mount sysfs on /sys'], /network namespace/],
  [['mounts[0]', 'fsconfig', 'EPERM', 'mount proc on /proc'], /pid namespace/],
  [['mounts[4]', 'fsconfig', 'EPERM', 'mount mqueue on /dev/mqueue'], /ipc namespace/],
  [['mounts[5]', 'fsconfig', 'EPERM', 'mount cgroup on /sys/fs/cgroup'], /cgroup namespace/],
  [['mounts[900]', 'open_tree', 'EMFILE'], /RLIMIT_NOFILE/],
  [['mounts[901]', 'dup3', 'EBADF'], /RLIMIT_NOFILE/],
  [['mounts[0]', 'fsopen', 'ENODEV', 'mount foofs on /foo'], /\/proc\/filesystems/],
  [['linux.namespaces', 'clone3', 'ENOSPC'], /max_\*_namespaces/],
  [['linux.namespaces', 'clone3', 'EBUSY'], /leaves/],
  [['linux.namespaces', 'clone3', 'EAGAIN'], /pids\.max/],
  [['mounts[1]', 'mkdirat', 'EROFS'], /read-only/],
  [['linux.devices[0]', 'mknodat', 'EROFS'], /read-only/],
])('%j', (failure, expected) => {
  expect(hint(...failure)).toMatch(expected);
});

test.each<[Parameters<typeof hint>]>([
  [['process.user.uid', 'setresuid', 'EPERM']],
  [['process.rlimits[0]', 'prlimit64', 'EINVAL']],
  [['root.path', 'pivot_root', 'EBUSY']],
  [['mounts[0]', 'move_mount', 'EPERM', 'mount /a on /proc']],
  [['linux.sysctl["x"]', 'openat2', 'EROFS']],
  [['', 'clone3', 'EPERM']],
])('%j: no hint', (failure) => {
  expect(hint(...failure)).toBe('none');
});
