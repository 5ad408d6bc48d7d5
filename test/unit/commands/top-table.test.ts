/** The picture of `top`: what is shown at which width and height, numbers, bars, history, colours. */

import { describe, expect, test } from 'vitest';
import {
  barOf,
  formatBytes,
  sparkline,
  type TableOptions,
  topTable,
  visibleWidth,
} from '../../../src/commands/top-table.ts';
import type { TopModel, TopRow } from '../../../src/libcontainer/container/top.ts';

const MIB = 1n << 20n;

const row = (id: string, more: Partial<TopRow> = {}): TopRow => ({
  id,
  pid: 4422,
  paused: false,
  cpu: 1n,
  cpuPercent: 71.24,
  cpuHistory: [0, 25, 50, 100],
  memory: 128n * MIB,
  memoryLimit: 512n * MIB,
  pids: 12n,
  pidsLimit: 100n,
  readBytes: 0n,
  writtenBytes: 0n,
  readRate: 1_258_291,
  writeRate: 0,
  ...more,
});

const model = (...rows: TopRow[]): TopModel => ({
  rows,
  processors: 2,
  hostMemory: 8192n * MIB,
  problems: [],
});

const picture = (of: TopModel, options: Partial<TableOptions> = {}): string[] =>
  topTable(of, { columns: 120, title: 'title', colour: false, unicode: true, ...options });

describe('topTable', () => {
  test('at 120 columns has everything', () => {
    expect(picture(model(row('web'), row('database')))).toEqual([
      'title',
      'CONTAINER     CPU                             HISTORY    MEMORY     LIMIT                       PIDS    READ/s   WRITE/s',
      'web         71.2% ██████                         ▁▃▅█ 128.0 MiB 512.0 MiB ████                12/100   1.2 MiB       0 B',
      'database    71.2% ██████                         ▁▃▅█ 128.0 MiB 512.0 MiB ████                12/100   1.2 MiB       0 B',
    ]);
  });

  test('at 80 columns has a bar and the history', () => {
    const [, heading, line] = picture(model(row('web')), { columns: 80 });
    expect(heading).toBe(
      'CONTAINER     CPU                HISTORY    MEMORY      PIDS    READ/s   WRITE/s',
    );
    expect(line).toBe(
      'web         71.2% ███▉              ▁▃▅█ 128.0 MiB    12/100   1.2 MiB       0 B',
    );
  });

  test.each([
    [60, 'CONTAINER     CPU    MEMORY      PIDS    READ/s   WRITE/s'],
    [40, 'CONTAINER     CPU    MEMORY      PIDS'],
    [30, 'CONTAINER     CPU    MEMORY'],
    [20, 'CONTAINER     CPU'],
  ])('at %d columns leaves out what is wanted least', (columns, heading) => {
    expect(picture(model(row('web')), { columns })[1]).toBe(heading);
  });

  test.each(Array.from({ length: 200 }, (_, index) => index + 1))(
    'at %d columns no line is wider',
    (columns) => {
      const rows = ['a', 'a-name-that-is-rather-long-for-a-table', 'c'].map((id) => row(id));
      const whole = { ...model(...rows), problems: ['a problem that takes a lot of room to tell'] };
      for (const unicode of [true, false]) {
        for (const line of picture(whole, { columns, unicode, colour: true })) {
          expect(visibleWidth(line)).toBeLessThanOrEqual(columns);
        }
      }
    },
  );

  test('a name is cut where it must be, and shown whole where there is room', () => {
    const long = model(row('a-name-of-thirty-characters-xyz'));
    expect(picture(long, { columns: 80 })[2]).toMatch(/^a-name-of-t… /);
    expect(picture(long, { columns: 160 })[2]).toMatch(/^a-name-of-thirty-characters-xyz /);
    expect(picture(long, { columns: 80, unicode: false })[2]).toMatch(/^a-name-of-th /);
  });

  test('what is not known is a dash and no bar', () => {
    const unknown = row('web', {
      cpuPercent: undefined,
      cpuHistory: [],
      memory: undefined,
      memoryLimit: undefined,
      pidsLimit: undefined,
      readRate: undefined,
      writeRate: undefined,
    });
    expect(picture(model(unknown))[2]!.split(/ +/)).toEqual(['web', '-', '-', '-', '12', '-', '-']);
  });

  test('a paused container says so', () => {
    expect(picture(model(row('web', { paused: true })))[2]).toMatch(/^web +paused /);
  });

  test('memory without a limit is measured by the host', () => {
    const [, , line] = picture(model(row('web', { memory: 4096n * MIB, memoryLimit: undefined })));
    expect(line).toMatch(/4\.0 GiB {9}- █{8} /);
  });

  test('without a container there is a line that says so', () => {
    expect(picture(model())).toEqual([
      'title',
      expect.stringMatching(/^CONTAINER/),
      'no running container',
    ]);
  });

  test('problems stand below, each in one line', () => {
    const lines = picture({ ...model(row('web')), problems: ['one', 'two\nlines\u001b[2J'] });
    expect(lines.slice(3)).toEqual(['! one', '! two\\u000alines\\u001b[2J']);
  });

  test('a low window shows the busiest, in the order of the names', () => {
    const rows = ['a', 'b', 'c', 'd', 'e'].map((id, index) =>
      row(id, { cpuPercent: [5, 90, 1, 80, 70][index] }),
    );
    const lines = picture(model(...rows), { rows: 6 });
    expect(lines.slice(2).map((line) => line.split(' ')[0])).toEqual(['b', 'd', 'e', 'and']);
    expect(lines.at(-1)).toBe('and 2 more');
  });

  test.each([1, 2, 3, 4])('a window of %d lines gets no more', (rows) => {
    const many = model(...['a', 'b', 'c'].map((id) => row(id)));
    expect(picture(many, { rows }).length).toBeLessThanOrEqual(rows);
  });

  test('colours do not move anything', () => {
    const painted = picture(model(row('web')), { colour: true });
    const plain = picture(model(row('web')));
    expect(painted.map(visibleWidth)).toEqual(plain.map(visibleWidth));
    expect(painted[2]).toContain('\u001b[32m██████\u001b[0m');
  });

  test.each([
    [10, '32'],
    [130, '33'],
    [190, '31'],
  ])('a bar of %d%% of two processors has colour %s', (cpuPercent, code) => {
    const line = picture(model(row('web', { cpuPercent })), { colour: true })[2]!;
    expect(line).toContain(`\u001b[${code}m█`);
  });
});

