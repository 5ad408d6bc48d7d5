/**
 * `list`: the containers below the root in runc's three forms. A container that cannot be read is
 * reported on stderr and left out.
 *
 * The table is that of Go's text/tabwriter with minwidth 12, tabwidth 1, padding 3, as runc sets it.
 */

import type { CommandLine } from '../argv.ts';
import { printable, RuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { listContainers } from '../libcontainer/container/list.ts';
import type { ContainerView } from '../libcontainer/container/status.ts';
import { stringifyJson } from '../oci/json.ts';
import type { Output } from '../output.ts';
import { documentOf } from './document.ts';

const HEADER = ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'];
const MIN_WIDTH = 12;
const PADDING = 3;

export function list(context: Context, line: CommandLine, output: Output): undefined {
  const quiet = line.flags.on('quiet');
  const format = line.flags.text('format') ?? 'table';
  if (!quiet && format !== 'table' && format !== 'json') {
    throw new RuncellError({ code: 'usage', reason: 'invalid format option' });
  }
  const { containers, problems } = listContainers(context);
  for (const problem of problems) context.log.error(problem.message);
  if (quiet) output.out(containers.map(({ id }) => `${id}\n`).join(''));
  else if (format === 'json') output.out(listJson(containers));
  else output.out(listTable(containers));
}

/** One line with its end; Go prints an empty list as null. */
export function listJson(containers: readonly ContainerView[]): string {
  const text = containers.length === 0 ? 'null' : stringifyJson(containers.map(documentOf));
  return `${text}\n`;
}

export function listTable(containers: readonly ContainerView[]): string {
  return tabulate([
    HEADER,
    ...containers.map((view) => [
      view.id,
      String(view.pid),
      view.status,
      printable(view.bundle),
      view.createdAt,
      view.owner,
    ]),
  ]);
}

/** A column is as wide as its widest cell and the padding; the last one is not filled up. */
function tabulate(rows: readonly (readonly string[])[]): string {
  const widths = HEADER.map((_, column) =>
    Math.max(MIN_WIDTH, ...rows.map((row) => [...row[column]!].length + PADDING)),
  );
  const last = HEADER.length - 1;
  return rows
    .map((row) => {
      const cells = row.map((cell, column) =>
        column === last ? cell : pad(cell, widths[column]!),
      );
      return `${cells.join('')}\n`;
    })
    .join('');
}

function pad(cell: string, width: number): string {
  return cell + ' '.repeat(Math.max(0, width - [...cell].length));
}
