/**
 * `start ID`: lets the waiting init of a created container run the container's program.
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { startContainer } from '../libcontainer/container/start.ts';

export async function start(context: Context, line: CommandLine): Promise<undefined> {
  await startContainer(context, line.args[0]!);
}
