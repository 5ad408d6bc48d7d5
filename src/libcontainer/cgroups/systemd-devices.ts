/**
 * `linux.resources.devices` in systemd's words: DevicePolicy= and DeviceAllow= of the container's scope
 * (runtime-cli.md §6.2; systemd.resource-control(5)).
 *
 * What a container may open is decided by runcell's own filter. systemd attaches one of its own
 * beside it, and the kernel asks both, so the list here must allow at least what the filter allows:
 * a rule that denies takes nothing from it, and what systemd has no words for is made wider. Pure.
 */

import { BPF_DEVCG_ACC_MKNOD, BPF_DEVCG_ACC_READ, BPF_DEVCG_ACC_WRITE } from '../linux/bpf.ts';
import type { BusProperty } from '../native/bus-value.ts';
import { ANY, type DeviceRule } from './device-filter.ts';
import { property } from './systemd-properties.ts';

/** Before it a device was looked up in /dev and left out where it was not, and majors were names. */
const NUMBERS_SINCE = 245;

/** For the rules in force, those that every container has included. */
export function deviceProperties(rules: readonly DeviceRule[], version: number): BusProperty[] {
  const allowed = version < NUMBERS_SINCE ? undefined : allowedDevices(rules);
  const none = property('DeviceAllow', 'a(ss)', []);
  // Everything, or more than can be said: systemd keeps out of it.
  if (allowed === undefined) return [property('DevicePolicy', 's', 'auto'), none];
  const list = [...allowed].map(([name, access]) => [name, lettersOf(access)]);
  return [
    property('DevicePolicy', 's', 'strict'),
    none,
    ...(list.length === 0 ? [] : [property('DeviceAllow', 'a(ss)', list)]),
  ];
}

/** By systemd's name for the devices, what may be done; undefined when everything is allowed. */
function allowedDevices(rules: readonly DeviceRule[]): Map<string, number> | undefined {
  // A rule about everything: nothing before it counts.
  const reset = rules.findLastIndex(({ type }) => type === 'a');
  if (rules[reset]?.allow === true) return undefined;
  const allowed = new Map<string, number>();
  for (const rule of rules.slice(reset + 1)) {
    if (!rule.allow) continue;
    const name = nameOf(rule);
    allowed.set(name, (allowed.get(name) ?? 0) | rule.access);
  }
  return allowed;
}

/** One by its number, a major's all as `char-5`, all of a kind as `char-*`. */
function nameOf({ type, major, minor }: DeviceRule): string {
  const kind = type === 'b' ? 'block' : 'char';
  // One minor of any major: systemd has no words for it, all of the kind is wider.
  if (major === ANY) return `${kind}-*`;
  return minor === ANY ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`;
}

function lettersOf(access: number): string {
  const letter = (name: string, bit: number): string => ((access & bit) === 0 ? '' : name);
  return (
    letter('r', BPF_DEVCG_ACC_READ) +
    letter('w', BPF_DEVCG_ACC_WRITE) +
    letter('m', BPF_DEVCG_ACC_MKNOD)
  );
}
