/** AUDIT_ARCH_* of linux/audit.h. */

import { expect, test } from 'vitest';
import { ARCHITECTURES } from '../../../src/libcontainer/seccomp/architectures.ts';

test.each([
  ['SCMP_ARCH_X86', 0x40000003],
  ['SCMP_ARCH_X86_64', 0xc000003e],
  ['SCMP_ARCH_X32', 0xc000003e],
  ['SCMP_ARCH_ARM', 0x40000028],
  ['SCMP_ARCH_AARCH64', 0xc00000b7],
  ['SCMP_ARCH_LOONGARCH64', 0xc0000102],
  ['SCMP_ARCH_MIPS', 8],
  ['SCMP_ARCH_MIPSEL64N32', 0xe0000008],
  ['SCMP_ARCH_PPC64LE', 0xc0000015],
  ['SCMP_ARCH_S390X', 0x80000016],
  ['SCMP_ARCH_RISCV64', 0xc00000f3],
  ['SCMP_ARCH_SH', 0x4000002a],
] as const)('%s', (name, audit) => {
  expect(ARCHITECTURES[name].audit).toBe(audit);
});
