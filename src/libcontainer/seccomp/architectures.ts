/**
 * The architectures of `linux.seccomp.architectures` (runtime-spec 1.3 config-linux.md#seccomp): their
 * AUDIT_ARCH_ numbers of linux/audit.h, and where their tables are. A table is loaded when a filter
 * for it is compiled.
 */

import type { LinuxSeccompArch } from '@opencontainers-ts/spec';
import type { Arch } from '../linux/arch.ts';

/** `names` is explained in scripts/generate-syscalls.ts. */
export interface SyscallTable {
  readonly names: string;
  /** The calls of sockets are also reached through socketcall(2), those of System V through ipc(2). */
  readonly socketcall: boolean;
  readonly ipc: boolean;
}

export interface Architecture {
  /** What the kernel has in seccomp_data.arch. */
  readonly audit: number;
  /** Of an argument, as far as conditions look at it. */
  readonly bits: 32 | 64;
  readonly endian: 'little' | 'big';
  /** What its system calls begin at, 0 when absent. */
  readonly base?: number;
  readonly load: () => Promise<{ readonly table: SyscallTable }>;
}

const LITTLE = 0x40000000;
const IS_64 = 0x80000000;
/** __AUDIT_ARCH_CONVENTION_MIPS64_N32. */
const N32 = 0x20000000;
/** The bit that tells a call of x32 from one of x86-64 (arch/x86/include/uapi/asm/unistd.h). */
export const X32_BIT = 0x40000000;

type Rest = Pick<Architecture, 'load'> & Partial<Pick<Architecture, 'base' | 'bits'>>;

const little = (bits: 32 | 64, machine: number, rest: Rest): Architecture => ({
  audit: (bits === 64 ? IS_64 : 0) + LITTLE + machine,
  bits,
  endian: 'little',
  ...rest,
});
const big = (bits: 32 | 64, machine: number, rest: Rest): Architecture => ({
  audit: (bits === 64 ? IS_64 : 0) + machine,
  bits,
  endian: 'big',
  ...rest,
});

/** Machine numbers are those of elf.h; x32 and n32 are 64-bit machines with calls of 32 bits. */
export const ARCHITECTURES: Readonly<Record<LinuxSeccompArch, Architecture>> = {
  SCMP_ARCH_X86: little(32, 3, { load: () => import('./syscalls/x86.ts') }),
  SCMP_ARCH_X86_64: little(64, 62, { load: () => import('./syscalls/x86-64.ts') }),
  SCMP_ARCH_X32: little(64, 62, {
    base: X32_BIT,
    bits: 32,
    load: () => import('./syscalls/x32.ts'),
  }),
  SCMP_ARCH_ARM: little(32, 40, { load: () => import('./syscalls/arm.ts') }),
  SCMP_ARCH_AARCH64: little(64, 183, { load: () => import('./syscalls/aarch64.ts') }),
  SCMP_ARCH_LOONGARCH64: little(64, 258, { load: () => import('./syscalls/loongarch64.ts') }),
  SCMP_ARCH_M68K: big(32, 4, { load: () => import('./syscalls/m68k.ts') }),
  SCMP_ARCH_MIPS: big(32, 8, { base: 4000, load: () => import('./syscalls/mips.ts') }),
  SCMP_ARCH_MIPS64: big(64, 8, { base: 5000, load: () => import('./syscalls/mips64.ts') }),
  SCMP_ARCH_MIPS64N32: big(64, N32 + 8, {
    base: 6000,
    bits: 32,
    load: () => import('./syscalls/mips64n32.ts'),
  }),
  SCMP_ARCH_MIPSEL: little(32, 8, { base: 4000, load: () => import('./syscalls/mipsel.ts') }),
  SCMP_ARCH_MIPSEL64: little(64, 8, { base: 5000, load: () => import('./syscalls/mipsel64.ts') }),
  SCMP_ARCH_MIPSEL64N32: little(64, N32 + 8, {
    base: 6000,
    bits: 32,
    load: () => import('./syscalls/mipsel64n32.ts'),
  }),
  SCMP_ARCH_PPC: big(32, 20, { load: () => import('./syscalls/ppc.ts') }),
  SCMP_ARCH_PPC64: big(64, 21, { load: () => import('./syscalls/ppc64.ts') }),
  SCMP_ARCH_PPC64LE: little(64, 21, { load: () => import('./syscalls/ppc64le.ts') }),
  SCMP_ARCH_S390: big(32, 22, { load: () => import('./syscalls/s390.ts') }),
  SCMP_ARCH_S390X: big(64, 22, { load: () => import('./syscalls/s390x.ts') }),
  SCMP_ARCH_SH: little(32, 42, { load: () => import('./syscalls/sh.ts') }),
  SCMP_ARCH_SHEB: big(32, 42, { load: () => import('./syscalls/sheb.ts') }),
  SCMP_ARCH_PARISC: big(32, 15, { load: () => import('./syscalls/parisc.ts') }),
  SCMP_ARCH_PARISC64: big(64, 15, { load: () => import('./syscalls/parisc64.ts') }),
  SCMP_ARCH_RISCV64: little(64, 243, { load: () => import('./syscalls/riscv64.ts') }),
};

/** The one that processes of this runtime have: in every filter, asked for or not (libseccomp's seccomp_init(3)). */
export const NATIVE: Readonly<Record<Arch, LinuxSeccompArch>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
};
