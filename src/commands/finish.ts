/**
 * `finish run keep|delete ID` and `finish exec PROGRAM`, hidden: the process that waited in the
 * foreground was no Node (container/run.ts) and has come to something that it cannot decide. It
 * leaves the exit status and the start's report in descriptor 3.
 */

import type { CommandLine } from '../argv.ts';
import { usageError } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { finishExec, finishRun } from '../libcontainer/container/finish.ts';

export function finish(context: Context, line: CommandLine): number | Promise<number> {
  const [of, first, id] = line.args;
  if (of === 'exec') return finishExec(first!);
  if (of === 'run' && id !== undefined) return finishRun(context, id, { keep: first === 'keep' });
  throw usageError(line.verb, 'finish is for runcell itself');
}
