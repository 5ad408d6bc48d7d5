/** Errors of container processes get their texts here; the texts are loaded when there is an error. */

import { type RuncellError, toRuncellError } from '../../error.ts';
import { ProcessFailure } from './conversation.ts';

/** runc's words before what kept a program from running. */
export const NOT_STARTED = 'unable to start container process';

/**
 * `ofInit`: of a create, not an exec. `group` is the cgroup of the process that failed, which may have
 * run out of memory.
 */
export async function explained(
  thrown: unknown,
  ofInit: boolean,
  group?: string,
): Promise<RuncellError> {
  const failed = thrown instanceof ProcessFailure;
  if (!failed && !group) return withWords(toRuncellError(thrown));
  const { explainFailure, withMemory } = await import('./failure.ts');
  const error = failed ? explainFailure(thrown, ofInit) : withWords(toRuncellError(thrown));
  return group ? withMemory(error, group) : error;
}

function withWords(error: RuncellError): RuncellError {
  return error.code.startsWith('hook.') ? error.with({ within: NOT_STARTED }) : error;
}
