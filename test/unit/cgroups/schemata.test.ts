/** Lines of a schemata file, put together and compared. */

import { describe, expect, test } from 'vitest';
import {
  differingLine,
  parseSchema,
  schemataLines,
} from '../../../src/libcontainer/cgroups/schemata.ts';
import { DEFAULT_SCHEMATA } from './fake-resctrl.ts';

describe('schemataLines', () => {
  test('cache, bandwidth, then the lines of schemata', () => {
    expect(
      schemataLines({
        schemata: ['L2:0=3', 'L3:0=1'],
        memBwSchema: 'MB:0=20',
        l3CacheSchema: 'L3:0=f\n',
      }),
    ).toEqual(['L3:0=f', 'MB:0=20', 'L2:0=3', 'L3:0=1']);
    expect(schemataLines({})).toEqual([]);
    expect(schemataLines({ l3CacheSchema: '', memBwSchema: '' })).toEqual([]);
  });

  test('bandwidth among the cache lines gives way to memBwSchema', () => {
    const l3CacheSchema = 'L3CODE:0=f\nMB:0=70\nL3DATA:0=f0';
    expect(schemataLines({ l3CacheSchema, memBwSchema: 'MB:0=20' })).toEqual([
      'L3CODE:0=f',
      'L3DATA:0=f0',
      'MB:0=20',
    ]);
    expect(schemataLines({ l3CacheSchema })).toContain('MB:0=70');
  });
});

describe('parseSchema', () => {
  test.each(['', 'L3', ':0=1', 'L3:', 'L3:0', 'L3:0=1=2', 'L3:=1', 'L3:0='])(
    '%j is none',
    (line) => {
      expect(parseSchema(line)).toBeUndefined();
    },
  );

  test('blanks and empty tokens do not count, masks are normal', () => {
    const schema = parseSchema('    L3: 0 = 00FF ;; 1=0;');
    expect(schema).toEqual({
      resource: 'L3',
      values: new Map([
        ['0', 'ff'],
        ['1', '0'],
      ]),
    });
    expect(parseSchema('MB:0=  070')?.values.get('0')).toBe('70');
  });
});

describe('differingLine', () => {
  test.each([['L3:0=fffff'], ['L3:1=fffff;0=fffff'], ['MB:0=100', 'L3:0=0fffff']])(
    '%j is what is there',
    (...wanted) => {
      expect(differingLine(wanted, DEFAULT_SCHEMATA)).toBeUndefined();
    },
  );

  test.each([['L3:0=ffff'], ['L3:2=fffff'], ['MB:0=0x100'], ['MB:0=64'], ['L2:0=f'], ['nothing']])(
    '%j is not',
    (line) => {
      expect(differingLine(['L3:0=fffff', line], DEFAULT_SCHEMATA)).toBe(line);
    },
  );
});
