/**
 * The compiler of device rules: a table of cases run by a BPF machine, properties against a model that
 * only walks through the rules, and how long the programs are.
 */

import type { Linux, LinuxDeviceCgroup } from '@opencontainers-ts/spec';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_DEVICE_FILTER } from '../../../src/libcontainer/cgroups/default-device-filter.ts';
import {
  ANY,
  compileDeviceFilter,
  compileDeviceRules,
  type DeviceRule,
  deviceRules,
} from '../../../src/libcontainer/cgroups/device-filter.ts';
import {
  decodeInstructions,
  instructionProblems,
} from '../../../src/libcontainer/program/print/bpf.ts';
import { type DeviceRequest, runFilter } from '../../helpers/bpf.ts';

const DENY_ALL: LinuxDeviceCgroup = { allow: false, access: 'rwm' };
const ALLOW_ALL: LinuxDeviceCgroup = { allow: true, access: 'rwm' };

function filterOf(devices: LinuxDeviceCgroup[], linux: Linux = {}): Uint8Array {
  return compileDeviceFilter({ ...linux, resources: { devices } });
}

/** `c 1:3 rw` → 1 or 0. */
function ask(filter: Uint8Array, text: string): number {
  return runFilter(filter, request(text));
}

function request(text: string): DeviceRequest {
  const [, type, major, minor, access] = /^([bc]) (\d+):(\d+) ([rwm]+)$/.exec(text)!;
  return { type: type as 'b' | 'c', major: Number(major), minor: Number(minor), access: access! };
}

function expectAnswers(filter: Uint8Array, allowed: string[], denied: string[]): void {
  const answers = (cases: string[]) => cases.map((text) => `${text} → ${ask(filter, text)}`);
  expect(answers(allowed)).toEqual(allowed.map((text) => `${text} → 1`));
  expect(answers(denied)).toEqual(denied.map((text) => `${text} → 0`));
}

const STANDARD = [
  '1:3',
  '1:5',
  '1:7',
  '1:8',
  '1:9',
  '5:0',
  '5:2',
  '10:200',
  '136:0',
  '136:1048575',
];

describe('rules that allow nothing', () => {
  for (const [what, devices] of [
    ['none', []],
    ['everything denied', [DENY_ALL]],
    [
      'a device denied that nothing allowed',
      [DENY_ALL, { allow: false, type: 'c', major: 10, minor: 229, access: 'rwm' }],
    ],
  ] as [string, LinuxDeviceCgroup[]][]) {
    test(`${what}: the standard devices, and mknod of any`, () => {
      expectAnswers(
        filterOf(devices),
        [
          ...STANDARD.flatMap((numbers) => [`c ${numbers} rwm`, `c ${numbers} rw`]),
          ...['b 8:0 m', 'c 10:229 m', 'c 1:1 m', 'c 4095:1048575 m', 'b 1:3 m'],
        ],
        [
          ...['b 8:0 r', 'c 1:1 r', 'c 10:229 rw', 'c 10:229 w', 'c 1:4 r', 'c 1:6 r', 'c 1:10 r'],
          ...['c 5:1 r', 'c 5:3 w', 'c 10:199 rw', 'c 135:0 r', 'c 137:0 r', 'b 1:3 r'],
          ...['b 136:0 rw', 'b 8:0 rm', 'c 0:0 r', 'c 4095:1048575 w'],
        ],
      );
    });
  }

  test('are the filter that hot verbs have', () => {
    expect(Buffer.from(filterOf([DENY_ALL])).toString('base64')).toBe(DEFAULT_DEVICE_FILTER);
    expect(compileDeviceFilter({})).toEqual(filterOf([DENY_ALL]));
  });

  test('take 23 instructions', () => {
    expect(filterOf([DENY_ALL]).length / 8).toBe(23);
  });
});

