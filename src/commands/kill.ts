/**
 * `kill ID [SIGNAL]`: a number, `TERM` or `SIGTERM` in any case; SIGTERM when left out.
 *
 * Real-time signals have no names here, as in runc; their numbers work.
 */

import type { CommandLine } from '../argv.ts';
import { RuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { killContainer } from '../libcontainer/container/kill.ts';
import { SIGNAL_MAX, SIGNALS } from '../libcontainer/linux/signal.ts';

export async function kill(context: Context, line: CommandLine): Promise<undefined> {
  const signal = parseSignal(line.args[1] ?? 'SIGTERM');
  await killContainer(context, line.args[0]!, signal, { all: line.flags.on('all') });
}

export function parseSignal(text: string): number {
  if (/^[0-9]{1,3}$/.test(text) && Number(text) <= SIGNAL_MAX) return Number(text);
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  if (Object.hasOwn(SIGNALS, name)) return SIGNALS[name as keyof typeof SIGNALS];
  throw new RuncellError({ code: 'usage', reason: `unknown signal "${text}"` });
}
