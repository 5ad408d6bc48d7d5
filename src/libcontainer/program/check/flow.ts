/**
 * Where control can go after an op, and a forward analysis over it.
 *
 * The rules are those of docs/program.md. A trap's target is entered with nothing known, because a
 * fatal error of any op may lead there. Facts are "must" facts: where two ways meet, only what both
 * agree on is kept, so that a check never complains about what only might be wrong.
 */

import { END, JUMP_IF_ZERO, JUMP_ON_ERROR, SUM } from '../op.ts';
import type { DecodedOp, Image } from '../print/image.ts';
import { trapTarget } from '../print/render.ts';

export interface Edge {
  readonly to: number;
  /** Whether the op's result is an error on this way, is none, or may be either. */
  readonly result: 'ok' | 'error' | 'either';
}

/** Calls whose success is not seen by the program. */
const NEVER_RETURN = new Set(['execve', 'execveat']);

export function edgesOf(image: Image, op: DecodedOp): Edge[] {
  const name = image.syscall(op.nr);
  if (op.nr === END || name === 'exit_group') return [];
  if (op.nr === SUM) return sumEdges(op);
  const edges: Edge[] = [];
  const jumpsOnError = (op.flags & JUMP_ON_ERROR) !== 0;
  if (jumpsOnError) edges.push({ to: op.target, result: 'error' });
  if ((op.flags & JUMP_IF_ZERO) !== 0) edges.push({ to: op.target, result: 'ok' });
  const goesOn = !jumpsOnError && op.tolerated.length > 0;
  if (name !== undefined && NEVER_RETURN.has(name)) {
    if (goesOn) edges.push({ to: op.index + 1, result: 'error' });
  } else {
    edges.push({ to: op.index + 1, result: goesOn ? 'either' : 'ok' });
  }
  return edges;
}

/** SUM never fails; of two constants the result is known. */
function sumEdges(op: DecodedOp): Edge[] {
  const next: Edge = { to: op.index + 1, result: 'ok' };
  if ((op.flags & JUMP_IF_ZERO) === 0) return [next];
  const jump: Edge = { to: op.target, result: 'ok' };
  const [a, b] = op.args;
  if (a!.loaded || b!.loaded) return [jump, next];
  return BigInt.asUintN(64, a!.value + b!.value) === 0n ? [jump] : [next];
}

/** The ops where execution may begin: the first, and the targets of traps. */
export function entriesOf(image: Image): number[] {
  const traps = image.ops.map(trapTarget).filter((target) => target !== undefined);
  return [0, ...traps];
}

/** Facts about numbered or named things; absent = not known. */
export type Facts = ReadonlyMap<string, string>;

/**
 * The facts that hold before each op, undefined for an op that is never reached. `step` gives the
 * facts after an op on one of its edges; `initial` holds before the first op.
 */
export function analyse(
  image: Image,
  initial: Facts,
  step: (before: Facts, op: DecodedOp, edge: Edge) => Facts,
): (Facts | undefined)[] {
  const before: (Facts | undefined)[] = image.ops.map(() => undefined);
  const work: number[] = [];
  const enter = (index: number, facts: Facts): void => {
    if (index >= before.length) return;
    const known = before[index];
    const met = known === undefined ? facts : meet(known, facts);
    if (known !== undefined && met.size === known.size) return;
    before[index] = met;
    work.push(index);
  };
  for (const entry of entriesOf(image)) enter(entry, entry === 0 ? initial : new Map());
  for (let index = work.pop(); index !== undefined; index = work.pop()) {
    const op = image.ops[index]!;
    for (const edge of edgesOf(image, op)) enter(edge.to, step(before[index]!, op, edge));
  }
  return before;
}

function meet(a: Facts, b: Facts): Facts {
  return new Map([...a].filter(([key, value]) => b.get(key) === value));
}