describe('a rule', () => {
  test('is about its letters alone', () => {
    const filter = filterOf([
      DENY_ALL,
      { allow: true, type: 'b', major: 8, minor: 0, access: 'r' },
    ]);
    expectAnswers(filter, ['b 8:0 r', 'b 8:0 m', 'b 8:0 rm'], ['b 8:0 w', 'b 8:0 rw', 'b 8:1 r']);
  });

  test('without a minor, or with -1, is about all of them', () => {
    for (const minor of [undefined, -1]) {
      const rule = { allow: true, type: 'c', major: 226, access: 'rw' };
      const filter = filterOf([DENY_ALL, minor === undefined ? rule : { ...rule, minor }]);
      expectAnswers(filter, ['c 226:0 rw', 'c 226:128 r'], ['c 227:0 r', 'b 226:0 r']);
    }
  });

  test('without a major is about that minor of all of them', () => {
    const filter = filterOf([DENY_ALL, { allow: true, type: 'c', minor: 7, access: 'r' }]);
    expectAnswers(
      filter,
      ['c 200:7 r', 'c 5:7 r', 'c 10:7 r'],
      ['c 200:8 r', 'c 5:8 r', 'b 1:7 r'],
    );
  });

  test('without a type begins anew', () => {
    const allowed = { allow: true, type: 'c', major: 10, minor: 229, access: 'rwm' };
    expectAnswers(filterOf([allowed, DENY_ALL]), [], ['c 10:229 r']);
    expectAnswers(
      filterOf([{ ...allowed, allow: false }, ALLOW_ALL]),
      ['c 10:229 rw', 'b 8:0 rw'],
      [],
    );
    // As in runc, whatever else it says.
    expectAnswers(
      filterOf([allowed, { allow: false, type: 'a', major: 1, access: 'm' }]),
      [],
      ['c 10:229 r'],
    );
  });

  test('takes back what an earlier one gave, and the other way round', () => {
    const fuse = { type: 'c', major: 10, minor: 229 };
    const given = { ...fuse, allow: true, access: 'rw' };
    const taken = { ...fuse, allow: false, access: 'w' };
    expectAnswers(
      filterOf([DENY_ALL, given, taken]),
      ['c 10:229 r'],
      ['c 10:229 w', 'c 10:229 rw'],
    );
    expectAnswers(filterOf([DENY_ALL, taken, given]), ['c 10:229 rw'], []);
  });

  test('takes one device out of an earlier wildcard', () => {
    const filter = filterOf([
      DENY_ALL,
      { allow: true, type: 'b', access: 'rw' },
      { allow: false, type: 'b', major: 8, minor: 0, access: 'w' },
    ]);
    expectAnswers(filter, ['b 8:1 rw', 'b 8:0 r', 'b 9:0 rw'], ['b 8:0 w', 'b 8:0 rw', 'c 8:1 r']);
  });

  test('for a wildcard counts for single devices that came before', () => {
    const filter = filterOf([
      DENY_ALL,
      { allow: true, type: 'b', major: 8, minor: 0, access: 'rw' },
      { allow: false, type: 'b', major: 8, access: 'rwm' },
    ]);
    expectAnswers(filter, ['b 8:0 m'], ['b 8:0 r', 'b 8:1 w']);
  });

  test('is denied out of everything', () => {
    const filter = filterOf([ALLOW_ALL, { allow: false, type: 'b', access: 'rwm' }]);
    expectAnswers(filter, ['c 10:229 rwm', 'b 8:0 m'], ['b 8:0 r', 'b 8:0 w', 'b 0:0 rw']);
  });

  test('may have numbers beyond 2^53', () => {
    const filter = filterOf([
      { allow: true, type: 'c', major: 10n as never, minor: 229, access: 'r' },
    ]);
    expectAnswers(filter, ['c 10:229 r'], ['c 10:229 w']);
  });
});

describe('linux.devices', () => {
  test('allows nothing by itself', () => {
    const fuse = { path: '/dev/fuse', type: 'c', major: 10, minor: 229 } as const;
    expectAnswers(filterOf([DENY_ALL], { devices: [fuse] }), [], ['c 10:229 rw']);
  });

  test('with the path of a standard device takes the place of its rule, as in runc', () => {
    const zero = { path: '/dev/zero', type: 'c', major: 1, minor: 5 } as const;
    expectAnswers(filterOf([DENY_ALL], { devices: [zero] }), ['c 1:3 rw', 'c 1:5 m'], ['c 1:5 r']);
  });
});