describe('formatBytes', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KiB'],
    [1023.9, '1.0 KiB'],
    [1024, '1.0 KiB'],
    [1 << 20, '1.0 MiB'],
    [1000 * 2 ** 20, '1.0 GiB'],
    [999.4 * 2 ** 20, '999.4 MiB'],
    [2 ** 63, '8.0 EiB'],
    [2 ** 64, '16.0 EiB'],
  ])('%d is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test('has at most nine characters', () => {
    for (let bytes = 1; bytes < 2 ** 64; bytes = bytes * 1.07 + 1) {
      expect(formatBytes(bytes).length, String(bytes)).toBeLessThanOrEqual(9);
    }
  });
});

describe('barOf', () => {
  test.each([
    [0, ''],
    [0.5, '████'],
    [0.515625, '████▏'],
    [1, '████████'],
    [7, '████████'],
    [-1, ''],
    [undefined, ''],
  ])('%s of eight characters', (part, bar) => {
    expect(barOf(part, 8, true)).toBe(bar);
  });

  test('in ASCII', () => {
    expect(barOf(0.5, 8, false)).toBe('####');
  });
});

describe('sparkline', () => {
  test('is as high as one processor', () => {
    expect(sparkline([0, 12.5, 25, 50, 75, 99, 100], 10, true)).toBe('▁▂▃▅▇██');
  });

  test('or as the highest of more', () => {
    expect(sparkline([100, 400], 10, true)).toBe('▃█');
  });

  test('shows the newest', () => {
    expect(sparkline([0, 0, 0, 100], 2, true)).toBe('▁█');
    expect(sparkline([], 5, true)).toBe('');
  });

  test('in ASCII', () => {
    expect(sparkline([0, 50, 100], 10, false)).toBe('_=#');
  });
});
