/**
 * linux.memoryPolicy (runtime-spec 1.3 config-linux.md#memory-policy; set_mempolicy(2)): for init and
 * for every process of `exec`. It survives execve and children inherit it. Loaded late. Pure.
 */

import type { LinuxMemoryPolicy } from '@opencontainers-ts/spec';
import { MPOL_FLAGS, MPOL_MODES } from '../linux/mempolicy.ts';
import type { Draft } from './draft.ts';
import { affinityMask } from './scheduling.ts';

/** In the cgroup, whose cpuset says which nodes count, and before the user's program. */
export function planMemoryPolicy(draft: Draft, { mode, nodes, flags }: LinuxMemoryPolicy): void {
  const b = draft.builder;
  b.section('linux.memoryPolicy', `set ${mode}`, nodes);
  let word: number = MPOL_MODES[mode!];
  for (const flag of flags ?? []) word |= MPOL_FLAGS[flag];
  const mask = affinityMask(nodes ?? '');
  // The kernel takes one from the number of bits before it looks (mm/mempolicy.c, get_nodes).
  if (mask === undefined) b.call('set_mempolicy', [word, 0, 0]);
  else b.call('set_mempolicy', [word, b.bytes(mask), 8 * mask.length + 1]);
}
