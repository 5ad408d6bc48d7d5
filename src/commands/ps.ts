/**
 * `ps ID [ARGUMENTS]`: the container's processes; as JSON the bare pids for engines, as a table what
 * the host's ps says of them, with its arguments behind the name (reference/runtime-cli.md §1.6).
 */

import type { CommandLine } from '../argv.ts';
import { RuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { containerProcesses } from '../libcontainer/container/ps.ts';
import type { Output } from '../output.ts';

export async function ps(context: Context, line: CommandLine, output: Output): Promise<undefined> {
  const [id, ...args] = line.args;
  const pids = containerProcesses(context, id!);
  const format = line.flags.text('format') ?? 'table';
  if (format === 'json') {
    output.out(pidsJson(pids));
  } else if (format === 'table') {
    const { processTable } = await import('../libcontainer/container/ps-table.ts');
    output.out(processTable(context, pids, args));
  } else {
    throw new RuncellError({ code: 'usage', reason: 'invalid format option' });
  }
}

/** Go prints an empty list as null. */
export function pidsJson(pids: readonly number[]): string {
  return `${pids.length === 0 ? 'null' : JSON.stringify(pids)}\n`;
}
