/**
 * `top --format json`: a model as one line for programs (docs/statistics.md). Every key is always
 * there, null where nothing is known; integers are exact.
 */

import type { TopModel, TopRow } from '../libcontainer/container/top.ts';
import { stringifyJson } from '../oci/json.ts';

export function topJson(model: TopModel, time: string): string {
  const document = {
    time,
    processors: model.processors,
    hostMemory: model.hostMemory,
    containers: model.rows.map(rowDocument),
    problems: model.problems,
  };
  return `${stringifyJson(document)}\n`;
}

function rowDocument(row: TopRow): object {
  return {
    id: row.id,
    pid: row.pid,
    status: row.paused ? 'paused' : 'running',
    cpu: { percent: rounded(row.cpuPercent), total: row.cpu ?? null },
    memory: { usage: row.memory ?? null, limit: row.memoryLimit ?? null },
    pids: { current: row.pids, limit: row.pidsLimit ?? null },
    io: {
      readBytes: row.readBytes ?? null,
      writtenBytes: row.writtenBytes ?? null,
      readRate: rounded(row.readRate),
      writeRate: rounded(row.writeRate),
    },
  };
}

/** Two decimals: a rate is no more exact than the moments of its two looks. */
function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Math.round(value * 100) / 100;
}
