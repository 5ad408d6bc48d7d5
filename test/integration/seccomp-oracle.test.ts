/**
 * Our filters against libseccomp's: both run in the machine of test/helpers/seccomp-machine.ts, and what they return
 * is the same, call by call. On top of libseccomp's stands what runc prepends: ENOSYS for calls that are
 * newer than the profile. Names that an older libseccomp does not know are left out on both sides.
 *
 * Known differences (SECURITY.md): libseccomp merges several comparisons of one 64-bit argument into a tree
 * that answers wrongly for some values; there a plain reading of the rules is the judge instead.
 */

import type {
  LinuxSeccomp,
  LinuxSeccompArch,
  LinuxSeccompArg,
  LinuxSeccompOperator,
} from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { ARCHITECTURES } from '../../src/libcontainer/seccomp/architectures.ts';
import { compileFilter } from '../../src/libcontainer/seccomp/compile.ts';
import { openLibseccomp } from '../helpers/libseccomp.ts';
import { checkFilter, runFilter } from '../helpers/seccomp-machine.ts';
import { engineProfile } from '../helpers/seccomp-profiles.ts';

const oracle = openLibseccomp();
if (oracle === undefined) throw new Error('libseccomp.so.2 is not installed (apt: libseccomp2)');
const host = process.arch as 'x64' | 'arm64';

const NATIVE = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' } as const;

const ENOSYS = 0x50026;
const SPAN = 520;

const LITTLE = Object.entries(ARCHITECTURES).filter(([, { endian }]) => endian === 'little');
const ARCHS = LITTLE.map(([name]) => name as LinuxSeccompArch);

/** Numbers by name as libseccomp has them; ours are from a newer one. */
async function tableOf(arch: LinuxSeccompArch): Promise<Map<string, number>> {
  const { base = 0, load } = ARCHITECTURES[arch];
  const numbers = new Map<string, number>();
  let next = base;
  for (const word of (await load()).table.names.split(' ')) {
    if (/^\d/.test(word)) next = base + Number(word);
    else numbers.set(word, next++);
  }
  return numbers;
}

/** Whether this libseccomp and our tables mean the same call by the name: one number, or none, there. */
async function agreesOn(name: string, arch: LinuxSeccompArch): Promise<boolean> {
  const ours = (await tableOf(arch)).get(name);
  const theirs = oracle!.numberOn(arch, name);
  if (theirs >= 0) return ours === theirs;
  // Below -100 and -200 are calls of socketcall(2) and ipc(2), of which some have a number as well.
  return theirs > -1000 && theirs < -100 ? true : ours === undefined;
}

async function commonPart(profile: LinuxSeccomp): Promise<LinuxSeccomp> {
  const syscalls = [];
  for (const entry of profile.syscalls ?? []) {
    const names: string[] = [];
    for (const name of entry.names) {
      const agreed = await Promise.all(
        [NATIVE[host], ...profile.architectures!].map((arch) => agreesOn(name, arch)),
      );
      if (agreed.every(Boolean)) names.push(name);
    }
    if (names.length > 0) syscalls.push({ ...entry, names: names as [string, ...string[]] });
  }
  return { ...profile, syscalls };
}

/** The highest number the profile names, where runc's ENOSYS begins. */
async function lastOf(profile: LinuxSeccomp, arch: LinuxSeccompArch): Promise<number> {
  const table = await tableOf(arch);
  const named = (profile.syscalls ?? []).flatMap(({ names }) =>
    names.map((n) => table.get(n) ?? -1),
  );
  return Math.max(...named.filter((number) => number < 0xf0000 || number >= 0x40000000));
}

const NUMBERS = [0n, 1n, 2n, 5n, 8n, 37n, 38n, 39n, 40n, 41n, 0x20000n, 0x7e020000n];
const EDGES = [...NUMBERS, 0xfffffffen, 0xffffffffn, 0x100000000n, 0x100000001n, 2n ** 63n];
const LISTS = [...EDGES, 2n ** 64n - 1n].map((value) => [value, 1n, 0n, value, value, 2n]);

/** Every number of every architecture of the profile, with every list of arguments. */
async function compare(profile: LinuxSeccomp, archs: readonly LinuxSeccompArch[], newer: boolean) {
  const { program } = await compileFilter(profile, host);
  checkFilter(program);
  const theirs = oracle!.compile(profile);
  if (typeof theirs === 'string') throw new Error(theirs);
  const differences: string[] = [];
  for (const name of archs) {
    const { audit: arch, base = 0 } = ARCHITECTURES[name];
    const last = newer ? await lastOf(profile, name) : Number.POSITIVE_INFINITY;
    for (let nr = base; nr < base + SPAN; nr++) {
      for (const args of LISTS) {
        const ours = runFilter(program, { arch, nr, args });
        const expected = nr > last ? ENOSYS : runFilter(theirs, { arch, nr, args });
        if (ours === expected) continue;
        differences.push(`${name} ${nr} ${args}: ${ours.toString(16)}, ${expected.toString(16)}`);
      }
    }
  }
  expect(differences.slice(0, 10)).toEqual([]);
}

