/** Which of several rules counts. Equality with libseccomp is test/integration/seccomp-oracle.test.ts. */

import type { LinuxSeccompArg, LinuxSyscall } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import {
  multiplexed,
  type Rule,
  rulesByName,
  type Verdict,
  verdictOn,
} from '../../../src/libcontainer/seccomp/rules.ts';

const DEFAULT = 0x7fff0000;
const errno = (value: number) => 0x50000 + value;

const rule = (errnoRet: number, ...args: LinuxSeccompArg[]): LinuxSyscall => ({
  names: ['read'],
  action: 'SCMP_ACT_ERRNO',
  errnoRet,
  ...(args.length === 0 ? {} : { args }),
});
const eq = (index: number, value: number | bigint): LinuxSeccompArg => ({
  index,
  op: 'SCMP_CMP_EQ',
  value,
});
const ge = (index: number, value: number): LinuxSeccompArg => ({
  ...eq(index, value),
  op: 'SCMP_CMP_GE',
});
const lt = (index: number, value: number): LinuxSeccompArg => ({
  ...eq(index, value),
  op: 'SCMP_CMP_LT',
});

const verdict = (bits: 32 | 64, ...syscalls: LinuxSyscall[]): Verdict | undefined =>
  verdictOn(bits, 'read', rulesByName(syscalls, DEFAULT).get('read')!);
const actions = (...syscalls: LinuxSyscall[]) =>
  (verdict(64, ...syscalls) as Rule[]).map(({ action }) => action - 0x50000);

describe('rules of one name', () => {
  test('the first without conditions decides', () => {
    expect(verdict(64, rule(1, eq(0, 1)), rule(2), rule(3))).toBe(errno(2));
  });

  test("the default's action says nothing", () => {
    expect(verdict(64, { names: ['read'], action: 'SCMP_ACT_ALLOW' })).toBeUndefined();
  });

  test('a higher argument, then equality, below, above; narrow before wide', () => {
    const order = actions(
      ...[rule(1, ge(0, 5)), rule(2, ge(0, 9)), rule(3, lt(0, 9)), rule(4, lt(0, 5))],
      ...[rule(5, eq(0, 3)), rule(6, eq(1, 3))],
    );
    expect(order).toEqual([6, 5, 4, 3, 2, 1]);
  });

  test('one that begins like a shorter one adds nothing', () => {
    expect(actions(rule(7, eq(0, 1)), rule(8, eq(0, 1), eq(1, 2)))).toEqual([7]);
    expect(actions(rule(7, eq(0, 1), eq(1, 2)), rule(7, eq(0, 1)))).toEqual([7]);
  });

  test('contradictions are refused with their place', () => {
    const contradicting = () => verdict(64, rule(1, eq(0, 1)), rule(2, eq(0, 1)));
    expect(contradicting).toThrow('linux.seccomp.syscalls[1] read: contradicts an earlier rule');
    const shorter = () => verdict(64, rule(1, eq(0, 1), eq(1, 1)), rule(2, eq(0, 1)));
    expect(shorter).toThrow('contradicts');
  });

  test('two conditions on one argument are two rules', () => {
    const rules = verdict(64, rule(1, eq(0, 1), eq(0, 2), eq(1, 3))) as Rule[];
    expect(rules.map(({ conditions }) => conditions.length)).toEqual([1, 1, 1]);
  });

  test('halves are exact', () => {
    const [only] = verdict(64, rule(1, eq(0, 0xfedcba9876543210n))) as Rule[];
    expect(only!.conditions[0]!.value).toEqual({ high: 0xfedcba98, low: 0x76543210 });
    const [number] = verdict(64, rule(1, eq(0, 2 ** 53 - 1))) as Rule[];
    expect(number!.conditions[0]!.value).toEqual({ high: 0x1fffff, low: 0xffffffff });
  });

  test('a mask applies to the value too', () => {
    const masked = { index: 0, op: 'SCMP_CMP_MASKED_EQ', value: 0xf0, valueTwo: 0xff } as const;
    const [only] = verdict(64, rule(1, masked)) as Rule[];
    expect(only!.conditions[0]).toMatchObject({
      mask: { high: 0, low: 0xf0 },
      value: { low: 0xf0 },
    });
  });

  test('32 bits are compared where there are no more', () => {
    const [only] = verdict(32, rule(1, eq(0, 0x500000001n))) as Rule[];
    expect(only!.conditions[0]).toMatchObject({ mask: { high: 0 }, value: { high: 0, low: 1 } });
  });
});

describe('multiplexed calls', () => {
  const named = (name: string, ...args: LinuxSeccompArg[]) => ({
    ...rule(1, ...args),
    names: [name],
  });
  const through = (...syscalls: object[]) =>
    multiplexed('socketcall', 32, rulesByName(syscalls as LinuxSyscall[], DEFAULT));

  test('the first argument is the call, in place of a condition on it', () => {
    const rules = through(named('socket', eq(0, 40), eq(1, 2))) as Rule[];
    expect(rules[0]!.conditions.map(({ arg, value }) => [arg, value.low])).toEqual([
      [0, 1],
      [1, 2],
    ]);
  });

  test('the multiplexer itself without conditions is all of them', () => {
    expect(through(named('socket'), named('socketcall'))).toBe(errno(1));
    expect(through(named('open'))).toBeUndefined();
  });
});
