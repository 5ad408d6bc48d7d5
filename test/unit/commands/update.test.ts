/** Flags of update as the object they stand for; sizes as docker/go-units reads them. */

import { describe, expect, test } from 'vitest';
import { parseArgv, Values } from '../../../src/argv.ts';
import { resourcesOf, sizeOf } from '../../../src/commands/update.ts';
import { errorOf } from '../oci/helpers.ts';

const line = (...words: string[]) => parseArgv(['update', ...words, 'c1'], new Values());
const resources = (...words: string[]) => resourcesOf(line(...words).flags);

describe('flags', () => {
  test.each<[string[], object]>([
    [[], {}],
    [['--blkio-weight', '500'], { blockIO: { weight: 500n } }],
    [['--cpu-period', '5000'], { cpu: { period: 5000n } }],
    [['--cpu-quota=-1'], { cpu: { quota: -1n } }],
    [['--cpu-burst', '7'], { cpu: { burst: 7n } }],
    [['--cpu-share', '18446744073709551615'], { cpu: { shares: 2n ** 64n - 1n } }],
    [
      ['--cpu-rt-period', '1', '--cpu-rt-runtime', '2'],
      { cpu: { realtimePeriod: 1n, realtimeRuntime: 2n } },
    ],
    [['--cpu-idle', '1'], { cpu: { idle: 1n } }],
    [['--cpuset-cpus', '0-1', '--cpuset-mems', '0'], { cpu: { cpus: '0-1', mems: '0' } }],
    [['--memory', '512m', '--memory-swap', '-1'], { memory: { limit: 512n << 20n, swap: -1n } }],
    [['--memory-reservation', '1G'], { memory: { reservation: 1n << 30n } }],
    [['--pids-limit', '10'], { pids: { limit: 10n } }],
    [['--memory', ''], {}],
  ])('%j', (words, expected) => {
    expect(resources(...words)).toEqual(expected);
  });

  test.each([
    [['--pids-limit', 'ten'], 'invalid value for pids-limit: "ten", it is no integer'],
    [['--cpu-quota', '1.5'], 'invalid value for cpu-quota: "1.5", it is no integer'],
    [['--cpu-share', '0x10'], 'invalid value for cpu-share: "0x10", it is no integer'],
    [['--memory', '1x'], 'invalid value for memory: "1x", it is no size as 512m'],
  ])('%j is refused', (words, expected) => {
    expect(errorOf(() => resources(...words)).message).toBe(expected);
  });
});

describe('sizes', () => {
  test.each([
    ['0', 0n],
    ['-1', -1n],
    ['1', 1n],
    ['10b', 10n],
    ['1k', 1024n],
    ['1kb', 1024n],
    ['1KiB', 1024n],
    ['32 kB', 32n << 10n],
    ['1.5g', 3n << 29n],
    ['0.1k', 102n],
    ['2T', 2n << 40n],
    ['8191P', 8191n << 50n],
    ['9223372036854775807', 2n ** 63n - 1n],
  ])('%j', (text, expected) => {
    expect(sizeOf('memory', text)).toBe(expected);
  });

  test.each(['', '-2', '1,5k', 'k', '1 k b', '1kk', '1e3', ' 1'])('%j is none', (text) => {
    expect(() => sizeOf('memory', text)).toThrow(/invalid value for memory/);
  });
});
