/**
 * The tables below src/libcontainer/seccomp/syscalls/: a file an architecture, the numbers of its system calls by
 * name, as libseccomp has them. Run by hand when a new libseccomp is out; the tables are checked in:
 *
 *     sh scripts/pinned.sh scripts/generate-syscalls.ts [libseccomp.so.2]
 *
 * A table is one text: names in the order of their numbers, and a number where the next name does not
 * follow on the one before. `socketcall` and `ipc` say that the architecture also has the calls of
 * socketcall(2) and ipc(2) through those two.
 */

import fs from 'node:fs';
import path from 'node:path';
import koffi from 'koffi';
import { ARCHITECTURES } from '../src/libcontainer/seccomp/architectures.ts';

const library = koffi.load(process.argv[2] ?? 'libseccomp.so.2');
const nameOf = library.func('char *seccomp_syscall_resolve_num_arch(uint32_t arch, int number)');
const numberOf = library.func('int seccomp_syscall_resolve_name_arch(uint32_t arch, const char *)');
const tokenOf = library.func('uint32_t seccomp_arch_resolve_name(const char *)');
const version = library.func('uint32_t *seccomp_version()');

/** No architecture has more from where its numbers begin. */
const SPAN = 1000;
/** Arm's own calls, arch/arm/include/uapi/asm/unistd.h: __ARM_NR_BASE. */
const ARM_PRIVATE = 0x0f0000;

const directory = path.join(import.meta.dirname, '../src/libcontainer/seccomp/syscalls');
const [major, minor, micro] = koffi.decode(version(), 'uint32_t', 3) as number[];

for (const [oci, { base = 0 }] of Object.entries(ARCHITECTURES)) {
  const name = oci.slice('SCMP_ARCH_'.length).toLowerCase();
  const token = tokenOf(name) as number;
  if (token === 0) throw new Error(`libseccomp ${major}.${minor} does not know ${name}`);
  const words: string[] = [];
  let next = base;
  const add = (number: number): void => {
    const call = nameOf(token, number) as string | null;
    if (call === null) return;
    if (number !== next) words.push(String(number - base));
    words.push(call);
    next = number + 1;
  };
  for (let number = base; number < base + SPAN; number++) add(number);
  if (name === 'arm') for (let n = ARM_PRIVATE; n < ARM_PRIVATE + 16; n++) add(n);
  const through = (call: string, low: number): boolean => {
    const number = numberOf(token, call) as number;
    return number <= -low && number > -low - 100;
  };
  const lines = [
    `/** System calls of ${oci}: scripts/generate-syscalls.ts, from libseccomp ${major}.${minor}.${micro}. */`,
    '',
    "import type { SyscallTable } from '../architectures.ts';",
    '',
    'export const table: SyscallTable = {',
    '  names:',
    `    '${words.join(' ')}',`,
    `  socketcall: ${through('socket', 101)},`,
    `  ipc: ${through('shmget', 201)},`,
    '};',
    '',
  ];
  fs.writeFileSync(path.join(directory, `${name.replace('_', '-')}.ts`), lines.join('\n'));
}
