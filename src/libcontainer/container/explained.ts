/** Errors of container processes get their texts here; the texts are loaded when there is an error. */

import { type RuncellError, toRuncellError } from '../../error.ts';
import { ProcessFailure } from './conversation.ts';

/** runc's words before what kept a program from running. */
export const NOT_STARTED = 'unable to start container process';

/** `ofInit`: of a create, not an exec. */
export async function explained(thrown: unknown, ofInit: boolean): Promise<RuncellError> {
  if (!(thrown instanceof ProcessFailure)) {
    const error = toRuncellError(thrown);
    return error.code.startsWith('hook.') ? error.with({ within: NOT_STARTED }) : error;
  }
  const { explainFailure } = await import('./failure.ts');
  return explainFailure(thrown, ofInit);
}