describe('default profiles', () => {
  test.each([
    ['moby', 'SCMP_ARCH_X86_64'],
    ['moby', 'SCMP_ARCH_AARCH64'],
    ['moby', 'SCMP_ARCH_RISCV64'],
    ['podman', 'SCMP_ARCH_X86_64'],
    ['podman', 'SCMP_ARCH_AARCH64'],
  ] as const)(
    '%s on %s: every call of its architectures',
    { timeout: 60_000 },
    async (engine, arch) => {
      const profile = await commonPart(engineProfile(engine, arch));
      expect(profile.syscalls!.flatMap(({ names }) => names).length).toBeGreaterThan(300);
      await compare(profile, profile.architectures!, true);
    },
  );

  test('of all little-endian architectures at once', { timeout: 60_000 }, async () => {
    // The library of this machine may lack some.
    const known = ARCHS.filter((arch) => oracle!.knows(arch));
    expect(known.length).toBeGreaterThanOrEqual(8);
    await compare(
      await commonPart({ ...engineProfile('moby'), architectures: known }),
      known,
      true,
    );
  });
});

const THREE: LinuxSeccompArch[] = ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_AARCH64'];

const OPERATORS = ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT'].map(
  (op) => `SCMP_CMP_${op}` as LinuxSeccompOperator,
);
const OPERANDS = [0n, 1n, 5n, 0xffffffffn, 0x100000000n, 0x500000002n, 2n ** 63n, 2n ** 64n - 1n];

