/**
 * Classic BPF from what each architecture does with its calls (linux/filter.h, seccomp(2)).
 *
 *     load arch ─ one comparison each ─► load nr ─ binary search over intervals ─► ret action
 *        └► ret KILL                                                          └─► conditions ─► ret
 *
 * The kernel checks and translates every instruction when a filter is loaded and runs it for every
 * number once (its bitmap of calls that are always allowed, Linux 5.11), so both the length and the
 * depth cost: neighbouring numbers with one verdict are one interval, and a tree of comparisons finds
 * it. A conditional jump reaches 255 instructions and only forward, so code is made from its last
 * instruction to its first: where a target is, is known when the jump to it is made, and what is too
 * far is repeated (`ret`) or reached by a long jump.
 */

import { RuncellError } from '../../error.ts';
import {
  BPF,
  FILTER_LENGTH_MAX,
  SECCOMP_DATA,
  SECCOMP_RET,
  SOCK_FILTER_SIZE,
} from '../linux/seccomp.ts';
import type { Condition, Halves, Rule, Verdict } from './rules.ts';

/** From `start` to the next segment's start: one verdict. */
export interface Segment {
  readonly start: number;
  readonly verdict: Verdict;
}

/** The whole range of numbers of one AUDIT_ARCH, ascending from 0. */
export interface Section {
  readonly audit: number;
  readonly segments: readonly Segment[];
}

const JUMP_MAX = 255;
/** How many comparisons in a row are still better than a tree of twice as many. */
const SINGLES = 4;

export function encodeFilter(sections: readonly Section[], defaultAction: number): Uint8Array {
  const code = new Code(defaultAction);
  let other = code.ret(SECCOMP_RET.KILL_THREAD);
  for (const { audit, segments } of [...sections].reverse()) {
    code.forget();
    const groups = groupsOf(segments);
    const tree = code.tree(groups, 0, groups.length);
    const begin = code.load(SECCOMP_DATA.nr, tree);
    other = code.compare(BPF.JEQ, audit, begin, other);
  }
  code.load(SECCOMP_DATA.arch, other);
  return code.finish();
}

/** Instructions, the last first. A place is the number of instructions from it to the end, less one. */
class Code {
  readonly #words: number[] = [];
  readonly #defaultAction: number;
  /** The latest place of `ret action`, and of a list of rules. */
  readonly #rets = new Map<number, number>();
  readonly #lists = new Map<readonly Rule[], number>();

  constructor(defaultAction: number) {
    this.#defaultAction = defaultAction;
  }

  get #last(): number {
    return this.#words.length / 2 - 1;
  }

  /** Lists of rules of the section before are for arguments of another layout. */
  forget(): void {
    this.#lists.clear();
  }

  #push(code: number, k: number): number {
    this.#words.push(code, k >>> 0);
    return this.#last;
  }

  ret(action: number): number {
    const known = this.#rets.get(action);
    if (known !== undefined && this.#last - known < JUMP_MAX - 8) return known;
    const place = this.#push(BPF.RET, action);
    this.#rets.set(action, place);
    return place;
  }

  /** A load whose next instruction is at `next`. */
  load(offset: number, next: number): number {
    this.#goOn(next);
    return this.#push(BPF.LOAD, offset);
  }

  compare(code: number, k: number, then: number, otherwise: number): number {
    let [yes, no] = [then, otherwise];
    // Each may put an instruction between the other and its jump.
    for (;;) {
      const [nearYes, nearNo] = [this.#near(yes), this.#near(no)];
      if (nearYes === yes && nearNo === no) break;
      [yes, no] = [nearYes, nearNo];
    }
    const next = this.#last;
    return this.#push(code | ((next - yes) << 16) | ((next - no) << 24), k);
  }

  #near(place: number): number {
    return this.#last - place <= JUMP_MAX ? place : this.#again(place);
  }

  /** A nearer instruction that does the same as the one at `place`. */
  #again(place: number): number {
    if ((this.#words[2 * place]! & 0xffff) === BPF.RET)
      return this.ret(this.#words[2 * place + 1]!);
    return this.#push(BPF.JA, this.#last - place);
  }

  /** Makes what is at `place` come next. */
  #goOn(place: number): void {
    if (place === this.#last) return;
    const [code, k] = [this.#words[2 * place]! & 0xffff, this.#words[2 * place + 1]!];
    if (code === BPF.RET) this.#push(BPF.RET, k);
    else this.#push(BPF.JA, this.#last - place);
  }

  /** The groups from `from` to before `to`. */
  tree(groups: readonly Group[], from: number, to: number): number {
    if (to - from === 1) return this.#group(groups[from]!);
    const middle = (from + to) >> 1;
    const above = this.tree(groups, middle, to);
    const below = this.tree(groups, from, middle);
    return this.compare(BPF.JGE, groups[middle]!.start, above, below);
  }

  #group({ verdict, singles }: Group): number {
    let place = this.#verdict(verdict);
    for (let i = singles.length - 1; i >= 0; i--) {
      const { start, verdict: other } = singles[i]!;
      place = this.compare(BPF.JEQ, start, this.#verdict(other), place);
    }
    return place;
  }

  #verdict(verdict: Verdict): number {
    if (typeof verdict === 'number') return this.ret(verdict);
    const known = this.#lists.get(verdict);
    if (known !== undefined && this.#last - known < JUMP_MAX - 8) return known;
    const values = valuesOf(verdict, this.#defaultAction);
    const place = values === undefined ? this.#list(verdict) : this.#values(values);
    this.#lists.set(verdict, place);
    return place;
  }

  #list(rules: readonly Rule[]): number {
    let place = this.ret(this.#defaultAction);
    for (let i = rules.length - 1; i >= 0; i--) place = this.#rule(rules[i]!, place);
    return place;
  }

  /** As with the numbers of calls: a tree over intervals. */
  #values({ arg, wide, segments, above }: Values): number {
    const low = SECCOMP_DATA.args + 8 * arg;
    const groups = groupsOf(segments);
    const place = this.load(low, this.tree(groups, 0, groups.length));
    if (!wide) return place;
    return this.load(low + 4, this.compare(BPF.JEQ, 0, place, this.ret(above)));
  }

  #rule({ action, conditions }: Rule, next: number): number {
    let place = this.ret(action);
    for (let i = conditions.length - 1; i >= 0; i--) {
      place = this.#condition(conditions[i]!, place, next);
    }
    return place;
  }

  #condition(condition: Condition, holds: number, fails: number): number {
    const [yes, no] = condition.negated ? [fails, holds] : [holds, fails];
    const { arg, mask, value, test } = condition;
    const high = SECCOMP_DATA.args + 8 * arg + 4;
    if (test === 'eq') return this.#equal({ mask, value }, high, yes, no);
    const low = this.#compareHalf(test === 'gt' ? BPF.JGT : BPF.JGE, value.low, yes, no, high - 4);
    if (mask.high === 0) return low;
    const equal = this.compare(BPF.JEQ, value.high, low, no);
    const above = this.compare(BPF.JGT, value.high, yes, equal);
    return this.load(high, above);
  }

  #compareHalf(code: number, k: number, yes: number, no: number, offset: number): number {
    return this.load(offset, this.compare(code, k, yes, no));
  }

  /** Halves without a mask are not looked at: both are 0 then. */
  #equal(
    { mask, value }: { mask: Halves; value: Halves },
    high: number,
    yes: number,
    no: number,
  ): number {
    let place = yes;
    for (const [half, offset] of [['low', high - 4] as const, ['high', high] as const]) {
      if (mask[half] === 0) continue;
      place = this.compare(BPF.JEQ, value[half], place, no);
      if (mask[half] !== 0xffffffff) {
        this.#goOn(place);
        place = this.#push(BPF.AND, mask[half]);
      }
      place = this.load(offset, place);
    }
    return place;
  }

  finish(): Uint8Array {
    const count = this.#words.length / 2;
    if (count > FILTER_LENGTH_MAX) {
      const reason = `becomes ${count} instructions, the kernel takes ${FILTER_LENGTH_MAX}`;
      throw new RuncellError({ code: 'config.value', specPath: 'linux.seccomp', reason });
    }
    const bytes = new Uint8Array(count * SOCK_FILTER_SIZE);
    const words = new Uint32Array(bytes.buffer);
    for (let i = 0; i < count; i++) {
      words[2 * i] = this.#words[2 * (count - 1 - i)]!;
      words[2 * i + 1] = this.#words[2 * (count - 1 - i) + 1]!;
    }
    return bytes;
  }
}

