/**
 * `top`: every running container on one screen, refreshed in place until q or ctrl-C. Where stdout is
 * no terminal the table is printed again and again; `--format json` prints a document a refresh.
 *
 * Rates need two looks: the first picture comes a moment after the start.
 */

import type { CommandLine } from '../argv.ts';
import { isRuncellError, RuncellError } from '../error.ts';
import { Screen } from '../libcontainer/console/screen.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { type TopModel, TopSampler } from '../libcontainer/container/top.ts';
import { monotonicMs, POLLIN } from '../libcontainer/native/libc.ts';
import { pollAsync, SignalWatch } from '../libcontainer/native/wait.ts';
import type { Output } from '../output.ts';
import { intervalFlag } from './duration.ts';
import { topJson } from './top-json.ts';
import { type TableOptions, topTable } from './top-table.ts';
import { envValue } from './verb.ts';

const STDOUT_FD = 1;
const FIRST_MS = 500;
/** Of lines that nobody's window limits. */
const PLAIN_COLUMNS = 120;
const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
/** The last are ctrl-C and ctrl-D, of which the terminal makes a signal and nothing unless asked. */
const QUIT: readonly string[] = ['q', 'Q', '\u0003', '\u0004'];
const CTRL_L = '\u000c';

/** Where the models go. */
interface Display extends Disposable {
  show(model: TopModel): void;
  /** The same once more: the window has another size. */
  redraw(): void;
  suspend(): void;
  /** Descriptor of the keyboard, -1 without one. */
  readonly keysFd: number;
  /** False when the user wants no more. */
  takeKeys(): boolean;
}

export async function top(context: Context, line: CommandLine, output: Output): Promise<undefined> {
  const intervalMs = intervalFlag(line, '2s');
  const format = line.flags.text('format') ?? 'table';
  if (format !== 'table' && format !== 'json') {
    throw new RuncellError({ code: 'usage', reason: 'invalid format option' });
  }
  const once = line.flags.on('no-stream');
  const sampler = new TopSampler(context);
  try {
    using display = openDisplay(context, output, { format, once, intervalMs });
    await run(sampler, display, { intervalMs, once });
  } catch (thrown) {
    // Whoever read has had enough, or the terminal was hung up.
    const gone = isRuncellError(thrown) && ['EPIPE', 'EIO'].includes(thrown.errnoName ?? '');
    if (!gone) throw thrown;
  }
}

async function run(
  sampler: TopSampler,
  display: Display,
  options: { readonly intervalMs: number; readonly once: boolean },
): Promise<void> {
  using signals = new SignalWatch([...ENDING, 'SIGWINCH', 'SIGTSTP']);
  sampler.take();
  for (let next = monotonicMs() + Math.min(FIRST_MS, options.intervalMs); ; ) {
    const [signal, reader, keys] = await pollAsync(
      [signals.entry, { fd: STDOUT_FD, events: 0 }, { fd: display.keysFd, events: POLLIN }],
      Math.max(0, next - monotonicMs()),
    );
    if (reader !== 0) return;
    const seen = signal === 0 ? new Set<NodeJS.Signals>() : signals.take();
    if (ENDING.some((name) => seen.has(name))) return;
    if (keys !== 0 && !display.takeKeys()) return;
    if (seen.has('SIGTSTP')) display.suspend();
    if (seen.has('SIGWINCH')) display.redraw();
    if (monotonicMs() < next) continue;
    display.show(sampler.take());
    if (options.once) return;
    next = Math.max(next + options.intervalMs, monotonicMs());
  }
}

function openDisplay(
  context: Context,
  output: Output,
  options: { readonly format: string; readonly once: boolean; readonly intervalMs: number },
): Display {
  const unicode = usesUnicode(context.env);
  if (options.format === 'json') {
    return printing((model) => output.out(topJson(model, new Date().toISOString())));
  }
  const screen = options.once ? undefined : Screen.open(output);
  if (screen !== undefined) {
    const colour = wantsColour(context.env);
    return onScreen(screen, { colour, unicode, intervalMs: options.intervalMs });
  }
  const columns = Number(envValue(context.env, 'COLUMNS') ?? '') || PLAIN_COLUMNS;
  let first = true;
  return printing((model) => {
    const lines = topTable(model, { columns, colour: false, unicode, title: titleOf(model) });
    output.out(`${first ? '' : '\n'}${lines.join('\n')}\n`);
    first = false;
  });
}

function printing(show: (model: TopModel) => void): Display {
  return {
    show,
    redraw: () => {},
    // As a program that does not listen: the terminal's ctrl-Z stops it.
    suspend: () => process.kill(process.pid, 'SIGSTOP'),
    keysFd: -1,
    takeKeys: () => true,
    [Symbol.dispose]: () => {},
  };
}

function onScreen(
  screen: Screen,
  options: Pick<TableOptions, 'colour' | 'unicode'> & { readonly intervalMs: number },
): Display {
  let last: TopModel | undefined;
  const draw = () => {
    if (last === undefined) return;
    const title = `${titleOf(last)}, every ${options.intervalMs / 1000} s - q quits`;
    screen.draw(topTable(last, { ...screen.size, ...options, title }));
  };
  const redraw = () => {
    screen.forget();
    draw();
  };
  return {
    show: (model) => {
      last = model;
      draw();
    },
    redraw,
    suspend: () => {
      screen.suspend();
      draw();
    },
    keysFd: screen.keysFd,
    takeKeys: () => {
      const typed = screen.readKeys();
      if (typed?.includes(CTRL_L) === true) redraw();
      return typed !== undefined && !QUIT.some((key) => typed.includes(key));
    },
    [Symbol.dispose]: () => screen[Symbol.dispose](),
  };
}

function titleOf(model: TopModel): string {
  const count = model.rows.length;
  return `runcell top: ${count} ${count === 1 ? 'container' : 'containers'}`;
}

/** locale(7): the first of these that is set says which characters there are. */
export function usesUnicode(env: readonly string[]): boolean {
  const names = ['LC_ALL', 'LC_CTYPE', 'LANG'].map((name) => envValue(env, name));
  return /utf-?8/i.test(names.find((value) => value !== undefined && value !== '') ?? '');
}

/** https://no-color.org, and terminals that know no control sequences. */
export function wantsColour(env: readonly string[]): boolean {
  return (envValue(env, 'NO_COLOR') ?? '') === '' && envValue(env, 'TERM') !== 'dumb';
}
