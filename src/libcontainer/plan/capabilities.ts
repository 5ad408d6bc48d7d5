/**
 * process.capabilities (runtime-spec 1.3 config.md#linux-process, capabilities(7), capset(2)).
 *
 * Absent sets are empty sets. What the compiler itself does not hold cannot be granted; the spec
 * asks for a warning, so such names are dropped here and reported by `ungrantable`. Pure.
 */

import type { Capabilities } from '@opencontainers-ts/spec';
import {
  CAPABILITIES,
  type CapabilityName,
  LINUX_CAPABILITY_VERSION_3,
} from '../linux/capability.ts';
import {
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
} from '../linux/sched.ts';
import type { ProgramBuilder } from '../program/builder.ts';

export type CapabilitySet = keyof Required<Capabilities>;

/** Numbers of each set, only what exists and can be granted. */
export type CapabilityNumbers = Readonly<Record<CapabilitySet, ReadonlySet<number>>>;

export const CAPABILITY_SETS: readonly CapabilitySet[] = [
  'bounding',
  'effective',
  'inheritable',
  'permitted',
  'ambient',
];

export interface Grantable {
  /** Bit n: capability n can be given. */
  readonly held: bigint;
  readonly last: number;
}

export function resolveCapabilities(
  wanted: Capabilities | undefined,
  grantable: Grantable,
): CapabilityNumbers {
  const resolve = (set: CapabilitySet): Set<number> => {
    const numbers = new Set<number>();
    for (const name of wanted?.[set] ?? []) {
      const number = CAPABILITIES[name as CapabilityName];
      if (number !== undefined && isGrantable(number, grantable)) numbers.add(number);
    }
    return numbers;
  };
  const [permitted, inheritable] = [resolve('permitted'), resolve('inheritable')];
  // The kernel raises an ambient one only where it is permitted and inheritable (capabilities(7)).
  const ambient = [...resolve('ambient')].filter((n) => permitted.has(n) && inheritable.has(n));
  return {
    bounding: resolve('bounding'),
    effective: resolve('effective'),
    inheritable,
    permitted,
    ambient: new Set(ambient),
  };
}

function isGrantable(number: number, grantable: Grantable): boolean {
  return number <= grantable.last && (grantable.held & (1n << BigInt(number))) !== 0n;
}

/** Names that are asked for and cannot be given, each once: a warning each, as the spec says. */
export function ungrantable(wanted: Capabilities | undefined, grantable: Grantable): string[] {
  const names = new Set<string>();
  for (const set of CAPABILITY_SETS) {
    for (const name of wanted?.[set] ?? []) {
      const number = CAPABILITIES[name as CapabilityName];
      // One that is not known is told by the validation.
      if (typeof number === 'number' && !isGrantable(number, grantable)) names.add(name);
    }
  }
  return [...names];
}

/** While CAP_SETPCAP is held: everything that is not listed leaves the bounding set. */
export function planBoundingSet(b: ProgramBuilder, caps: CapabilityNumbers, last: number): void {
  b.section('process.capabilities.bounding', 'drop from the bounding set', 'capabilities');
  for (let number = 0; number <= last; number++) {
    if (caps.bounding.has(number)) continue;
    b.call('prctl', [PR_CAPBSET_DROP, number, 0, 0, 0], { tolerate: ['EINVAL'] });
  }
}

/** After the change of user: the three sets at once, then ambient from nothing. */
export function planCapabilitySets(b: ProgramBuilder, caps: CapabilityNumbers): void {
  b.section('process.capabilities', 'set the capabilities', 'capabilities');
  planCapset(b, caps);
  b.section('process.capabilities.ambient', 'set the ambient capabilities', 'capabilities');
  b.call('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0]);
  for (const number of caps.ambient) {
    b.call('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0]);
  }
}

/** Effective, permitted and inheritable at once. */
export function planCapset(b: ProgramBuilder, caps: CapabilityNumbers): void {
  const header = b.space(8);
  b.setU32(header, LINUX_CAPABILITY_VERSION_3);
  const data = b.space(24);
  const masks = [caps.effective, caps.permitted, caps.inheritable].map(maskOf);
  for (let half = 0; half < 2; half++) {
    for (let set = 0; set < 3; set++) {
      b.setU32(data.plus(12 * half + 4 * set), masks[set]![half]!);
    }
  }
  b.call('capset', [header, data]);
}

/** The two 32-bit words of a set. */
function maskOf(numbers: ReadonlySet<number>): [number, number] {
  const mask: [number, number] = [0, 0];
  for (const number of numbers) {
    if (number < 32) mask[0] |= 1 << number;
    else mask[1] |= 1 << (number - 32);
  }
  return mask;
}
