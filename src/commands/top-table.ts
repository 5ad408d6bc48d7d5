/**
 * The picture of `top`: a model in, lines out, as wide and as high as asked for. Pure.
 *
 *     CONTAINER  CPU                          MEMORY    LIMIT              PIDS  READ/s  WRITE/s
 *     web      71.2% ███▌     ▁▂▃▅▇█▆▄▂▁   123.4 MiB  512 MiB ██▏      12/100 1.2 MiB  340 KiB
 *
 * Columns that do not fit are left out, the least wanted first; room that is left goes to the name,
 * then to the pictures. The bars show a part of all processors, and of the limit or the host's
 * memory; the history is that of the processor, as high as its highest or one processor.
 */

import { printable } from '../error.ts';
import type { TopModel, TopRow } from '../libcontainer/container/top.ts';

export interface TableOptions {
  readonly columns: number;
  /** Absent: as many as there are. */
  readonly rows?: number;
  readonly title: string;
  /** Colours by control sequences. */
  readonly colour: boolean;
  /** Whether the terminal shows more than ASCII. */
  readonly unicode: boolean;
}

interface Column {
  readonly title: string;
  width: number;
  /** How wide it may become where there is room. */
  readonly widest: number;
  readonly align: 'left' | 'right';
  /** The higher, the sooner it is left out; 0 never. */
  readonly rank: number;
  cell(row: TopRow, width: number): string;
  /** The part that a bar shows, which has a colour. */
  part?(row: TopRow): number | undefined;
}

const NAME_WIDTH = 12;
const NAME_WIDEST = 40;
const EMPTY = '-';

export function topTable(model: TopModel, options: TableOptions): string[] {
  const columns = fitColumns(columnsFor(model, options), options.columns);
  const room = roomFor(model, options);
  const shown = choose(model.rows, room);
  const hidden = model.rows.length - shown.length;
  const heading = lineOf(columns, (column) => column.title);
  const cut = (line: string) => clip(line, options.columns, options.unicode);
  const lines = [
    cut(options.title),
    paint(cut(heading), options.colour, INVERSE),
    ...shown.map((row) => rowLine(columns, row, options)),
    ...(model.rows.length === 0 ? [cut('no running container')] : []),
    ...(hidden > 0 ? [cut(`and ${hidden} more`)] : []),
    ...model.problems.map((problem) => cut(`! ${printable(problem)}`)),
  ];
  return options.rows === undefined ? lines : lines.slice(0, options.rows);
}

/** Rows of containers that there is place for: all, or one less than that for the line of the rest. */
function roomFor(model: TopModel, { rows }: TableOptions): number {
  if (rows === undefined) return model.rows.length;
  const room = Math.max(0, rows - 2 - model.problems.length);
  return model.rows.length > room ? Math.max(0, room - 1) : room;
}

/** The busiest where not all have place; in the order of the model, so that no line moves. */
function choose(rows: readonly TopRow[], room: number): readonly TopRow[] {
  if (rows.length <= room) return rows;
  const busiest = rows.toSorted((left, right) => (right.cpuPercent ?? 0) - (left.cpuPercent ?? 0));
  const chosen = new Set(busiest.slice(0, room));
  return rows.filter((row) => chosen.has(row));
}

function columnsFor(model: TopModel, { unicode }: TableOptions): Column[] {
  const longest = Math.max('CONTAINER'.length, ...model.rows.map(({ id }) => id.length));
  const cpuPart = (row: TopRow) =>
    row.cpuPercent === undefined ? undefined : row.cpuPercent / 100 / model.processors;
  const memoryPart = (row: TopRow) => partOf(row.memory, row.memoryLimit ?? model.hostMemory);
  const bar = (title: string, rank: number, part: (row: TopRow) => number | undefined): Column => ({
    ...{ title, width: 8, widest: 20, align: 'left', rank, part },
    cell: (row, width) => barOf(part(row), width, unicode),
  });
  const number = (title: string, width: number, rank: number, cell: Column['cell']): Column => ({
    ...{ title, width, widest: width, align: 'right', rank, cell },
  });
  const rate = (value: number | undefined) => (value === undefined ? EMPTY : formatBytes(value));
  return [
    {
      ...{ title: 'CONTAINER', align: 'left', rank: 0 },
      width: Math.min(longest, NAME_WIDTH),
      widest: Math.min(longest, NAME_WIDEST),
      cell: (row, width) => clip(row.id, width, unicode),
    },
    number('CPU', 7, 0, (row) => cpuText(row)),
    bar('', 4, cpuPart),
    {
      ...{ title: 'HISTORY', width: 10, widest: 40, align: 'right', rank: 5 },
      cell: (row, width) => sparkline(row.cpuHistory, width, unicode),
    },
    number('MEMORY', 9, 1, (row) => bytesText(row.memory)),
    number('LIMIT', 9, 7, (row) => bytesText(row.memoryLimit)),
    bar('', 6, memoryPart),
    number('PIDS', 9, 2, (row) => pidsText(row)),
    number('READ/s', 9, 3, (row) => rate(row.readRate)),
    number('WRITE/s', 9, 3, (row) => rate(row.writeRate)),
  ];
}

