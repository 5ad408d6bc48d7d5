/**
 * Runs one program on the host: an executor is spawned, given the program, and ends.
 *
 * Storage needs a handful of mount calls outside of any container, and the executor is the only
 * place that makes them (DESIGN.md §2). A program ends in `planDone`, or at an error in the ops of
 * `planFailure`, which first send what the kernel wrote into the filesystem context: after a failed
 * fsconfig(2) a read(2) of it says "e overlay: …" where the errno alone is EINVAL. The executor
 * needs no sealed copy here, since it never meets a container's process.
 */

import { existsSync } from 'node:fs';
import { type ErrorFields, RuncellError } from '../error.ts';
import { spawnExecutor } from '../libcontainer/executor/cold.ts';
import type { FatalRecord } from '../libcontainer/executor/protocol.ts';
import { reap } from '../libcontainer/native/libc.ts';
import { TAG } from '../libcontainer/plan/messages.ts';
import {
  CTL,
  ERR,
  type Label,
  type Program,
  ProgramBuilder,
  RECORD_ADDRESS,
  type Slot,
} from '../libcontainer/program/builder.ts';
import { MESSAGE_SIZE } from '../libcontainer/program/op.ts';

/** Tag of the message that a host program ends with; never mixed with those of a container. */
const TAG_DONE = 100;
/** The kernel keeps the last eight messages of a context; the first ones name the cause. */
const REASONS = 4;
const REASON_SIZE = 480;

export function hostBuilder(): ProgramBuilder {
  return new ProgramBuilder(process.arch === 'arm64' ? 'arm64' : 'x64');
}

/** The program's answer: `value` comes back from `runHostProgram`. */
export function planDone(b: ProgramBuilder, value = 0): void {
  b.call('write', [CTL, b.words([TAG_DONE, value, 0, 0]), MESSAGE_SIZE], { note: 'done' });
  b.end();
}

/** Where a fatal error goes once `fs` is open: the context's messages, then the fatal record. */
export function planFailure(b: ProgramBuilder, failed: Label, fs: Slot): void {
  const none = b.label();
  b.place(failed);
  for (let i = 0; i < REASONS; i++) {
    const message = b.space(MESSAGE_SIZE + REASON_SIZE);
    b.setU64(message, TAG.REASON);
    b.setU64(message.plus(24), REASON_SIZE);
    b.call('read', [fs, message.plus(MESSAGE_SIZE), REASON_SIZE], { onError: none });
    b.call('write', [CTL, message, MESSAGE_SIZE + REASON_SIZE], { note: 'what the kernel said' });
  }
  b.place(none);
  b.call('write', [ERR, RECORD_ADDRESS, MESSAGE_SIZE], { note: 'the fatal record' });
  b.end();
}

/** Runs the program to its end. `hintFor` may add what a user can do about a failure. */
export function runHostProgram(
  program: Program,
  hintFor: (failure: HostFailure) => string | undefined = () => undefined,
): number {
  const session = spawnExecutor({ image: executorFile() });
  const reasons: string[] = [];
  try {
    session.send(program);
    for (;;) {
      const message = session.receive();
      if (message.fatal !== undefined) throw failure(program, message.fatal, reasons, hintFor);
      if (message.tag === TAG_DONE) return message.a;
      if (message.tag === TAG.REASON) reasons.push(reasonOf(message.payload));
    }
  } finally {
    session.close();
    reap(session.pid);
  }
}

export interface HostFailure {
  readonly errno: number;
  /** What the kernel said beside the errno, '' when nothing. */
  readonly reason: string;
}

function failure(
  program: Program,
  record: FatalRecord,
  reasons: readonly string[],
  hintFor: (failure: HostFailure) => string | undefined,
): RuncellError {
  const section = program.sections[program.sectionOf[record.op] ?? -1];
  const reason = reasons.join('; ');
  const fields: ErrorFields = {
    code: 'storage.operation',
    operation: section?.reason,
    target: section?.target,
    errno: record.errno,
    reason: reason === '' ? undefined : reason,
    hint: hintFor({ errno: record.errno, reason }),
    op: `storage[${record.op}]`,
  };
  return new RuncellError(fields);
}

/** `e overlay: why` padded with NUL, as `overlay: why`: the letter is the level. */
function reasonOf(payload: Uint8Array): string {
  const end = payload.indexOf(0);
  const text = new TextDecoder().decode(end === -1 ? payload : payload.subarray(0, end));
  return text.trim().replace(/^[ewi] /, '');
}

/** The executor beside the bundle, or in `dist` of the tree this file is in (vitest, plain node). */
function executorFile(): string {
  const base = typeof __dirname === 'string' ? __dirname : import.meta.dirname;
  for (let directory = base; directory !== ''; ) {
    for (const candidate of [`${directory}/executor`, `${directory}/dist/executor`]) {
      if (candidate.endsWith('/dist/executor') && existsSync(candidate)) return candidate;
    }
    directory = directory.slice(0, directory.lastIndexOf('/'));
  }
  throw new RuncellError({
    code: 'internal',
    operation: 'find',
    target: 'dist/executor',
    reason: 'not built',
  });
}
