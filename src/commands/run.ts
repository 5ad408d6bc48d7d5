/**
 * `run ID`: create, start, wait, delete. The exit code is that of the container's program, or 128
 * and the number of the signal that ended it; 0 with `--detach`.
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { runContainer } from '../libcontainer/container/run.ts';
import { createOptions } from './create.ts';

export function run(context: Context, line: CommandLine): number | Promise<number> {
  return runContainer(context, {
    ...createOptions(context, line),
    detach: line.flags.on('detach'),
    keep: line.flags.on('keep'),
    noSubreaper: line.flags.on('no-subreaper'),
  });
}