function fitColumns(all: readonly Column[], columns: number): Column[] {
  const kept = [...all];
  const width = () => kept.reduce((sum, column) => sum + column.width + 1, -1);
  while (width() > columns) {
    const rank = Math.max(...kept.map((column) => column.rank));
    if (rank === 0) break;
    kept.splice(
      kept.findLastIndex((column) => column.rank === rank),
      1,
    );
  }
  const name = kept[0]!;
  if (width() > columns) name.width = Math.max(1, name.width - (width() - columns));
  name.width = Math.min(name.widest, name.width + Math.max(0, columns - width()));
  const growing = () => kept.filter((column) => column.width < column.widest);
  while (width() < columns && growing().length > 0) {
    growing().reduce((least, column) => (column.width < least.width ? column : least)).width++;
  }
  return kept;
}

function rowLine(columns: readonly Column[], row: TopRow, options: TableOptions): string {
  const line = lineOf(columns, (column) => {
    const text = column.cell(row, column.width);
    const part = column.part?.(row);
    return part === undefined ? text : paint(text, options.colour, heat(part));
  });
  // Too wide only where name and processor alone do not fit, which have no colour.
  const { columns: width, unicode } = options;
  return visibleWidth(line) <= width ? line : clip(line, width, unicode);
}

function lineOf(columns: readonly Column[], text: (column: Column) => string): string {
  return columns
    .map((column) => {
      const cell = text(column);
      const fill = ' '.repeat(Math.max(0, column.width - visibleWidth(cell)));
      return column.align === 'left' ? cell + fill : fill + cell;
    })
    .join(' ')
    .trimEnd();
}

// ---- cells

function cpuText(row: TopRow): string {
  if (row.paused) return 'paused';
  return row.cpuPercent === undefined ? EMPTY : `${row.cpuPercent.toFixed(1)}%`;
}

function pidsText({ pids, pidsLimit }: TopRow): string {
  return pidsLimit === undefined ? String(pids) : `${pids}/${pidsLimit}`;
}

function bytesText(bytes: bigint | undefined): string {
  return bytes === undefined ? EMPTY : formatBytes(Number(bytes));
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** At most nine characters: `999.9 MiB`; the next unit begins at a thousand. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.round(value) >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

function partOf(value: bigint | undefined, whole: bigint): number | undefined {
  if (value === undefined || whole === 0n) return undefined;
  return Number((value * 10_000n) / whole) / 10_000;
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const HEIGHTS = [...'▁▂▃▄▅▆▇█'];
const ASCII_HEIGHTS = [...'_.-:=+*#'];

/** A part of 1 as a line of blocks, to an eighth of a character. */
export function barOf(part: number | undefined, width: number, unicode: boolean): string {
  if (part === undefined) return '';
  const clamped = Math.min(1, Math.max(0, part));
  if (!unicode) return '#'.repeat(Math.round(clamped * width));
  const eighths = Math.round(clamped * width * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]!;
}

/** The newest values, one character each, the newest on the right. */
export function sparkline(values: readonly number[], width: number, unicode: boolean): string {
  const heights = unicode ? HEIGHTS : ASCII_HEIGHTS;
  const newest = values.slice(-width);
  const highest = Math.max(100, ...newest);
  const height = (value: number) =>
    Math.min(heights.length - 1, Math.floor((value / highest) * heights.length));
  return newest.map((value) => heights[height(value)]).join('');
}

// ---- colours

const ESC = '\u001b';
const INVERSE = '7';

function heat(part: number): string {
  if (part >= 0.9) return '31';
  return part >= 0.6 ? '33' : '32';
}

function paint(text: string, colour: boolean, code: string): string {
  return colour && text !== '' ? `${ESC}[${code}m${text}${ESC}[0m` : text;
}

/** Characters that are seen; all of ours are one column wide. */
export function visibleWidth(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what begins a control sequence
  return text.replaceAll(/\u001b\[[0-9;]*m/g, '').length;
}

/** Plain text that is cut shows it. */
function clip(text: string, width: number, unicode: boolean): string {
  if (text.length <= width) return text;
  return unicode ? `${text.slice(0, Math.max(0, width - 1))}…` : text.slice(0, width);
}
