/**
 * `container start`: lets the program of a created container run.
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { startContainer } from '../../libcontainer/container/start.ts';

export function containerStart(context: Context, line: CommandLine): undefined {
  startContainer(context, line.flags.text('id')!);
}
