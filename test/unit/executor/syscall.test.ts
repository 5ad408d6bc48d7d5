/** The system call numbers against the kernel's own headers, as installed with linux-libc-dev. */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Arch } from '../../../src/libcontainer/linux/arch.ts';
import { SYSCALLS } from '../../../src/libcontainer/linux/syscall.ts';

/** The header of each architecture; a distribution keeps x86's in its multiarch directory. */
const HEADERS: Record<Arch, readonly string[]> = {
  x64: ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h'],
  arm64: ['/usr/include/asm-generic/unistd.h'],
};

/** Calls newer than the headers of the oldest distribution the tests run on: name and number. */
const NEWER: Record<string, number> = { fchmodat2: 452 };

function headerNumbers(arch: Arch): Map<string, number> {
  const path = HEADERS[arch].find((candidate) => existsSync(candidate))!;
  const numbers = new Map(Object.entries(NEWER));
  const aliases: [string, string][] = [];
  const text = readFileSync(path, 'utf8');
  for (const [, name, value] of text.matchAll(/^#define (__NR\w*) (\w+)/gm)) {
    if (/^\d+$/.test(value!)) numbers.set(name!.replace('__NR_', ''), Number(value));
    else aliases.push([name!.replace('__NR_', ''), value!]);
  }
  // asm-generic: __NR_fcntl is __NR3264_fcntl, and on 64 bits __NR_newfstatat is __NR3264_fstatat.
  for (const [name, of] of aliases) {
    const value = numbers.get(of);
    if (value !== undefined && !numbers.has(name)) numbers.set(name, value);
  }
  return numbers;
}

describe.each(['x64', 'arm64'] as const)('SYSCALLS [%s]', (arch) => {
  test('are the numbers of the kernel header', () => {
    const numbers = headerNumbers(arch);
    const expected = Object.keys(SYSCALLS[arch]).map((name) => [name, numbers.get(name)]);
    expect(Object.entries(SYSCALLS[arch])).toEqual(expected);
  });
});

test('both architectures have the same calls, but for arch_prctl', () => {
  const x64 = Object.keys(SYSCALLS.x64).filter((name) => name !== 'arch_prctl');
  expect(x64).toEqual(Object.keys(SYSCALLS.arm64));
});
