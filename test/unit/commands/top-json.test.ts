/** `top --format json`: one line, every key always there, integers exact. */

import { expect, test } from 'vitest';
import { topJson } from '../../../src/commands/top-json.ts';

const TIME = '2026-01-02T03:04:05.000Z';

test('a model is one line', () => {
  const text = topJson(
    {
      rows: [
        {
          id: 'web',
          pid: 4422,
          paused: true,
          cpu: 18446744073709551615n,
          cpuPercent: 12.3456,
          cpuHistory: [1, 2],
          memory: 9007199254740993n,
          memoryLimit: 18446744073709551614n,
          pids: 3n,
          pidsLimit: undefined,
          readBytes: 1n,
          writtenBytes: 2n,
          readRate: 0,
          writeRate: 1.005,
        },
      ],
      processors: 2,
      hostMemory: 4096n,
      problems: ['one'],
    },
    TIME,
  );
  expect(text).toBe(
    `{"time":"${TIME}","processors":2,"hostMemory":4096,"containers":[{"id":"web","pid":4422,` +
      '"status":"paused","cpu":{"percent":12.35,"total":18446744073709551615},' +
      '"memory":{"usage":9007199254740993,"limit":18446744073709551614},' +
      '"pids":{"current":3,"limit":null},' +
      '"io":{"readBytes":1,"writtenBytes":2,"readRate":0,"writeRate":1}}],"problems":["one"]}\n',
  );
});

test('what is not known is null', () => {
  const none = { cpu: undefined, cpuPercent: undefined, memory: undefined, memoryLimit: undefined };
  const io = {
    readBytes: undefined,
    writtenBytes: undefined,
    readRate: undefined,
    writeRate: undefined,
  };
  const row = { id: 'a', pid: 1, paused: false, cpuHistory: [], pids: 0n, pidsLimit: undefined };
  const model = { rows: [{ ...row, ...none, ...io }], processors: 1, hostMemory: 0n, problems: [] };
  expect(JSON.parse(topJson(model, TIME)).containers).toEqual([
    {
      id: 'a',
      pid: 1,
      status: 'running',
      cpu: { percent: null, total: null },
      memory: { usage: null, limit: null },
      pids: { current: 0, limit: null },
      io: { readBytes: null, writtenBytes: null, readRate: null, writeRate: null },
    },
  ]);
});
