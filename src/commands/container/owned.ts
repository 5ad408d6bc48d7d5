/**
 * The bundle and image that were made for a container go with it when it does not come to be.
 */

import { existsSync } from 'node:fs';
import { toRuncellError } from '../../error.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { stateDirOf } from '../../libcontainer/store/state-dir.ts';
import type { Owned } from '../../storage/bundle.ts';

/** A container that is there keeps them: `delete` removes both. */
export async function keepOrRemove<Result>(
  context: Context,
  id: string,
  owned: Owned,
  step: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await step();
  } catch (thrown) {
    if (existsSync(stateDirOf(context.root, id))) throw thrown;
    const error = toRuncellError(thrown);
    try {
      const { removeOwned } = await import('../../storage/owned.ts');
      removeOwned(context, id, owned);
    } catch (undo) {
      throw error.with({ undo: [...(error.fields.undo ?? []), toRuncellError(undo).message] });
    }
    throw error;
  }
}
