/**
 * The six hook points: when, in whose namespaces, and what a failure means (runtime-spec 1.3
 * config.md#posix-platform-hooks, runtime.md#lifecycle). Data, no I/O.
 */

export type HookPoint =
  | 'prestart'
  | 'createRuntime'
  | 'createContainer'
  | 'startContainer'
  | 'poststart'
  | 'poststop';

/** Hooks without `timeout` are ended after this long, so that a verb cannot hang for ever. */
export const DEFAULT_TIMEOUT_SECONDS = 300;
