/**
 * `container delete`: kills the container if it runs, removes it and whatever was made for it.
 *
 * Unlike `delete --force` a name that never was is an error; a half-made container is cleaned up.
 */

import type { CommandLine } from '../../argv.ts';
import { isRuncellError, type RuncellError } from '../../error.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { deleteContainer } from '../../libcontainer/container/delete.ts';
import { viewContainer } from '../../libcontainer/container/status.ts';

export async function containerDelete(context: Context, line: CommandLine): Promise<undefined> {
  const id = line.flags.text('id')!;
  let missing: RuncellError | undefined;
  try {
    viewContainer(context, id);
  } catch (thrown) {
    if (!isRuncellError(thrown) || !thrown.code.startsWith('state.')) throw thrown;
    if (thrown.code === 'state.missing') missing = thrown;
  }
  await deleteContainer(context, id, { force: true });
  const { removeLeftovers } = await import('../../storage/owned.ts');
  if (!removeLeftovers(context, id) && missing !== undefined) throw missing;
}
