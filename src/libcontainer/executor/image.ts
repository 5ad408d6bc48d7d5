/**
 * The executor as a file: its code in an ELF of exactly IMAGE_SIZE bytes, so that a program can copy
 * the mapped image into a sealed memfd (memfd_create(2), execveat(2)). Pure, no I/O.
 */

import type { Arch } from '../linux/arch.ts';
import { IMAGE_SIZE } from '../program/op.ts';
import { executorCode } from './code.ts';
import { elfImage } from './elf.ts';

export function executorImage(arch: Arch): Uint8Array<ArrayBuffer> {
  return elfImage(arch, executorCode(arch), IMAGE_SIZE);
}
