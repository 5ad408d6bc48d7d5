/**
 * `container list`: the usage document's table and JSON, running containers only without `--all`.
 *
 * Columns are 20, 8, 10 and 20 wide with a space between; CREATED is local time. A cell that is too
 * long pushes the rest of its line.
 */

import type { CommandLine } from '../../argv.ts';
import { usageError } from '../../argv.ts';
import { printable } from '../../error.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { listContainers } from '../../libcontainer/container/list.ts';
import type { ContainerView } from '../../libcontainer/container/status.ts';
import type { Output } from '../../output.ts';
import { envValue } from '../verb.ts';

const WIDTHS = [20, 8, 10, 20];

export function containerList(context: Context, line: CommandLine, output: Output): undefined {
  const format = line.flags.text('format') ?? 'table';
  if (format !== 'table' && format !== 'json') {
    throw usageError(line.verb, `invalid value "${format}" for flag -format: table or json`);
  }
  const { containers, problems } = listContainers(context);
  for (const problem of problems) context.log.error(problem.message);
  const shown = line.flags.on('all') ? containers : containers.filter(isRunning);
  // The wall clock of the caller, not of the environment that Node was given.
  const zone = envValue(context.env, 'TZ');
  if (zone !== undefined) process.env['TZ'] = zone;
  output.out(format === 'json' ? containerJson(shown) : containerTable(shown));
}

/** A paused container has its processes: it is no stopped one. */
function isRunning(view: ContainerView): boolean {
  return view.status === 'running' || view.status === 'paused';
}

export function containerTable(containers: readonly ContainerView[]): string {
  const rows = containers.map((view) => [
    view.id,
    String(view.pid),
    capitalised(view.status),
    localTime(view.createdAt),
    printable(view.rootfs),
  ]);
  return [['CONTAINER ID', 'PID', 'STATUS', 'CREATED', 'ROOTFS'], ...rows].map(tableLine).join('');
}

function tableLine(cells: readonly string[]): string {
  return `${cells.map((cell, column) => cell.padEnd(WIDTHS[column] ?? 0)).join(' ')}\n`;
}

export function containerJson(containers: readonly ContainerView[]): string {
  const rows = containers.map((view) => ({
    id: view.id,
    pid: view.pid,
    status: capitalised(view.status),
    created: view.createdAt,
    rootfs: view.rootfs,
    bundle: view.bundle,
  }));
  return `${JSON.stringify(rows, null, 2)}\n`;
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** `YYYY-MM-DD HH:MM:SS` where the caller is. */
export function localTime(rfc3339: string): string {
  const date = new Date(rfc3339);
  if (Number.isNaN(date.getTime())) return rfc3339;
  const two = (value: number) => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${day} ${time}`;
}
