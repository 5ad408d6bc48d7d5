/**
 * What a program is: the op, its flags, the fixed addresses and the wire header.
 *
 * docs/program.md is the contract in prose. The compiler, the encoder, the printer and the emitter
 * of the executor's machine code all import these constants from here; nothing repeats them.
 * This file does no I/O.
 */

/** Where the executor's image is mapped (non-PIE ELF, R-X). */
export const CODE_BASE = 0x400000;
/** The emitted image is padded to this size, so that a program can copy it into a memfd. */
export const IMAGE_SIZE = 1024;
/** Handler that exits with 128 + signo; the first code byte after ELF header and 3 program headers. */
export const SIGNAL_EXIT = CODE_BASE + 64 + 3 * 56;
/** The page that survives from program to program. */
export const DATA_BASE = 0x420000;
/** Where the body of a program is mapped. */
export const PROGRAM_BASE = 0x10000000;

/** Offsets in the data page. */
export const DATA = {
  ctl: 0,
  err: 8,
  trap: 16,
  ignored: 24,
  record: 32,
  header: 64,
  length: 80,
  slots: 128,
} as const;

/** Number of u64 words a program may use in the data page. */
export const SLOTS = (4096 - DATA.slots) / 8;

/** First word of the wire header: 'RCP1'. */
export const WIRE_MAGIC = 0x31504352;
export const WIRE_HEADER_SIZE = 16;
/** Every message from executor to compiler begins with this many bytes. */
export const MESSAGE_SIZE = 32;
/** Tag of the fatal record. */
export const FATAL_TAG = -1;

export const OP_SIZE = 64;
/** Offsets in an op. */
export const OP = {
  nr: 0,
  flags: 2,
  load: 3,
  target: 4,
  tolerate0: 6,
  tolerate1: 7,
  result: 8,
  args: 16,
} as const;

export const JUMP_IF_ZERO = 1;
export const JUMP_ON_ERROR = 2;
export const RETRY = 4;
/** How often an op with RETRY runs again. */
export const RETRY_LIMIT = 128;

export const END = 0xffff;
export const SUM = 0xfffe;
export const CMP = 0xfffd;

/** Exit statuses of the executor itself. */
export const EXIT_PROTOCOL = 124;
export const EXIT_FATAL = 125;

/** Result of a call that the executor takes for an error: -4095 ≤ r ≤ -1 (syscall(2), errno(3)). */
export const MAX_ERRNO = 4095;
