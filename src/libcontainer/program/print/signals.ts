/** Signal numbers as names, and sets of them: signal(7), sigsetops(3). Bit n - 1 is signal n. */

import { SIGNAL_MAX, SIGNALS } from '../../linux/signal.ts';

const NAMES = new Map<number, string>();
for (const [name, value] of Object.entries(SIGNALS)) {
  if (!NAMES.has(value)) NAMES.set(value, name);
}

/** `SIGTERM`; 0 is no signal (pidfd_send_signal(2) then only looks whether the process exists). */
export function signalName(signal: number): string {
  return NAMES.get(signal) ?? String(signal);
}

/** `[SIGINT SIGTERM]`, and `~[SIGKILL]` where more than half are in the set. */
export function signalMask(mask: bigint): string {
  const all = Array.from({ length: SIGNAL_MAX }, (_, i) => i + 1);
  const isIn = (signal: number): boolean => (mask & (1n << BigInt(signal - 1))) !== 0n;
  const present = all.filter(isIn);
  if (present.length <= SIGNAL_MAX / 2) return `[${present.map(signalName).join(' ')}]`;
  return `~[${all
    .filter((signal) => !isIn(signal))
    .map(signalName)
    .join(' ')}]`;
}
