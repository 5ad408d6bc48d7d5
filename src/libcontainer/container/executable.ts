/**
 * Why execve failed: from its errno and the head of the file to the sentence that helps.
 *
 * The kernel says ENOENT when a script's interpreter or a program's loader is missing, and ENOEXEC
 * for another machine's binary (execve(2)); the shebang and the ELF header say which (elf(5)).
 */

import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';

/** e_machine of include/uapi/linux/elf-em.h, the names as `uname -m` gives them. */
const MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'mips',
  20: 'ppc',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'x86_64',
  183: 'aarch64',
  243: 'riscv64',
  258: 'loongarch64',
};

const OWN_MACHINE: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

const PT_INTERP = 3;

export function execError(path: string, errno: number, head: Uint8Array): RuncellError {
  const why = explain(errno, head);
  return new RuncellError({
    code: 'config.executable',
    specPath: 'process.args',
    operation: 'exec',
    target: path,
    errno,
    ...(why === undefined ? {} : { reason: why }),
  });
}

function explain(errno: number, head: Uint8Array): string | undefined {
  const shebang = shebangOf(head);
  const elf = elfOf(head);
  if (errno === ERRNO.ENOENT) {
    if (shebang !== undefined) {
      const carriage = shebang.endsWith('\r') ? ' (the line ends in CR LF)' : '';
      return `no such file or directory: the interpreter ${shebang.trim()} of the script is missing${carriage}`;
    }
    if (elf?.interpreter !== undefined) {
      return `no such file or directory: the loader ${elf.interpreter} of the program is missing`;
    }
  }
  if (errno === ERRNO.ENOEXEC) {
    if (elf !== undefined && elf.machine !== OWN_MACHINE[process.arch]) {
      return `exec format error: the program is for ${elf.machine}, this machine is ${OWN_MACHINE[process.arch]}`;
    }
    if (elf === undefined && shebang === undefined) {
      return 'exec format error: neither an ELF program nor a script with #!';
    }
  }
  return undefined;
}

/** The interpreter of `#! interpreter argument`, with a trailing CR if there is one. */
function shebangOf(head: Uint8Array): string | undefined {
  if (head[0] !== 0x23 || head[1] !== 0x21) return undefined;
  const line = Buffer.from(head.subarray(2)).toString('latin1').split('\n')[0]!;
  const words = line.trimStart().split(/[ \t]/);
  return words[0];
}

function elfOf(head: Uint8Array): { machine: string; interpreter: string | undefined } | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 64 || view.getUint32(0) !== 0x7f454c46) return undefined;
  const little = head[5] === 1;
  const machine = view.getUint16(18, little);
  const name = MACHINES[machine] ?? `machine ${machine}`;
  if (head[4] !== 2) return { machine: name, interpreter: undefined };
  const offset = Number(view.getBigUint64(32, little));
  const size = view.getUint16(54, little);
  const count = view.getUint16(56, little);
  for (let i = 0; i < count; i++) {
    const at = offset + i * size;
    if (at + 56 > head.length) break;
    if (view.getUint32(at, little) !== PT_INTERP) continue;
    const start = Number(view.getBigUint64(at + 8, little));
    const length = Number(view.getBigUint64(at + 32, little));
    if (start + length > head.length) break;
    const text = Buffer.from(head.subarray(start, start + length)).toString('latin1');
    return { machine: name, interpreter: text.replace(/\0.*$/, '') };
  }
  return { machine: name, interpreter: undefined };
}
