/**
 * The state directory of an id, below a root that is ours: one that another user owns or may write to
 * is refused before anything in it is believed (security.md H5).
 */

import { checkRoot, stateDirOf } from '../store/state-dir.ts';
import type { Context } from './context.ts';

export function locateState(context: Context, id: string): string {
  const directory = stateDirOf(context.root, id);
  checkRoot(context.root);
  return directory;
}