describe('a program', () => {
  test('that allows all, or nothing, looks at nothing', () => {
    expect(filterOf([ALLOW_ALL]).length / 8).toBe(2);
    expect(runFilter(compileDeviceRules([]), request('c 1:3 r'))).toBe(0);
    expect(compileDeviceRules([]).length / 8).toBe(2);
  });

  test('with one answer for all devices looks at the letters alone', () => {
    const rules = (['b', 'c'] as const).map((type) => ({ ...EVERY, type, access: 2 }));
    const filter = compileDeviceRules(rules);
    expect(filter.length / 8).toBe(6);
    expectAnswers(filter, ['b 1:1 r', 'c 4:4 r'], ['c 4:4 w', 'b 1:1 rw', 'c 1:3 m']);
  });

  test('with an answer for each type looks at the type alone', () => {
    const filter = compileDeviceRules([{ ...EVERY, type: 'b' }]);
    expectAnswers(filter, ['b 1:1 rwm'], ['c 1:1 r']);
    expect(filter.length / 8).toBe(7);
  });

  test('has no instructions for what later rules undo', () => {
    const dead = Array.from({ length: 50 }, (_, minor) => ({
      ...{ allow: minor % 2 === 0, type: 'c', major: 10, minor, access: 'rw' },
    }));
    expect(filterOf([...dead, DENY_ALL])).toEqual(filterOf([DENY_ALL]));
    const covered = { allow: true, type: 'c', major: 10, access: 'rw' };
    expect(filterOf([DENY_ALL, ...dead, covered])).toEqual(filterOf([DENY_ALL, covered]));
  });

  test('compares the bounds of neighbours and shares what majors have in common', () => {
    const disks = [8, 65, 66].flatMap((major) =>
      Array.from({ length: 16 }, (_, minor) => ({
        allow: true,
        type: 'b',
        major,
        minor,
        access: 'rw',
      })),
    );
    const filter = filterOf([DENY_ALL, ...disks]);
    expectAnswers(filter, ['b 8:0 rw', 'b 65:15 rw', 'b 66:7 rwm'], ['b 8:16 r', 'b 67:0 r']);
    expect(filter.length - filterOf([DENY_ALL]).length).toBeLessThan(8 * 10);
  });

  test('of a thousand rules is soon there', () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({
      ...{ allow: true, type: 'c', major: i % 500, minor: 2 * i, access: 'r' },
    }));
    const begin = performance.now();
    const filter = filterOf([DENY_ALL, ...many]);
    expect(performance.now() - begin).toBeLessThan(2000);
    expectAnswers(filter, ['c 499:1998 r', 'c 0:0 r'], ['c 499:1996 r', 'c 499:1998 w']);
  });

  test('that no jump can cross is refused by the field', () => {
    const rules = Array.from({ length: 40_000 }, (_, i) => ({
      ...EVERY,
      type: 'c' as const,
      minor: 2 * i,
    }));
    expect(() => compileDeviceRules(rules)).toThrow(
      /^linux\.resources\.devices: the rules need 4\d{4} /,
    );
  });
});

const EVERY: DeviceRule = { allow: true, type: 'a', major: ANY, minor: ANY, access: 7 };

/** Numbers that meet: of few, with neighbours and the largest. */
const number = (max: number) => fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 136, 200, max);
const rule: fc.Arbitrary<DeviceRule> = fc.record({
  allow: fc.boolean(),
  type: fc.constantFrom('a', 'b', 'b', 'c', 'c', 'c', 'c'),
  major: fc.oneof(fc.constant(ANY), number(4095)),
  minor: fc.oneof(fc.constant(ANY), number(1048575)),
  access: fc.integer({ min: 1, max: 7 }),
});
const requests: fc.Arbitrary<DeviceRequest> = fc.record({
  type: fc.constantFrom('b', 'c'),
  major: fc.oneof(number(4095), fc.integer({ min: 0, max: 4095 })),
  minor: fc.oneof(number(1048575), fc.integer({ min: 0, max: 300 })),
  access: fc.constantFrom('r', 'w', 'm', 'rw', 'rm', 'wm', 'rwm'),
});

const BITS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };

/** The rules one after another, letter by letter. */
function model(rules: readonly DeviceRule[], asked: DeviceRequest): number {
  const isAllowed = (letter: string): boolean => {
    let allowed = false;
    for (const { allow, type, major, minor, access } of rules) {
      if (type === 'a') allowed = allow;
      const matches =
        type === asked.type &&
        (major === ANY || major === asked.major) &&
        (minor === ANY || minor === asked.minor) &&
        (access & BITS[letter]!) !== 0;
      if (matches) allowed = allow;
    }
    return allowed;
  };
  return [...asked.access].every(isAllowed) ? 1 : 0;
}

describe('properties', () => {
  test('a program answers as the rules do, one after another', () => {
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 12 }),
        fc.array(requests, { minLength: 40, maxLength: 60 }),
        (rules, asked) => {
          const filter = compileDeviceRules(rules);
          for (const one of asked) expect(runFilter(filter, one)).toBe(model(rules, one));
        },
      ),
      { numRuns: 400 },
    );
  });

  test('a program is what the verifier takes: forward, reached, ended', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 16 }), (rules) => {
        expect(instructionProblems(decodeInstructions(compileDeviceRules(rules)))).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  test("runc's own rules hold after any", () => {
    const devices = fc.array(
      fc.record({
        allow: fc.boolean(),
        type: fc.constantFrom('a', 'b', 'c'),
        major: number(4095),
        minor: number(1048575),
        access: fc.constantFrom('r', 'rw', 'rwm', 'm'),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(devices, (given) => {
        const filter = filterOf(given);
        expect(ask(filter, 'c 1:3 rw') & ask(filter, 'b 8:0 m') & ask(filter, 'c 136:4 rw')).toBe(
          1,
        );
        expect(deviceRules({ resources: { devices: given } }).length).toBe(given.length + 11);
      }),
    );
  });
});
