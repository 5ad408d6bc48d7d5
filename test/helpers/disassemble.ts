/**
 * binutils as the oracle for the assemblers: machine code in, one line of text an instruction out.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Arch } from '../../src/libcontainer/linux/arch.ts';

const COMMANDS: Record<Arch, readonly string[]> = {
  x64: ['objdump', '-mi386:x86-64', '-Mintel'],
  arm64: ['aarch64-linux-gnu-objdump', '-maarch64'],
};

export function disassemble(arch: Arch, code: Uint8Array): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'runcell-code-'));
  try {
    const file = join(directory, 'code');
    writeFileSync(file, code);
    const [command, ...flags] = COMMANDS[arch];
    const args = [...flags, '-D', '-z', '-bbinary', '--no-show-raw-insn', file];
    const text = execFileSync(command!, args, { encoding: 'utf8' });
    return [...text.matchAll(/^ +[0-9a-f]+:\t(.*)$/gm)].map((line) => normalize(line[1]!));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** One space between words, no comments. */
function normalize(line: string): string {
  return line
    .replace(/\s*\/\/.*$/, '')
    .replace(/\s+/g, ' ')
    .trim();
}
