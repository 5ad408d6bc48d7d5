/**
 * The launcher as a file. Its segments and size limit are those of one page: there is one PT_LOAD for
 * all of it (elf(5)). Pure, no I/O.
 */

import { elfImage } from '../libcontainer/executor/elf.ts';
import type { Arch } from '../libcontainer/linux/arch.ts';
import { launcherCode } from './code.ts';

export const MAX_LAUNCHER_SIZE = 4096;

export function launcherImage(arch: Arch): Uint8Array<ArrayBuffer> {
  const image = elfImage(arch, launcherCode(arch));
  if (image.length > MAX_LAUNCHER_SIZE) throw new RangeError(`launcher has ${image.length} bytes`);
  return image;
}
