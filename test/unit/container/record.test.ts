/** rfc3339 against Date, which it stands in for. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rfc3339 } from '../../../src/libcontainer/container/record.ts';

test('rfc3339 says what Date says, for every moment of four centuries', () => {
  const moment = fc.integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(2400, 0, 1) });
  fc.assert(
    fc.property(moment, (ms) => {
      expect(rfc3339(ms)).toBe(new Date(ms).toISOString().replace('Z', '000000Z'));
    }),
    { numRuns: 5000 },
  );
});

test('rfc3339 knows leap days', () => {
  for (const day of ['2000-02-29', '2024-02-29', '2100-03-01', '2026-12-31', '2400-02-29']) {
    expect(rfc3339(Date.parse(`${day}T23:59:59.999Z`))).toBe(`${day}T23:59:59.999000000Z`);
  }
});
