/**
 * From the rules of a profile to what one architecture does with each of its calls (runtime-spec 1.3
 * config-linux.md#seccomp). Which rule counts is as in libseccomp and runc, so that a profile means
 * the same here:
 *
 * - a rule with the default's action says nothing;
 * - the first rule without conditions decides about its call, whatever conditional ones there are;
 * - conditions on different arguments all have to hold; two on one argument of a rule are a rule each,
 *   so that one is enough;
 * - of conditional rules the first that holds decides, in the order of `compareRules`: the narrow ones
 *   before the wide. Two with the same conditions and different actions are a contradiction, and so
 *   is one whose conditions are the first of an earlier one's;
 * - an argument has 32 bits on an architecture of 32 bits, and what is beyond them is not compared;
 * - calls that go through socketcall(2) or ipc(2) are told there by its first argument, in place of a
 *   condition on that argument.
 */

import type { LinuxSeccompArg, LinuxSyscall } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { actionOf } from './actions.ts';

/** One comparison: (argument & mask) against a value, in halves of 32 bits; the outcome may be negated. */
export interface Condition {
  readonly arg: number;
  readonly test: 'eq' | 'gt' | 'ge';
  readonly negated: boolean;
  readonly mask: Halves;
  readonly value: Halves;
}

export interface Halves {
  readonly high: number;
  readonly low: number;
}

export interface Rule {
  readonly action: number;
  /** Ascending by argument, one each. */
  readonly conditions: readonly Condition[];
}

/** What is done with a call: an action, or the conditional rules in their order. */
export type Verdict = number | readonly Rule[];

/** socketcall(2), linux/net.h; ipc(2), linux/ipc.h: by the first argument. */
const SOCKETCALL: readonly string[] = (
  '- socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom ' +
  'shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg'
).split(' ');
const IPC: readonly string[] = (
  '- semop semget semctl semtimedop - - - - - - msgsnd msgrcv msgget msgctl - - - - - - ' +
  'shmat shmdt shmget shmctl'
).split(' ');

/** What a profile says about one name; `verdict` is undefined where it only repeats the default. */
export interface NameRules {
  /** An action, or conditional rules in the order of the profile. */
  verdict: number | Rule[] | undefined;
  /** Place of the entry that spoke last, for an error. */
  at: string;
  /** An architecture of the filter has a call of this name. */
  found: boolean;
}

export type ProfileRules = ReadonlyMap<string, NameRules>;

/** The profile's rules by name, as they are for every architecture. */
export function rulesByName(
  syscalls: readonly LinuxSyscall[],
  defaultAction: number,
): ProfileRules {
  const byName = new Map<string, NameRules>();
  for (let i = 0; i < syscalls.length; i++) {
    const entry = syscalls[i]!;
    const at = `linux.seccomp.syscalls[${i}]`;
    const action = actionOf(entry.action, entry.errnoRet);
    const alternatives = entry.args?.length ? alternativesOf(entry.args) : undefined;
    for (const name of entry.names) {
      let rules = byName.get(name);
      if (rules === undefined) {
        rules = { verdict: undefined, at, found: false };
        byName.set(name, rules);
      }
      if (action === defaultAction || typeof rules.verdict === 'number') continue;
      rules.at = at;
      if (alternatives === undefined) {
        rules.verdict = action;
      } else {
        const more = alternatives.map((conditions) => ({ action, conditions }));
        rules.verdict = [...(rules.verdict ?? []), ...more];
      }
    }
  }
  return byName;
}

/** One name's rules on an architecture. */
export function verdictOn(bits: 32 | 64, name: string, rules: NameRules): Verdict | undefined {
  const { verdict, at } = rules;
  if (verdict === undefined || typeof verdict === 'number') return verdict;
  return ordered(bits, verdict, at, name);
}

/** The calls of a multiplexer by its first argument, unless it has a verdict without conditions. */
export function multiplexed(
  name: 'socketcall' | 'ipc',
  bits: 32 | 64,
  profile: ProfileRules,
): Verdict | undefined {
  const own = profile.get(name)?.verdict;
  const rules: Rule[] = [];
  let at = '';
  (name === 'ipc' ? IPC : SOCKETCALL).forEach((call, number) => {
    const known = profile.get(call);
    if (known === undefined) return;
    known.found = true;
    const { verdict } = known;
    if (verdict === undefined) return;
    at = known.at;
    if (typeof verdict === 'number') rules.push({ action: verdict, conditions: [first(number)] });
    else for (const rule of verdict) rules.push(throughMultiplexer(rule, number));
  });
  if (typeof own === 'number') return own;
  if (own !== undefined) rules.unshift(...own);
  return rules.length === 0 ? undefined : ordered(bits, rules, at, name);
}

function throughMultiplexer({ action, conditions }: Rule, number: number): Rule {
  return { action, conditions: [first(number), ...conditions.filter(({ arg }) => arg !== 0)] };
}

