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
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import { type Draft, openHow } from './draft.ts';
import type { InitFds } from './fds.ts';

/** sendfile(2) transfers at most this much a call. */
const SENDFILE_MAX = 0x7ffff000;
/** S_ISUID and S_ISGID. */
const SET_ID_BITS = 0o6000;

/** Copies `entries`, parents first, from the covered directory into the detached tmpfs. */
export function copyUp(draft: Draft, fds: InitFds, entries: readonly CopyEntry[]): void {
  const b = draft.builder;
  const file: FileCopy = {
    from: draft.slot('copy from'),
    to: draft.slot('copy to'),
    copied: draft.slot('copied'),
  };
  for (const entry of entries) {
    const name = b.string(entry.path);
    const owned = b.label();
    if (entry.kind === 'directory') b.call('mkdirat', [fds.mount, name, entry.mode]);
    else if (entry.kind === 'link') b.call('symlinkat', [b.string(entry.target), fds.mount, name]);
    else copyFile(b, fds, entry, file);
    // Ids without a mapping in the container's user namespace stay the container root's.
    b.call('fchownat', [fds.mount, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW], {
      tolerate: ['EINVAL', 'EPERM'],
      onError: owned,
    });
    // mkdir(2) leaves them out and chown(2) takes them away; nobody else reaches this tmpfs yet.
    if (entry.kind !== 'link' && (entry.mode & SET_ID_BITS) !== 0) {
      b.call('fchmodat', [fds.mount, name, entry.mode]);
    }
    b.place(owned);
  }
}

interface FileCopy {
  readonly from: Slot;
  readonly to: Slot;
  readonly copied: Slot;
}

/** A tmpfs that is full makes sendfile(2) short, not fail. */
function copyFile(
  b: ProgramBuilder,
  fds: InitFds,
  entry: Extract<CopyEntry, { kind: 'file' }>,
  { from, to, copied }: FileCopy,
): void {
  const name = b.string(entry.path);
  const read = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  const how = openHow(b, read, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  b.call('openat2', [fds.destination, name, how, OPEN_HOW_SIZE], { into: from, retry: true });
  const write = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW(b.arch);
  b.call('openat', [fds.mount, name, write, entry.mode], { into: to });
  for (let left = entry.size; left > 0; left -= SENDFILE_MAX) {
    const size = Math.min(left, SENDFILE_MAX);
    b.call('sendfile', [to, from, 0, size], { into: copied });
    b.check(copied, 0xffffffff, size, 'ENOSPC', {
      note: `${entry.path} does not fit into the tmpfs, or has just changed`,
    });
  }
  b.call('close', [from]);
  b.call('close', [to]);
}
