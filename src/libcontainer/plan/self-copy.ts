/**
 * The executor's first program: it copies its image into a memfd, seals it and executes the copy
 * (memfd_create(2), fcntl(2) F_ADD_SEALS, execveat(2)). Afterwards /proc/PID/exe of everything that
 * enters a container is a sealed 1 KiB file that nobody else uses: CVE-2019-5736 has no target. Pure.
 */

import type { Arch } from '../linux/arch.ts';
import {
  AT_EMPTY_PATH,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
} from '../linux/fcntl.ts';
import { type Program, ProgramBuilder } from '../program/builder.ts';
import { CODE_BASE, IMAGE_SIZE } from '../program/op.ts';

const SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

/** `ctlFd`: the number programs are read from, before and after. */
export function planSelfCopy(arch: Arch, ctlFd: number): Program {
  const b = new ProgramBuilder(arch);
  b.section('', 'run from a sealed copy', 'memfd');
  const copy = b.slot('copy');
  const old = b.label();
  const made = b.label();
  const name = b.string('runcell');
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // MFD_EXEC is Linux 6.3+; before, every memfd is executable.
  b.call('memfd_create', [name, flags | MFD_EXEC], {
    into: copy,
    tolerate: ['EINVAL'],
    onError: old,
  });
  b.jump(made);
  b.place(old);
  b.call('memfd_create', [name, flags], { into: copy });
  b.place(made);
  b.call('write', [copy, CODE_BASE, IMAGE_SIZE]);
  b.call('fchmod', [copy, 0o511]);
  b.call('fcntl', [copy, F_ADD_SEALS, SEALS]);
  const argv = b.stringArray(['runcell', String(ctlFd)]);
  b.call('execveat', [copy, b.string(''), argv, b.words([0]), AT_EMPTY_PATH]);
  return b.finish();
}