function ordered(bits: 32 | 64, rules: readonly Rule[], at: string, name: string): Rule[] {
  const list: Rule[] = [];
  for (const rule of rules) {
    const cut = bits === 64 ? rule : { ...rule, conditions: rule.conditions.map(cutTo32) };
    addRule(list, cut, at, name);
  }
  return list.sort(compareRules);
}

/** Whoever begins with all conditions of another adds nothing to it. */
function addRule(rules: Rule[], added: Rule, at: string, name: string): void {
  for (let i = 0; i < rules.length; i++) {
    const known = rules[i]!;
    if (isPrefix(known.conditions, added.conditions)) {
      const same = known.conditions.length === added.conditions.length;
      if (same && known.action !== added.action) throw contradiction(at, name);
      return;
    }
    if (!isPrefix(added.conditions, known.conditions)) continue;
    if (known.action !== added.action) throw contradiction(at, name);
    rules.splice(i--, 1);
  }
  rules.push(added);
}

function contradiction(specPath: string, target: string): RuncellError {
  const reason = 'contradicts an earlier rule with the same conditions';
  return new RuncellError({ code: 'config.value', specPath, target, reason });
}

function isPrefix(short: readonly Condition[], long: readonly Condition[]): boolean {
  return short.every((condition, i) => long[i] !== undefined && isSame(condition, long[i]!));
}

function isSame(a: Condition, b: Condition): boolean {
  return (
    a.arg === b.arg &&
    a.test === b.test &&
    a.negated === b.negated &&
    a.mask.high === b.mask.high &&
    a.mask.low === b.mask.low &&
    a.value.high === b.value.high &&
    a.value.low === b.value.low
  );
}

/** Conditions that all have to hold; of several such lists one is enough. */
function alternativesOf(args: readonly LinuxSeccompArg[]): Condition[][] {
  const conditions = args.map(conditionOf).sort((a, b) => a.arg - b.arg);
  const twice = conditions.some(({ arg }, i) => i > 0 && conditions[i - 1]!.arg === arg);
  return twice ? args.map((arg) => [conditionOf(arg)]) : [conditions];
}

const ALL: Halves = { high: 0xffffffff, low: 0xffffffff };

const TESTS = {
  SCMP_CMP_NE: { test: 'eq', negated: true },
  SCMP_CMP_LT: { test: 'ge', negated: true },
  SCMP_CMP_LE: { test: 'gt', negated: true },
  SCMP_CMP_EQ: { test: 'eq', negated: false },
  SCMP_CMP_GE: { test: 'ge', negated: false },
  SCMP_CMP_GT: { test: 'gt', negated: false },
  SCMP_CMP_MASKED_EQ: { test: 'eq', negated: false },
} as const;

function conditionOf({ index, op, value, valueTwo }: LinuxSeccompArg): Condition {
  const { test, negated } = TESTS[op];
  const first = halvesOf(value);
  if (op !== 'SCMP_CMP_MASKED_EQ') return { arg: index, test, negated, mask: ALL, value: first };
  const wanted = halvesOf(valueTwo ?? 0);
  const masked = { high: (wanted.high & first.high) >>> 0, low: (wanted.low & first.low) >>> 0 };
  return { arg: index, test, negated, mask: first, value: masked };
}

function halvesOf(value: number | bigint): Halves {
  if (typeof value === 'number') {
    return { high: Math.floor(value / 0x100000000) >>> 0, low: value >>> 0 };
  }
  return { high: Number(value >> 32n), low: Number(value & 0xffffffffn) };
}

function first(value: number): Condition {
  return { arg: 0, test: 'eq', negated: false, mask: ALL, value: { high: 0, low: value } };
}

/** The high half of an argument is not looked at: its mask is 0. */
function cutTo32(condition: Condition): Condition {
  const { mask, value } = condition;
  return { ...condition, mask: { high: 0, low: mask.low }, value: { high: 0, low: value.low } };
}

const WIDTH = { eq: 0, ge: 2, gt: 2 } as const;

/**
 * The order of libseccomp's tree (db.c): a higher argument first; equality, then what is below a
 * value, then what is above one; of those the one that holds for less.
 */
function compareRules(a: Rule, b: Rule): number {
  for (let i = 0; i < a.conditions.length && i < b.conditions.length; i++) {
    const [x, y] = [a.conditions[i]!, b.conditions[i]!];
    if (x.arg !== y.arg) return y.arg - x.arg;
    const width = widthOf(x) - widthOf(y);
    if (width !== 0) return width;
    const difference = x.value.high - y.value.high || x.value.low - y.value.low;
    if (difference !== 0) return widthOf(x) === 1 ? difference : -difference;
    if (!isSame(x, y)) return 0;
  }
  return 0;
}

const widthOf = ({ test, negated }: Condition): number =>
  test !== 'eq' && negated ? 1 : WIDTH[test];
