/** `pause ID`: stops every process of a container until `resume`. */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { pauseContainer } from '../libcontainer/container/pause.ts';

export function pause(context: Context, line: CommandLine): undefined {
  pauseContainer(context, line.args[0]!);
}
