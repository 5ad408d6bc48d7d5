/**
 * One op as text, without its number: call, result, outcomes.
 *
 *     openat2(root, "proc", {flags=O_PATH|O_CLOEXEC, …}, 24) = destination  ENOENT→15  retry
 *
 * Outcomes: `E→15` jumps on that error, `error→15` on any, `0→15` on the result 0, `E ok` goes on;
 * `↑3` for `→3` is a jump backwards. Everything is decoded twice: first for the places that structs
 * give a name to, then for the text. What cannot be decoded is a problem, which check.ts reports.
 */

import { errnoName } from '../../linux/errno.ts';
import { S_IFMT } from '../../linux/stat.ts';
import type { Program } from '../builder.ts';
import { TRAP } from '../builder.ts';
import { CMP, END, JUMP_IF_ZERO, JUMP_ON_ERROR, RETRY, SUM } from '../op.ts';
import type { Call, PrintOptions } from './call.ts';
import { type DecodedOp, Image, type Word } from './image.ts';
import { formatArgument } from './kinds.ts';
import { ENUMS, enumName, hex, number } from './names.ts';
import { Places } from './places.ts';
import { type AnySyscall, signatureOf } from './signatures.ts';
import { quote } from './text.ts';

export class Renderer {
  readonly image: Image;
  /** Targets of jumps and traps, with the ops that go there. */
  readonly landings: ReadonlyMap<number, readonly string[]>;
  /** What is wrong with the operands of each op. */
  readonly problems: string[] = [];
  readonly #options: PrintOptions;
  readonly #places: Places;
  readonly #labels: ReadonlyMap<number, number>;

  constructor(program: Program, options: PrintOptions) {
    this.image = new Image(program);
    this.#options = options;
    this.#places = new Places(this.image);
    this.landings = landings(this.image);
    const targets = [...this.landings.keys()].sort((a, b) => a - b);
    this.#labels = new Map(targets.map((target, index) => [target, index + 1]));
    for (const op of this.image.ops) this.#text(op);
    this.#places.settle();
    this.problems.length = 0;
  }

  op(index: number): string {
    const op = this.image.ops[index];
    if (op === undefined) throw new RangeError(`the program has no op ${index}`);
    return this.#text(op);
  }

  /** How a jump names its target. */
  label(target: number): string {
    if (this.#options.numbers !== false) return String(target);
    return `L${this.#labels.get(target) ?? '?'}`;
  }

  #text(op: DecodedOp): string {
    if (op.nr === END) return 'end';
    if (op.nr === SUM) return this.#sum(op);
    if (op.nr === CMP && this.#alwaysFails(op)) return this.#negation(op);
    if (op.nr === CMP) return this.#check(op) + this.#result(op) + this.#outcomes(op);
    return this.#call(op) + this.#result(op) + this.#outcomes(op);
  }

  #call(op: DecodedOp): string {
    const name = this.image.syscall(op.nr);
    if (name === undefined) {
      this.#problem(op, `${op.nr} is no system call that runcell makes`);
      return `syscall_${op.nr}(${op.args.map((word) => this.#word(word)).join(', ')})`;
    }
    const call: Call = {
      image: this.image,
      places: this.#places,
      options: this.#options,
      name,
      args: op.args,
      problem: (text) => this.#problem(op, `${name}: ${text}`),
    };
    const kinds = signatureOf(name as AnySyscall, op.args);
    const shown = kinds.map((kind, k) => formatArgument(kind, op.args[k]!, call, k));
    const extra = op.args.slice(kinds.length).filter((word) => word.loaded || word.value !== 0n);
    if (extra.length > 0) this.#problem(op, `${name} takes ${kinds.length} arguments`);
    shown.push(...extra.map((word) => `!${this.#word(word)}`));
    return `${name}(${shown.join(', ')})`;
  }

