/**
 * Which self-copy the executor makes on a host that restricts executable memfds (vm.memfd_noexec, Linux
 * 6.3): 1 only changes what is the default, 2 refuses them (sysctl/vm.rst). Loaded late.
 */

import { readFileSync } from 'node:fs';
import type { Arch } from '../linux/arch.ts';
import { ERRNO } from '../linux/errno.ts';
import { planSelfCopy } from '../plan/self-copy.ts';
import { copyToTmpfs } from '../plan/self-copy-tmpfs.ts';
import type { Program } from '../program/builder.ts';
import { errnoOf } from '../store/state-dir.ts';

export function selfCopy(arch: Arch, ctlFd: number): Program {
  return refusesExecutableMemfds()
    ? planSelfCopy(arch, ctlFd, copyToTmpfs)
    : planSelfCopy(arch, ctlFd);
}

function refusesExecutableMemfds(): boolean {
  try {
    return readFileSync('/proc/sys/vm/memfd_noexec', 'latin1').trim() === '2';
  } catch (thrown) {
    if (errnoOf(thrown) === ERRNO.ENOENT) return false;
    throw thrown;
  }
}
