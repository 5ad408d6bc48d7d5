/**
 * `tmpcopyup`: a tmpfs that begins with what it covers (runc's extension, rootfs_linux.go).
 *
 * What there is to copy was listed with the host's facts; every entry is opened again below the
 * covered directory's descriptor without following links, so a rootfs that changes meanwhile yields
 * an error or other files of its own, never of the host. Pure.
 */

import type { CopyEntry } from '../host/facts.ts';
import {
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  OPEN_HOW_SIZE,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from '../linux/fcntl.ts';
import type { ProgramBuilder } from '../program/builder.ts';
import { openHow } from './draft.ts';
import type { InitFds } from './fds.ts';

/** sendfile(2) transfers at most this much a call. */
const SENDFILE_MAX = 0x7ffff000;

/** Copies `entries`, parents first, from the covered directory into the detached tmpfs. */
export function copyUp(b: ProgramBuilder, fds: InitFds, entries: readonly CopyEntry[]): void {
  const from = b.slot('copy from');
  const to = b.slot('copy to');
  for (const entry of entries) {
    const name = b.string(entry.path);
    if (entry.kind === 'directory') b.call('mkdirat', [fds.mount, name, entry.mode]);
    else if (entry.kind === 'link') b.call('symlinkat', [b.string(entry.target), fds.mount, name]);
    else {
      const read = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
      const how = openHow(b, read, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
      b.call('openat2', [fds.destination, name, how, OPEN_HOW_SIZE], { into: from, retry: true });
      const write = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW(b.arch);
      b.call('openat', [fds.mount, name, write, entry.mode], { into: to });
      for (let left = entry.size; left > 0; left -= SENDFILE_MAX) {
        b.call('sendfile', [to, from, 0, Math.min(left, SENDFILE_MAX)]);
      }
      b.call('close', [from]);
      b.call('close', [to]);
    }
    // Ids without a mapping in the container's user namespace stay the container root's.
    b.call('fchownat', [fds.mount, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW], {
      tolerate: ['EINVAL', 'EPERM'],
    });
  }
}