  #sum(op: DecodedOp): string {
    const [a, b] = op.args as [Word, Word];
    const isZero = !a.loaded && !b.loaded && a.value === 0n && b.value === 0n;
    const jumps = (op.flags & JUMP_IF_ZERO) !== 0;
    if (op.result === BigInt(TRAP.address) && !a.loaded && !b.loaded) {
      return a.value === 0n ? 'trap off' : `trap ${this.#arrow(op, Number(a.value))}`;
    }
    const sum = this.#addition(a, b);
    if (op.result !== 0n) {
      return `store ${this.#places.name(op.result)} = ${sum}${this.#outcomes(op)}`;
    }
    if (!jumps) return `store nowhere = ${sum}`;
    return `${isZero ? '' : `if ${sum} == 0 `}goto ${this.#arrow(op, op.target)}`;
  }

  #addition(a: Word, b: Word): string {
    if (!b.loaded && b.value === 0n) return this.#word(a);
    // The high half is the 32-bit field behind the one that is stored to.
    const high = b.value >> 32n;
    const isHigh = !b.loaded && b.value === high << 32n && high < 1n << 31n;
    if (isHigh) return `${this.#word(a)} + (${high} << 32)`;
    const second = this.#word(b);
    return second.startsWith('-')
      ? `${this.#word(a)} - ${second.slice(1)}`
      : `${this.#word(a)} + ${second}`;
  }

  #check(op: DecodedOp): string {
    const [at, mask, expected, errno] = op.args as [Word, Word, Word, Word];
    const place = this.#places.name(at.value);
    const reason = errno.loaded ? this.#word(errno) : errnoText(Number(errno.value));
    return `check ${this.#comparison(at.loaded ? `*${place}` : place, mask, expected)} else ${reason}`;
  }

  /** A check of a constant that cannot hold: its result is always the negated fourth operand. */
  #alwaysFails(op: DecodedOp): boolean {
    const [at, mask, expected] = op.args as [Word, Word, Word];
    const isFixed = !at.loaded && !mask.loaded && !expected.loaded;
    const value = this.image.read(at.value, 8);
    if (!isFixed || value === undefined || this.image.stored.has(at.value)) return false;
    return !this.#places.isInFilled(at.value) && (value & mask.value) !== expected.value;
  }

  #negation(op: DecodedOp): string {
    const goesOn = op.target === op.index + 1 ? '' : this.#outcomes(op);
    const place = op.result === 0n ? 'nowhere' : this.#places.name(op.result);
    return `store ${place} = -${this.#word(op.args[3]!)}${goesOn}`;
  }

  /** `statx.mode & S_IFMT == S_IFCHR`, `statx.rdev == 1:3`, `statfs.type == PROC_SUPER_MAGIC`. */
  #comparison(place: string, mask: Word, expected: Word): string {
    const isWhole = !mask.loaded && mask.value === 0xffffffffffffffffn;
    if (mask.loaded || expected.loaded) {
      return `${place} & ${this.#word(mask)} == ${this.#word(expected)}`;
    }
    const value = expected.value;
    if (mask.value === BigInt(S_IFMT)) {
      return `${place} & S_IFMT == ${enumName(value, ENUMS.fileType)}`;
    }
    if (isWhole && place.endsWith('.rdev_major')) {
      return `${place.slice(0, -'_major'.length)} == ${value & 0xffffffffn}:${value >> 32n}`;
    }
    const isMagic = place.endsWith('.type');
    const shown = isMagic
      ? enumName(value, ENUMS.magic)
      : value < 0x10000n
        ? `${value}`
        : hex(value);
    return isWhole ? `${place} == ${shown}` : `${place} & ${hex(mask.value)} == ${shown}`;
  }

  #result(op: DecodedOp): string {
    return op.result === 0n ? '' : ` = ${this.#places.name(op.result)}`;
  }

  #outcomes(op: DecodedOp): string {
    const parts: string[] = [];
    const names = op.tolerated.map(errnoText);
    if ((op.flags & JUMP_ON_ERROR) !== 0) {
      const arrow = this.#arrow(op, op.target);
      if (names.length === 0) parts.push(`error${arrow}`);
      parts.push(...names.map((name) => `${name}${arrow}`));
    } else {
      parts.push(...names.map((name) => `${name} ok`));
    }
    if ((op.flags & JUMP_IF_ZERO) !== 0) parts.push(`0${this.#arrow(op, op.target)}`);
    if ((op.flags & RETRY) !== 0) parts.push('retry');
    return parts.map((part) => `  ${part}`).join('');
  }

  #arrow(op: DecodedOp, target: number): string {
    return `${target > op.index ? '→' : '↑'}${this.label(target)}`;
  }

  /** An operand of a pseudo op, or one whose kind is not known. */
  #word(word: Word): string {
    if (word.loaded) return this.#places.name(word.value);
    const region = this.image.region(word.value);
    if (region === 'page') return `&${this.#places.name(word.value)}`;
    if (region !== 'data') return number(word.value);
    const text = this.#places.isNamed(word.value) ? undefined : this.image.string(word.value);
    if (text === undefined || text.length === 0) return `&${this.#places.name(word.value)}`;
    return quote(text, this.#options.whole === true);
  }

  #problem(op: DecodedOp, text: string): void {
    this.problems.push(`op ${op.index}: ${text}`);
  }
}

function errnoText(errno: number): string {
  return errnoName(errno) ?? `errno ${errno}`;
}

/** Where jumps land: `12`, `trap 3`. */
function landings(image: Image): Map<number, string[]> {
  const found = new Map<number, string[]>();
  const add = (target: number, from: string): void => {
    found.set(target, [...(found.get(target) ?? []), from]);
  };
  for (const op of image.ops) {
    const trap = trapTarget(op);
    if (trap !== undefined) add(trap, `trap ${op.index}`);
    else if ((op.flags & (JUMP_IF_ZERO | JUMP_ON_ERROR)) !== 0) add(op.target, String(op.index));
  }
  return found;
}

/** The op that a fatal error goes to once this op has run; undefined when it sets no trap. */
export function trapTarget(op: DecodedOp): number | undefined {
  const [a, b] = op.args as [Word, Word];
  const isTrap = op.nr === SUM && op.result === BigInt(TRAP.address) && !a.loaded && !b.loaded;
  return isTrap && a.value !== 0n ? Number(a.value + b.value) : undefined;
}
