/** `resume ID`: lets the processes of a paused container go on. */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { resumeContainer } from '../libcontainer/container/resume.ts';

export function resume(context: Context, line: CommandLine): undefined {
  resumeContainer(context, line.args[0]!);
}
