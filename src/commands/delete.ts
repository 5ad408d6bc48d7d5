/**
 * `delete ID`: removes a stopped container; `--force` kills it first and forgives a missing one.
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { deleteContainer } from '../libcontainer/container/delete.ts';

export function remove(context: Context, line: CommandLine): undefined {
  deleteContainer(context, line.args[0]!, { force: line.flags.on('force') });
}
