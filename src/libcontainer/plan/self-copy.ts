/**
 * The executor's first program: it copies its image into a memfd, seals it and executes the copy
 * (memfd_create(2), fcntl(2) F_ADD_SEALS, execveat(2)). Afterwards /proc/PID/exe of everything that
 * enters a container is a sealed 1 KiB file that nobody else uses: CVE-2019-5736 has no target. A
 * failure is told by a record of its own, for the next program is on its way already. Pure.
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
import {
  CTL,
  type Program,
  ProgramBuilder,
  RECORD_ERRNO,
  RECORD_OP,
  type Slot,
} from '../program/builder.ts';
import { CODE_BASE, EXIT_FATAL, FATAL_TAG, IMAGE_SIZE, MESSAGE_SIZE } from '../program/op.ts';

const SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
const NAME = 'runcell';
export const COPY_MODE = 0o511;

/** Added to the op's index in the record of a self-copy that failed. */
export const SELF_COPY_OPS = 0x10000;

/**
 * `ctlFd`: the number programs are read from, before and after. `makeCopy` ends with an executable
 * copy in the slot.
 */
export function planSelfCopy(
  arch: Arch,
  ctlFd: number,
  makeCopy: (b: ProgramBuilder, copy: Slot) => void = copyToMemfd,
): Program {
  const b = new ProgramBuilder(arch);
  const broken = b.label();
  b.section('', 'run from a sealed copy', 'memfd');
  b.trap(broken);
  const copy = b.slot('copy');
  makeCopy(b, copy);
  const argv = b.stringArray([NAME, String(ctlFd)]);
  b.call('execveat', [copy, b.string(''), argv, b.words([0]), AT_EMPTY_PATH]);
  b.place(broken);
  const record = b.words([FATAL_TAG, 0, 0, 0]);
  b.sum(record.plus(8), RECORD_OP, SELF_COPY_OPS);
  b.sum(record.plus(16), RECORD_ERRNO);
  b.call('write', [CTL, record, MESSAGE_SIZE]);
  b.call('exit_group', [EXIT_FATAL]);
  return b.finish();
}

function copyToMemfd(b: ProgramBuilder, copy: Slot): void {
  const [old, made] = [b.label(), b.label()];
  const name = b.string(NAME);
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
  b.call('fchmod', [copy, COPY_MODE]);
  b.call('fcntl', [copy, F_ADD_SEALS, SEALS]);
}
