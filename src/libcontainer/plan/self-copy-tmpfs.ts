/**
 * The executor's self-copy where `vm.memfd_noexec=2` refuses memfds that can be executed: the copy is the
 * only file of a tmpfs of its own, which is attached nowhere and becomes read-only (security.md H10;
 * fsopen(2), mount_setattr(2)). It needs CAP_SYS_ADMIN. Pure.
 */

import {
  AT_EMPTY_PATH,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
} from '../linux/fcntl.ts';
import {
  FSCONFIG_CMD_CREATE,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
} from '../linux/mount.ts';
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import { CODE_BASE, IMAGE_SIZE } from '../program/op.ts';
import { mountAttr } from './draft.ts';
import { COPY_MODE } from './self-copy.ts';

export function copyToTmpfs(b: ProgramBuilder, copy: Slot): void {
  b.section('', 'run from a copy in a tmpfs, as vm.memfd_noexec asks', 'tmpfs');
  const [fs, mount] = [b.slot('fs'), b.slot('mount')];
  const name = b.string('runcell');
  const nofollow = O_NOFOLLOW(b.arch) | O_CLOEXEC;
  b.call('fsopen', [b.string('tmpfs'), FSOPEN_CLOEXEC], { into: fs });
  b.call('fsconfig', [fs, FSCONFIG_CMD_CREATE, 0, 0, 0]);
  const attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  b.call('fsmount', [fs, FSMOUNT_CLOEXEC, attributes], { into: mount });
  b.call('openat', [mount, name, O_WRONLY | O_CREAT | O_EXCL | nofollow, COPY_MODE], {
    into: copy,
  });
  b.call('write', [copy, CODE_BASE, IMAGE_SIZE]);
  b.call('fchmod', [copy, COPY_MODE]);
  b.call('close', [copy]);
  const attr = mountAttr(b, { set: MOUNT_ATTR_RDONLY });
  b.call('mount_setattr', [mount, b.string(''), AT_EMPTY_PATH, attr.pointer, attr.size]);
  b.call('openat', [mount, name, O_RDONLY | nofollow], { into: copy });
}
