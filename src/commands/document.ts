/**
 * A container as runc's state document, for `state` and `list` (reference/runtime-cli.md §2).
 */

import type { ContainerView } from '../libcontainer/container/status.ts';
import { stateDocument } from '../oci/state.ts';

export function documentOf(view: ContainerView): ReturnType<typeof stateDocument> {
  const { createdAt, ...rest } = view;
  return stateDocument({ ...rest, created: createdAt });
}
