/**
 * What the caller asked for beside the configuration, checked before anything is made:
 * descriptors to keep (runtime-cli.md §4.5).
 */

import { RuncellError } from '../../error.ts';
import type { HandOver } from '../../launcher/hand-over.ts';
import type { Descriptor } from '../native/spawn.ts';
import type { Context } from './context.ts';

/** The launcher looked before Node could open anything of its own. */
export function checkKeptFds(
  handOver: HandOver,
  options: { readonly preserveFds: number; readonly listenFds: number },
): void {
  const kept = options.preserveFds + options.listenFds;
  const { firstMissingFd } = handOver;
  if (firstMissingFd === -1 || firstMissingFd >= 3 + kept) return;
  throw new RuncellError({
    code: 'usage',
    operation: 'unable to stat preserved-fd',
    target: String(firstMissingFd),
    reason: 'the descriptor is not open',
    hint: `--preserve-fds ${options.preserveFds} keeps descriptors from 3 up`,
  });
}

/** 3 … 3+count-1 at their own numbers. */
export function keptDescriptors(count: number): Descriptor[] {
  return Array.from({ length: count }, (_, i) => ({ from: 3 + i, to: 3 + i }));
}

/** What runtime hooks inherit of the caller. */
export function callerOf(context: Context): { env: Uint8Array; umask: number; nofileSoft: bigint } {
  const { envBytes, umask, nofileSoft } = context.handOver;
  return { env: envBytes, umask, nofileSoft };
}
