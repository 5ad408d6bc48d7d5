/** The document of update --resources: schema, values, names. */

import { describe, expect, test } from 'vitest';
import { parseResources } from '../../../src/oci/resources-document.ts';
import { errorOf } from './helpers.ts';

const messageFor = (text: string): string => errorOf(() => parseResources(text, 'r.json')).message;

describe('parseResources', () => {
  test('amounts of 64 bits stay exact', () => {
    const text = '{"memory":{"limit":9223372036854775807},"cpu":{"shares":18446744073709551615}}';
    expect(parseResources(text, '-').resources).toEqual({
      memory: { limit: 2n ** 63n - 1n },
      cpu: { shares: 2n ** 64n - 1n },
    });
  });

  test('null is absent, as engines write it', () => {
    expect(parseResources('{"memory":{"limit":null},"pids":null}', '-')).toMatchObject({
      resources: { memory: {} },
      debug: ['null is taken as absent, 2 times'],
    });
  });

  test('unknown names are told and nothing more', () => {
    const text = '{"pids":{"limit":1,"soft":2},"extension":{}}';
    expect(parseResources(text, '-').debug).toEqual([
      'extension: is not known',
      'pids.soft: is not known',
    ]);
  });

  test.each([
    ['{"memory":{"Limit":1}}', 'memory.Limit: is spelt limit'],
    ['{"CPU":{}}', 'CPU: is spelt cpu'],
    ['{"blockIO":{"throttlereadbpsdevice":[]}}', /is spelt throttleReadBpsDevice$/],
    ['{"memory":{"limit":"1m"}}', /^memory\.limit: must be an integer/],
    ['{"memory":{"limit":1.5}}', /^memory\.limit: must be an integer/],
    ['{"memory":{"limit":9223372036854775808}}', /^memory\.limit/],
    ['{"pids":{"limit":-2}}', 'pids.limit -2: must be -1, for no limit, or more'],
    ['[]', /the document must be an object/],
    ['{', /^r\.json: line 1/],
    ['{"pids":{"limit":1},"pids":{"limit":2}}', /r\.json: .*duplicate/i],
  ])('%s is refused', (text, expected) => {
    if (typeof expected === 'string') expect(messageFor(text)).toBe(expected);
    else expect(messageFor(text)).toMatch(expected);
  });
});
