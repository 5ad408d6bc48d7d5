/**
 * The caller's pipes as /dev/stdin, /dev/stdout and /dev/stderr of a program that is not the host's root.
 *
 * Those names lead to /proc/self/fd, and opening a pipe there asks for the permissions of its inode
 * (pipe(7), proc(5)): 0600 and the caller's. runc gives the pipe away (fixStdioPermissions); here its
 * owner stays (security.md, CVE-2026-88265), and others get its mode. Only who has the pipe open, or
 * may look into /proc/PID/fd of who has, can reach it at all. Files, named FIFOs, sockets and terminals
 * of the host stay as they are. Loaded late.
 */

import { fchmodSync, readlinkSync } from 'node:fs';
import { ERRNO } from '../linux/errno.ts';
import { errnoOf } from '../store/state-dir.ts';

const FOR_EVERYBODY = 0o666;

export function sharePipes(): void {
  for (const fd of [0, 1, 2]) {
    if (!readlinkSync(`/proc/self/fd/${fd}`).startsWith('pipe:[')) continue;
    try {
      fchmodSync(fd, FOR_EVERYBODY);
    } catch (thrown) {
      // Another user's pipe: it is the container's to write to, not to open again.
      if (errnoOf(thrown) !== ERRNO.EPERM) throw thrown;
    }
  }
}
