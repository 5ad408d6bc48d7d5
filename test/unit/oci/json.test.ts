/** Exact JSON: what is read is what is written, and what means two things is refused. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JSON_DEPTH_MAX, parseJson, stringifyJson } from '../../../src/oci/json.ts';
import { errorOf } from './helpers.ts';

const parse = (input: string | Uint8Array) => parseJson(input, { source: 'f.json' });
const refusal = (input: string | Uint8Array) => errorOf(() => parse(input)).message;

describe('parseJson, integers', () => {
  test.each([
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['9007199254740993', 9007199254740993n],
    ['-9007199254740991', -9007199254740991],
    ['-9007199254740993', -9007199254740993n],
    ['9223372036854775807', 9223372036854775807n],
    ['9223372036854775808', 9223372036854775808n],
    ['9223372036854775809', 9223372036854775809n],
    ['-9223372036854775808', -9223372036854775808n],
    ['-9223372036854775809', -9223372036854775809n],
    ['18446744073709551615', 18446744073709551615n],
    ['18446744073709551616', 18446744073709551616n],
    ['9007199254740993.0', 9007199254740993n],
    ['9007199254740993.00', 9007199254740993n],
    ['900719925474099.3e1', 9007199254740993n],
    ['1e20', 100000000000000000000n],
    ['1E3', 1000],
    ['1.0', 1],
    ['1.5e1', 15],
    ['0', 0],
    ['-0', -0],
    ['1.5', 1.5],
    ['1e-3', 0.001],
    ['1e400', Number.POSITIVE_INFINITY],
    ['-1e400', Number.NEGATIVE_INFINITY],
    ['1e-999', 0],
  ])('%s is read exactly', (text, value) => {
    expect(parse(text)).toStrictEqual(value);
    expect(parse(`{"a":[1,${text}]}`)).toStrictEqual({ a: [1, value] });
  });

  test('a fraction that a double rounds to an integer is no number', () => {
    expect(parse('[1.00000000000000000001]')).toStrictEqual([Number.NaN]);
  });

  test('integers of 80 bits survive reading and printing', () => {
    const limit = 2n ** 80n;
    fc.assert(
      fc.property(fc.bigInt({ min: -limit, max: limit }), (integer) => {
        const value = parse(`{"n":${integer}}`) as { n: number | bigint };
        expect(BigInt(value.n)).toBe(integer);
        expect(typeof value.n).toBe(Number.isSafeInteger(Number(integer)) ? 'number' : 'bigint');
        expect(stringifyJson(value)).toBe(`{"n":${integer}}`);
      }),
    );
  });
});

describe('parseJson, documents', () => {
  test('any JSON value survives printing and reading', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        fc.pre(!JSON.stringify(value).includes('__proto__') && !hasNul(value));
        const text = JSON.stringify(value);
        const exact = JSON.parse(text) as unknown;
        if (hasUnsafeNumber(exact)) return;
        expect(parse(text)).toEqual(exact);
        expect(parse(Buffer.from(JSON.stringify(value, null, '\t')))).toEqual(exact);
      }),
      { numRuns: 500 },
    );
  });

  test('a key given twice anywhere is refused, however it is escaped', () => {
    const key = fc
      .string({ minLength: 1 })
      .filter((it) => it !== '__proto__' && !it.includes('\0'));
    fc.assert(
      fc.property(key, fc.jsonValue({ maxDepth: 2 }), fc.jsonValue({ maxDepth: 2 }), (k, a, b) => {
        fc.pre(!hasNul([a, b]) && !JSON.stringify([a, b]).includes('__proto__'));
        const escaped = [...JSON.stringify(k).slice(1, -1)].join('');
        const unicode = Array.from(k, (c) => c.split('').map(unit).join('')).join('');
        const [x, y] = [JSON.stringify(a), JSON.stringify(b)];
        expect(refusal(`[{"${escaped}":${x},"${escaped}":${y}}]`)).toContain('duplicate key');
        expect(refusal(`[{"${escaped}":${x},"${unicode}":${y}}]`)).toContain('duplicate key');
      }),
      { numRuns: 300 },
    );
  });

  test('the same key in two objects is no duplicate', () => {
    expect(parse('{"a":{"a":1},"b":[{"a":1},{"a":2}]}')).toEqual({
      a: { a: 1 },
      b: [{ a: 1 }, { a: 2 }],
    });
  });

  test('quotes and backslashes inside strings are not miscounted', () => {
    const value = { 'k"': '\\"', 'k\\': '"\\\\"', plain: '{"a":1,"a":2}' };
    expect(parse(JSON.stringify(value))).toEqual(value);
  });

  test('a replacement character that is meant passes', () => {
    expect(parse(Buffer.from('["\ufffd"]'))).toEqual(['\ufffd']);
  });
});

describe('parseJson, refusals', () => {
  test.each([
    ['{"a":1,"a":2}', 'a f.json: line 1, column 8: duplicate key "a"'],
    ['{"x":[{"b":1,\n  "b":2}]}', 'x[0].b f.json: line 2, column 3: duplicate key "b"'],
    ['{"__proto__":1}', 'line 1, column 2: the key "__proto__" is not allowed'],
    ['{"a":{"\\u005f_proto__":{}}}', 'the key "__proto__" is not allowed'],
    ['["\\u0000"]', '[0] f.json: line 1, column 2: NUL in a string'],
    ['{"a\\u0000":1}', 'NUL in a string'],
    ['["\\ud800"]', 'half a surrogate pair'],
    ['["\\udc00\\ud800"]', 'half a surrogate pair'],
    ['["\ud800"]', 'half a surrogate pair'],
  ])('%j', (text, message) => {
    expect(refusal(text)).toContain(message);
  });

  test.each([
    ['', 'line 1, column 1: the document ends where a value should be'],
    ['{"a":1', 'line 1, column 7: the document ends where "," or "}" should be'],
    ['{"a":\n [1,\n  2,]}', 'a[2] f.json: line 3, column 5: found "]" where a value should be'],
    ['{"a" 1}', 'line 1, column 6: found "1" where ":" after the key should be'],
    ['{a:1}', 'line 1, column 2: found "a" where a key in double quotes should be'],
    ['{"a":1}}', 'line 1, column 8: found "}" where the end of the document should be'],
    ['[01]', 'line 1, column 2: found "0" where a value should be'],
    ['[1.]', 'line 1, column 2: found "1" where a value should be'],
    ['[tru]', 'line 1, column 2: found "t" where a value should be'],
    ['["a\tb"]', 'line 1, column 4: control character in a string'],
    ['["\\x"]', 'line 1, column 3: unknown escape in a string'],
    ['["\\u12g4"]', 'line 1, column 3: unknown escape in a string'],
    ['["abc', 'line 1, column 6: string without an end'],
    ['\ufeff{}', 'line 1, column 1: found "\ufeff" where a value should be'],
  ])('syntax error in %j tells line and column', (text, message) => {
    expect(refusal(text)).toContain(message);
  });

  test('whatever JSON.parse refuses has a place', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.nat(),
        fc.constantFrom('', ',', '"', '}', '[', '\\', 'x'),
        (value, at, put) => {
          const text = JSON.stringify(value);
          const broken = text.slice(0, at % text.length) + put + text.slice((at % text.length) + 1);
          let valid = true;
          try {
            JSON.parse(broken);
          } catch {
            valid = false;
          }
          fc.pre(!valid);
          expect(refusal(broken)).toMatch(/line \d+, column \d+: /);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('bytes that are no UTF-8 are refused', () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0x22, 0xc0, 0x80, 0x22],
    ]) {
      expect(refusal(Uint8Array.from(bytes))).toBe('f.json: document is not UTF-8');
    }
  });

  test('levels are counted: the limit passes, one more does not', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(parse(nested(JSON_DEPTH_MAX))).toHaveLength(1);
    expect(refusal(nested(JSON_DEPTH_MAX + 1))).toContain('more than 128 levels');
    expect(refusal(nested(1_000_000))).toContain('more than 128 levels');
    expect(refusal(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`)).toContain('more than 128 levels');
  });

  test('more than 16 MiB are refused', () => {
    expect(refusal(new Uint8Array(16 * 1024 * 1024 + 1))).toContain('larger than 16 MiB');
  });

  test('the code is that of a configuration unless another is asked for', () => {
    expect(errorOf(() => parse('{')).code).toBe('config.syntax');
    const options = { source: 's', code: 'state.corrupt' } as const;
    expect(errorOf(() => parseJson('{', options)).code).toBe('state.corrupt');
  });
});

describe('stringifyJson', () => {
  test('indents as asked', () => {
    expect(stringifyJson({ a: [1n] }, '\t')).toBe('{\n\t"a": [\n\t\t1\n\t]\n}');
    expect(stringifyJson({ a: 1 }, 2)).toBe('{\n  "a": 1\n}');
  });

  test('prints bigints in full, next to anything else', () => {
    const value = { soft: 18446744073709551615n, name: '18446744073709551615', list: [null, true] };
    expect(stringifyJson(value)).toBe(
      '{"soft":18446744073709551615,"name":"18446744073709551615","list":[null,true]}',
    );
  });
});

function unit(code: string): string {
  return `\\u${code.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function hasNul(value: unknown): boolean {
  return JSON.stringify(value).includes('\\u0000');
}

function hasUnsafeNumber(value: unknown): boolean {
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasUnsafeNumber);
}
