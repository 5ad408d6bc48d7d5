/**
 * Node becomes the executor: the same process, 16 KB in place of 45 MB, for as long as a foreground
 * container runs (DESIGN.md §3.6).
 *
 * execve(2) ends every other thread and keeps pid, children, signal mask and ignored signals; what
 * Node ignores (SIGPIPE, SIGXFSZ) the programs reset. They are read from a memfd: its end is the
 * end of the work. Only descriptors that are named here survive.
 */

import { writeSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { Block, keep, vectorSize } from '../native/block.ts';
import { closeOnExecFrom, cString, memfdCreate, setCloseOnExec, syscall } from '../native/libc.ts';
import type { EncodedProgram } from './protocol.ts';

export interface BecomeExecutor {
  /** The executor's ELF, an absolute path. */
  readonly image: string;
  /** Run one after the other; then the executor exits with 0. */
  readonly programs: readonly EncodedProgram[];
  /** Descriptors the programs use, besides 0, 1 and 2, at their present numbers. */
  readonly keep?: readonly number[];
}

/** A file with the programs in it, read position at its beginning. */
export function programFile(programs: readonly EncodedProgram[]): number {
  const fd = memfdCreate('runcell:programs');
  let position = 0;
  for (const { bytes } of programs) {
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(fd, bytes, written, bytes.length - written, position + written);
    }
    position += bytes.length;
  }
  return fd;
}

/** Does not return: the process goes on as the executor, or the execve's error is thrown. */
export function becomeExecutor(options: BecomeExecutor): never {
  const programs = programFile(options.programs);
  const args = ['runcell', String(programs)].map(cString);
  const block = keep(new Block(vectorSize(args) + 64));
  const argv = block.putVector(args);
  const envp = block.putVector([]);
  closeOnExecFrom(3);
  for (const fd of [0, 1, 2, programs, ...(options.keep ?? [])]) setCloseOnExec(fd, false);
  const path = cString(options.image);
  const result = syscall('execve', path, block.address(argv), block.address(envp));
  throw new RuncellError({
    code: 'kernel.operation',
    operation: 'execve',
    target: options.image,
    errno: -result,
  });
}
