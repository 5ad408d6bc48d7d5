/**
 * `delete ID`: removes a stopped container; `--force` kills it first and forgives a missing one.
 */

import { existsSync } from 'node:fs';
import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { deleteContainer } from '../libcontainer/container/delete.ts';
import { layoutOf } from '../libcontainer/store/state-dir.ts';

export async function remove(context: Context, line: CommandLine): Promise<undefined> {
  const id = line.args[0]!;
  const force = line.flags.on('force');
  await deleteContainer(context, id, { force });
  // What a killed `container run` made before there was a container.
  if (force && mayHaveLeftovers(context.root, id)) {
    const { removeLeftovers } = await import('../storage/owned.ts');
    removeLeftovers(context, id);
  }
}

/** Cheap, so that storage is loaded only when there is something to look at. */
function mayHaveLeftovers(root: string, id: string): boolean {
  const { containers, bundles } = layoutOf(root);
  return existsSync(`${containers}/${id}`) || existsSync(`${bundles}/${id}`);
}
