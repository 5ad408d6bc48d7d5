/**
 * linux.sysctl (runtime-spec 1.3 config-linux.md#sysctl): written through a private, detached procfs
 * (security.md H20). Which keys are allowed for which namespaces is validated before. Pure.
 */

import { RuncellError } from '../../error.ts';
import {
  O_CLOEXEC,
  O_WRONLY,
  OPEN_HOW_SIZE,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../linux/fcntl.ts';
import {
  FSCONFIG_CMD_CREATE,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
} from '../linux/mount.ts';
import { sysctlSteps } from '../linux/sysctl.ts';
import { type Draft, openHow } from './draft.ts';
import type { InitFds } from './fds.ts';

export function planSysctl(draft: Draft, fds: InitFds): void {
  const entries = Object.entries(draft.config.linux?.sysctl ?? {});
  if (entries.length === 0) return;
  const b = draft.builder;
  b.section('linux.sysctl', 'mount a procfs of its own', 'proc');
  const proc = b.slot('proc');
  b.call('fsopen', [b.string('proc'), FSOPEN_CLOEXEC], { into: fds.fs });
  b.call('fsconfig', [fds.fs, FSCONFIG_CMD_CREATE, 0, 0, 0]);
  const attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  b.call('fsmount', [fds.fs, FSMOUNT_CLOEXEC, attr], { into: proc });
  b.call('close', [fds.fs]);
  b.sum(fds.fs, -1);
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const how = openHow(b, O_WRONLY | O_CLOEXEC, resolve);
  for (const [key, value] of entries) {
    const steps = sysctlSteps(key)!;
    if (steps[0] === 'net') refuseHostNetwork(draft, key);
    b.section(`linux.sysctl["${key}"]`, `write ${value}`, key);
    const path = b.string(`sys/${steps.join('/')}`);
    b.call('openat2', [proc, path, how, OPEN_HOW_SIZE], { into: fds.scratch, retry: true });
    const bytes = new TextEncoder().encode(value);
    b.call('write', [fds.scratch, b.bytes(bytes), bytes.length]);
    b.call('close', [fds.scratch]);
  }
  b.call('close', [proc]);
}

/**
 * Validation saw a network namespace; that its path leads to the caller's own is known only here
 * (CVE-2022-0811).
 */
function refuseHostNetwork(draft: Draft, key: string): void {
  if (draft.hasNamespace('network')) return;
  throw new RuncellError({
    code: 'config.value',
    specPath: `linux.sysctl["${key}"]`,
    reason: "the network namespace is the host's",
  });
}