/** An interval of one verdict, but for a few single numbers in it. */
interface Group {
  readonly start: number;
  readonly verdict: Verdict;
  readonly singles: readonly Segment[];
}

/** A single number in an interval takes one comparison, and its two ends would take two. */
function groupsOf(segments: readonly Segment[]): Group[] {
  const groups: Group[] = [];
  for (let i = 0; i < segments.length; ) {
    const { start, verdict } = segments[i]!;
    const singles: Segment[] = [];
    let next = i + 1;
    while (singles.length < SINGLES && next + 1 < segments.length) {
      const [single, after] = [segments[next]!, segments[next + 1]!];
      if (after.start !== single.start + 1 || after.verdict !== verdict) break;
      singles.push(single);
      next += 2;
    }
    groups.push({ start, verdict, singles });
    i = next;
  }
  return groups;
}

/** What rules about one argument alone do with each of its values. */
interface Values {
  readonly arg: number;
  /** Whether the high half counts; `above` is the action where it is not 0. */
  readonly wide: boolean;
  readonly segments: readonly Segment[];
  readonly above: number;
}

/**
 * Rules whose one condition is a comparison of the same argument with a number of 32 bits, as intervals of
 * its values; undefined for any others. A profile lists the families of sockets in this way.
 */
function valuesOf(rules: readonly Rule[], defaultAction: number): Values | undefined {
  const { arg, mask } = rules[0]!.conditions[0]!;
  const bounds = new Set([0]);
  for (const { conditions } of rules) {
    const { arg: other, mask: bits, value, test } = conditions[0]!;
    if (conditions.length !== 1 || other !== arg || value.high !== 0) return undefined;
    if (bits.high !== mask.high || bits.low !== 0xffffffff) return undefined;
    if (test !== 'gt') bounds.add(value.low);
    if (test !== 'ge') bounds.add(value.low + 1);
  }
  if (mask.high !== 0 && mask.high !== 0xffffffff) return undefined;
  const actionAt = (value: number): number => {
    const rule = rules.find(({ conditions }) => holdsFor(conditions[0]!, value));
    return rule === undefined ? defaultAction : rule.action;
  };
  const segments: Segment[] = [];
  for (const start of [...bounds].sort((a, b) => a - b)) {
    const verdict = actionAt(start);
    if (start < ABOVE && segments.at(-1)?.verdict !== verdict) segments.push({ start, verdict });
  }
  return { arg, wide: mask.high !== 0, segments, above: actionAt(ABOVE) };
}

/** One more than 32 bits hold. */
const ABOVE = 0x100000000;

function holdsFor({ test, negated, value }: Condition, argument: number): boolean {
  const { low } = value;
  const holds = test === 'eq' ? argument === low : test === 'gt' ? argument > low : argument >= low;
  return holds !== negated;
}
