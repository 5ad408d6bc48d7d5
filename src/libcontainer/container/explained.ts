/** Errors of container processes get their texts here; the texts are loaded when there is an error. */

import { type RuncellError, toRuncellError } from '../../error.ts';
import { ProcessFailure } from './conversation.ts';

export async function explained(thrown: unknown): Promise<RuncellError> {
  if (!(thrown instanceof ProcessFailure)) return toRuncellError(thrown);
  const { explainFailure } = await import('./failure.ts');
  return explainFailure(thrown);
}
