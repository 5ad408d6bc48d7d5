/**
 * `container start`: lets the program of a created container run.
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { startContainer } from '../../libcontainer/container/start.ts';

export async function containerStart(context: Context, line: CommandLine): Promise<undefined> {
  await startContainer(context, line.flags.text('id')!);
}
