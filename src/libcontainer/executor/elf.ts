/**
 * The ELF file around the machine code of the executor and of the launcher (elf(5)).
 *
 * Static, non-PIE, 64-bit, exactly three program headers and no sections:
 *
 *     0    ELF header              64 bytes
 *     64   PT_LOAD R-X             the whole file at CODE_BASE
 *     120  PT_LOAD RW              4096 zero bytes at DATA_BASE, none of them in the file
 *     176  PT_GNU_STACK RW         the stack is not executable
 *     232  code                    first byte = SIGNAL_EXIT
 *
 * Segments are aligned to 64 KiB and lie in different 64 KiB pages, so that arm64 kernels with
 * 64 KiB pages load them. Pure, no I/O.
 */

import type { Arch } from '../linux/arch.ts';
import { CODE_BASE, DATA_BASE, SIGNAL_EXIT } from '../program/op.ts';

const ELF_HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const PROGRAM_HEADERS = 3;
/** Where code begins in the file. */
export const CODE_OFFSET = SIGNAL_EXIT - CODE_BASE;
const DATA_SIZE = 4096;
const LOAD_ALIGNMENT = 0x10000;

const ET_EXEC = 2;
const EV_CURRENT = 1;
const MACHINES = { x64: 62, arm64: 183 } as const; // EM_X86_64, EM_AARCH64
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;

/** Machine code and the offset of its first instruction. */
export interface Code {
  readonly code: Uint8Array;
  readonly entry: number;
}

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

/** The file; `size` pads it with zeros to exactly that many bytes. */
export function elfImage(arch: Arch, code: Code, size?: number): Uint8Array<ArrayBuffer> {
  const used = CODE_OFFSET + code.code.length;
  const fileSize = size ?? used;
  if (used > fileSize) throw new RangeError(`image has ${used} bytes, ${fileSize} are allowed`);
  const image = new Uint8Array(fileSize);
  const view = new DataView(image.buffer);
  writeElfHeader(view, arch, CODE_BASE + CODE_OFFSET + code.entry);
  const segments: Segment[] = [
    { type: PT_LOAD, flags: PF_R | PF_X, address: CODE_BASE, fileSize, memorySize: fileSize },
    { type: PT_LOAD, flags: PF_R | PF_W, address: DATA_BASE, fileSize: 0, memorySize: DATA_SIZE },
    { type: PT_GNU_STACK, flags: PF_R | PF_W, address: 0, fileSize: 0, memorySize: 0 },
  ];
  segments.forEach((segment, index) => {
    writeProgramHeader(view, ELF_HEADER_SIZE + index * PROGRAM_HEADER_SIZE, segment);
  });
  image.set(code.code, CODE_OFFSET);
  return image;
}

function writeElfHeader(view: DataView, arch: Arch, entry: number): void {
  // \x7fELF, 64 bits (2), little endian (1), version 1, System V ABI (0).
  [0x7f, 0x45, 0x4c, 0x46, 2, 1, EV_CURRENT].forEach((byte, index) => {
    view.setUint8(index, byte);
  });
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, MACHINES[arch], true);
  view.setUint32(20, EV_CURRENT, true);
  view.setUint32(24, entry, true);
  view.setUint32(32, ELF_HEADER_SIZE, true); // e_phoff
  view.setUint16(52, ELF_HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, PROGRAM_HEADERS, true);
  view.setUint16(58, 64, true); // e_shentsize, of sections that are not there
}

function writeProgramHeader(view: DataView, at: number, segment: Segment): void {
  view.setUint32(at, segment.type, true);
  view.setUint32(at + 4, segment.flags, true);
  view.setUint32(at + 8, 0, true); // p_offset: congruent to the address modulo the alignment
  view.setUint32(at + 16, segment.address, true);
  view.setUint32(at + 24, segment.address, true);
  view.setUint32(at + 32, segment.fileSize, true);
  view.setUint32(at + 40, segment.memorySize, true);
  view.setUint32(at + 48, segment.type === PT_LOAD ? LOAD_ALIGNMENT : 16, true);
}
