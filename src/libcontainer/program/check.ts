/**
 * What every program must satisfy, whatever it was planned from, checked on the encoded bytes.
 *
 * Tests run this over every program; hot verbs never load it. It shares no code with the planners.
 * Rules P1 to P4 and P7 of security.md §4.2 as far as one program decides them, and the soundness of
 * the encoding: jumps inside the program, backward ones only around a call that waits, operands
 * inside the data. `checkProgram` returns one line a problem, none for a sound program.
 */

import type { Program } from './builder.ts';
import { descriptorProblems } from './check/descriptors.ts';
import { analyse, edgesOf } from './check/flow.ts';
import { pathProblems } from './check/paths.ts';
import { toleranceProblems } from './check/tolerance.ts';
import { CMP, END, JUMP_IF_ZERO, JUMP_ON_ERROR, RETRY, SUM } from './op.ts';
import type { DecodedOp, Image } from './print/image.ts';
import { Renderer, trapTarget } from './print/render.ts';

export interface CheckOptions {
  /** Whose paths `/` means when the program begins: the host's, or already the container's. */
  readonly root?: 'host' | 'container';
  /**
   * A supervisor stays on the host and becomes the compiler again, which decides about any error
   * and whose launcher closes what is not its own: jumps on every error and an execve without
   * close_range are right there, and nowhere else.
   */
  readonly process?: 'container' | 'supervisor';
}

/** Problems of the program, as `op 12: …`, in the order of the ops. */
export function checkProgram(program: Program, options: CheckOptions = {}): string[] {
  const renderer = new Renderer(program, {});
  const { image } = renderer;
  for (const op of image.ops) renderer.op(op.index);
  const problems = [...renderer.problems];
  const add = (op: DecodedOp, text: string): void => {
    problems.push(`op ${op.index}: ${text}`);
  };
  if (image.ops.length === 0) return ['a program without ops runs its data'];
  if (program.sectionOf.length !== image.ops.length) problems.push('ops without a source map');
  for (const op of image.ops) {
    checkEncoding(image, op, add);
    checkJumps(image, op, add);
    checkPlaces(image, op, add);
  }
  const jumpsAreSound = problems.every((problem) => !problem.includes('outside of the program'));
  if (jumpsAreSound) {
    checkReachability(image, add);
    pathProblems(image, options.root ?? 'host', add);
    const isSupervisor = options.process === 'supervisor';
    descriptorProblems(image, { isSupervisor }, add);
    toleranceProblems(image, { isSupervisor }, add);
  }
  return [...new Set(problems)].sort((a, b) => opIndex(a) - opIndex(b));
}

type Add = (op: DecodedOp, text: string) => void;

function opIndex(problem: string): number {
  return Number(/^op (\d+)/.exec(problem)?.[1] ?? -1);
}

const KNOWN_FLAGS = JUMP_IF_ZERO | JUMP_ON_ERROR | RETRY;

function checkEncoding(image: Image, op: DecodedOp, add: Add): void {
  const isPseudo = op.nr === END || op.nr === SUM || op.nr === CMP;
  const jumps = op.flags & (JUMP_IF_ZERO | JUMP_ON_ERROR);
  if ((op.flags & ~KNOWN_FLAGS) !== 0) add(op, `unknown flags ${op.flags}`);
  if (jumps === (JUMP_IF_ZERO | JUMP_ON_ERROR)) add(op, 'jumps both on error and on zero');
  if (jumps === 0 && op.target !== 0) add(op, 'has a target and no jump');
  const canFail = op.tolerated.length > 0 || (op.flags & (JUMP_ON_ERROR | RETRY)) !== 0;
  if (op.nr === SUM && canFail) add(op, 'a sum is never an error');
  if (op.nr === SUM && op.result === 0n && jumps === 0) add(op, 'a sum without an effect');
  if (op.nr === END && (canFail || jumps !== 0 || op.result !== 0n)) add(op, 'end has no outcome');
  const used = op.nr === END ? 0 : op.nr === SUM ? 2 : 4;
  const isExtra = isPseudo && op.args.slice(used).some((word) => word.loaded || word.value !== 0n);
  if (isExtra) add(op, 'has operands that mean nothing');
  if (op.nr === CMP && op.args[3]!.value === 0n && !op.args[3]!.loaded) {
    add(op, 'a check whose failure is no error');
  }
  if (!isPseudo && image.syscall(op.nr) === undefined) add(op, `unknown system call ${op.nr}`);
}

/** Calls that may sleep: a loop without one of them burns a processor for ever. */
const WAITS = new Set([
  'ppoll',
  'read',
  'waitid',
  'wait4',
  'recvmsg',
  'recvfrom',
  'accept4',
  'nanosleep',
  'futex',
]);

function checkJumps(image: Image, op: DecodedOp, add: Add): void {
  const count = image.ops.length;
  const trap = trapTarget(op);
  if (trap !== undefined && trap >= count) add(op, `traps to ${trap}, outside of the program`);
  if (trap !== undefined && trap <= op.index) add(op, `traps back to ${trap}`);
  for (const { to } of edgesOf(image, op)) {
    if (to === count) {
      add(op, `runs past the last op, outside of the program`);
    } else if (to > count) {
      add(op, `jumps to ${to}, outside of the program`);
    } else if (to <= op.index) {
      const body = image.ops.slice(to, op.index + 1);
      const waits = body.some((inside) => WAITS.has(image.syscall(inside.nr) ?? ''));
      if (!waits) add(op, `jumps back to ${to} around nothing that waits`);
    }
  }
}

function checkPlaces(image: Image, op: DecodedOp, add: Add): void {
  const { result } = op;
  const isWord = image.region(result) !== 'page' || image.pageWord(result) !== undefined;
  if (result !== 0n && (!image.holds(result, 8) || !isWord)) {
    add(op, `stores its result to 0x${result.toString(16)}, which is no word of the program`);
  }
  if (image.pageWord(result) === 'record') add(op, 'stores its result into the fatal record');
  for (const word of op.args) {
    if (word.loaded && !image.holds(word.value, 8)) {
      add(op, `loads from 0x${word.value.toString(16)}, outside of the data`);
    }
  }
  const at = op.args[0]!;
  if (op.nr === CMP && !image.holds(at.value, 8)) {
    add(op, `checks the word at 0x${at.value.toString(16)}, outside of the data`);
  }
}

function checkReachability(image: Image, add: Add): void {
  const reached = analyse(image, new Map(), (facts) => facts);
  for (const op of image.ops) {
    // A closing END behind an op that never returns is how a builder ends every program.
    const isLastEnd = op.nr === END && op.index === image.ops.length - 1;
    if (reached[op.index] === undefined && !isLastEnd) add(op, 'is never reached');
  }
}
