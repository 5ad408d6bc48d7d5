/**
 * What a verb is to main, and what verbs share: the look of a caller's environment.
 *
 * A verb reads the command line, calls one step of libcontainer and prints; it returns its exit code
 * (nothing: 0) and throws RuncellError.
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import type { Output } from '../output.ts';

export type Verb = (
  context: Context,
  line: CommandLine,
  output: Output,
) => number | undefined | Promise<number | undefined>;

/** The verbs with a bundle of their own (scripts/build.ts); all others are in dist/cold.cjs. */
export const HOT_VERBS: readonly string[] = [
  'create',
  'start',
  'state',
  'kill',
  'delete',
  'run',
  'exec',
  'list',
  'pause',
  'resume',
  'ps',
  'events',
  'top',
  'update',
  'finish',
  'container:run',
  'container:list',
  'container:exec',
  'container:delete',
  'container:create',
  'container:start',
];

/** As getenv(3): the first entry of that name. */
export function envValue(env: readonly string[], name: string): string | undefined {
  const prefix = `${name}=`;
  return env.find((entry) => entry.startsWith(prefix))?.slice(prefix.length);
}