/** One rule on one call that all three have, and on one that x86 has behind socketcall(2). */
function oneRule(args: LinuxSeccompArg[]): LinuxSeccomp {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: THREE,
    syscalls: [{ names: ['read', 'socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 7, args }],
  };
}

/** Numbers of read, socket, socketcall on each of them. */
const CALLS = [
  [0xc000003e, [0, 41, 102, 0x40000000]],
  [0x40000003, [3, 359, 102]],
  [0xc00000b7, [63, 198, 102]],
] as const;

async function edges(profile: LinuxSeccomp, values: readonly bigint[]): Promise<void> {
  const { program } = await compileFilter(profile, host);
  checkFilter(program);
  const theirs = oracle!.compile(profile);
  if (typeof theirs === 'string') throw new Error(theirs);
  for (const [arch, numbers] of CALLS) {
    for (const nr of numbers) {
      for (const value of values) {
        const args = [value, value, value];
        const what = JSON.stringify(profile.syscalls, (_, v) =>
          typeof v === 'bigint' ? `${v}` : v,
        );
        expect(runFilter(program, { arch, nr, args }), `${what} ${arch} ${nr} ${value}`).toBe(
          runFilter(theirs, { arch, nr, args }),
        );
      }
    }
  }
}

const around = (value: bigint) => [value - 1n, value, value + 1n].map((v) => BigInt.asUintN(64, v));

describe('operators', () => {
  test.each(OPERATORS)('%s at its edges, in both halves', async (op) => {
    for (const value of OPERANDS) {
      for (const index of [0, 1]) {
        const probes = [...around(value), ...around(value ^ 0x100000000n), 0n, 1n];
        await edges(oneRule([{ index, value, op }]), probes);
      }
    }
  });

  test('MASKED_EQ with every kind of mask', async () => {
    for (const value of [0n, 1n, 0x7e020000n, 0xffffffffn, 0xff00000000n, 2n ** 64n - 1n]) {
      for (const valueTwo of OPERANDS) {
        const probes = [value, valueTwo, value & valueTwo, valueTwo ^ value, 0n, 2n ** 64n - 1n];
        const args: LinuxSeccompArg[] = [{ index: 1, op: 'SCMP_CMP_MASKED_EQ', value, valueTwo }];
        await edges(oneRule(args), probes);
      }
    }
  });

  test('conditions on several arguments all hold', async () => {
    const args: LinuxSeccompArg[] = [
      { index: 0, op: 'SCMP_CMP_GE', value: 5n },
      { index: 2, op: 'SCMP_CMP_NE', value: 0x100000000n },
      { index: 1, op: 'SCMP_CMP_LT', value: 0x500000002n },
    ];
    await edges(oneRule(args), [...OPERANDS.flatMap(around), 0x200000000n]);
  });

  test('two conditions on one argument are two rules', async () => {
    const args: LinuxSeccompArg[] = [
      { index: 1, op: 'SCMP_CMP_EQ', value: 5n },
      { index: 1, op: 'SCMP_CMP_EQ', value: 8n },
      { index: 0, op: 'SCMP_CMP_EQ', value: 0x500000002n },
    ];
    await edges(oneRule(args), OPERANDS.flatMap(around).concat(8n));
  });
});

describe('rules of one call', () => {
  const rule = (errnoRet: number, value?: bigint) => ({
    names: ['read'] as [string],
    action: 'SCMP_ACT_ERRNO' as const,
    errnoRet,
    ...(value === undefined
      ? {}
      : { args: [{ index: 1, op: 'SCMP_CMP_EQ' as const, value }] as LinuxSeccompArg[] }),
  });
  const profile = (...syscalls: NonNullable<LinuxSeccomp['syscalls']>): LinuxSeccomp => ({
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: THREE,
    syscalls,
  });

  test('the first without conditions counts, also after conditional ones', async () => {
    await edges(profile(rule(1), rule(2)), [0n]);
    await edges(profile(rule(1, 5n), rule(2)), [4n, 5n]);
    await edges(profile(rule(1), rule(2, 5n)), [4n, 5n]);
  });

  test('each condition has its action', async () => {
    await edges(profile(rule(1, 5n), rule(2, 6n), rule(3, 0x500000002n)), EDGES.flatMap(around));
  });

  test('one with the action of the default says nothing', async () => {
    const allow = { names: ['read'] as [string], action: 'SCMP_ACT_ALLOW' as const };
    await edges(profile(allow, rule(2)), [0n]);
  });

  test('a contradiction is refused by both', async () => {
    const contradicting = profile(rule(1, 5n), rule(2, 5n));
    expect(oracle.compile(contradicting)).toBe('rule read: -17');
    await expect(compileFilter(contradicting, host)).rejects.toThrow(/syscalls\[1\].*contradicts/);
  });
});

describe('numbers that are no calls', () => {
  const HUGE = [0x3fffffff, 0x40000000, 0x7fffffff, 0xfffffffe, 0xffffffff];

  test.each([
    ['x86-64 alone', ['SCMP_ARCH_X86_64']],
    ['x86-64 and x32', ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32']],
  ] as [string, LinuxSeccompArch[]][])('%s', { skip: host !== 'x64' }, async (_, architectures) => {
    // Without ENOSYS the two agree on every number.
    const profile: LinuxSeccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures,
      syscalls: [{ names: ['read'], action: 'SCMP_ACT_ERRNO' }],
    };
    const { program } = await compileFilter(profile, host);
    const theirs = oracle.compile(profile) as Uint8Array;
    for (const nr of [...HUGE, 0x80000000, 0xbfffffff, 0xc0000000]) {
      const call = { arch: 0xc000003e, nr };
      expect(runFilter(program, call), nr.toString(16)).toBe(runFilter(theirs, call));
    }
  });

  test('another architecture is killed', async () => {
    const profile: LinuxSeccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: [NATIVE[host]],
    };
    const { program } = await compileFilter(profile, host);
    expect(runFilter(program, { arch: 0x40000003, nr: 1 })).toBe(0);
    expect(runFilter(program, { arch: 0, nr: 1 })).toBe(0);
  });
});

describe('many rules of one call', () => {
  /** A plain reading: all conditions of a rule hold for the 64 bits of an argument. */
  const holds = ({ index, op, value, valueTwo }: LinuxSeccompArg, args: readonly bigint[]) => {
    const [a, b] = [args[index]!, BigInt(value)];
    const compared: Record<string, boolean> = {
      NE: a !== b,
      LT: a < b,
      LE: a <= b,
      EQ: a === b,
      GE: a >= b,
      GT: a > b,
      MASKED_EQ: (a & b) === (BigInt(valueTwo ?? 0) & b),
    };
    return compared[op.slice('SCMP_CMP_'.length)]!;
  };

  test('with one action they are an or of ands', async () => {
    let seed = 20261125;
    const random = (n: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % n;
    };
    const ALL = [...OPERATORS, 'SCMP_CMP_MASKED_EQ' as const];
    for (let round = 0; round < 300; round++) {
      const syscalls = Array.from({ length: 1 + random(5) }, () => ({
        names: ['read'] as [string],
        action: 'SCMP_ACT_ERRNO' as const,
        errnoRet: 7,
        args: [0, 1, 2]
          .filter((index) => index === 0 || random(3) === 0)
          .map((index) => ({
            index,
            op: ALL[random(ALL.length)]!,
            value: OPERANDS[random(OPERANDS.length)]!,
            valueTwo: OPERANDS[random(OPERANDS.length)]!,
          })),
      }));
      const profile: LinuxSeccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls };
      const { program } = await compileFilter(profile, 'x64');
      for (let probe = 0; probe < 40; probe++) {
        const pick = () => around(OPERANDS[random(OPERANDS.length)]!)[random(3)]!;
        const args = [pick(), pick(), pick()];
        const matched = syscalls.some((rule) => rule.args.every((arg) => holds(arg, args)));
        const got = runFilter(program, { arch: 0xc000003e, nr: 0, args });
        expect(got, `${round} ${args}`).toBe(matched ? 0x50007 : 0x7fff0000);
      }
    }
  });
});
