/** Errors of container processes get their texts in failure.ts, which is loaded when there is one. */

import type { RuncellError } from '../../error.ts';
import { ProcessFailure } from './conversation.ts';

/**
 * `ofInit`: of a create, not an exec. `group` is the cgroup of the process that failed, which may have
 * run out of memory.
 */
export async function explained(
  thrown: unknown,
  ofInit: boolean,
  group?: string,
): Promise<RuncellError> {
  const { explainAny, explainFailure, withMemory } = await import('./failure.ts');
  // A class of this bundle's: the late one would not know it.
  const failed = thrown instanceof ProcessFailure;
  return withMemory(failed ? explainFailure(thrown, ofInit) : explainAny(thrown), group);
}
