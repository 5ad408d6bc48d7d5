/**
 * Resources in force after an update: what was, with what is given put over it. Pure.
 *
 * A field that is absent or "not given" in the engines' way (0, '') stays; lists are merged by what
 * their entries are about: a device, a page size (runc's libcontainer and update.go do the same).
 */

import type { LinuxResources } from '@opencontainers-ts/spec';

type Fields = { readonly [name: string]: unknown };

export function mergeResources(old: LinuxResources, given: LinuxResources): LinuxResources {
  const merged: { [part: string]: unknown } = { ...old };
  for (const part of ['memory', 'cpu', 'pids', 'blockIO', 'rdma', 'unified'] as const) {
    if (given[part] === undefined) continue;
    merged[part] = mergeFields((old[part] ?? {}) as Fields, given[part] as Fields, part);
  }
  if (given.hugepageLimits !== undefined) {
    merged['hugepageLimits'] = mergeLists(old.hugepageLimits, given.hugepageLimits);
  }
  // Without a limit for memory there is none for swap, unless one is given with it.
  if (Number(given.memory?.limit ?? 0) < 0 && !given.memory?.swap) {
    merged['memory'] = { ...(merged['memory'] as Fields), swap: -1 };
  }
  return merged as LinuxResources;
}

/** Fields whose zero is a value. */
const COUNTED = ['pids.limit', 'cpu.burst', 'cpu.idle'];

function mergeFields(old: Fields, given: Fields, part: string): Fields {
  const merged: { [name: string]: unknown } = { ...old };
  for (const [name, value] of Object.entries(given)) {
    const free = part === 'unified' || COUNTED.includes(`${part}.${name}`);
    if (value === undefined || (!free && (value === 0 || value === ''))) continue;
    merged[name] = Array.isArray(value) ? mergeLists(old[name] as Fields[], value) : value;
  }
  return merged;
}

function mergeLists(old: readonly object[] | undefined, given: readonly object[]): object[] {
  const byKey = new Map((old ?? []).map((entry) => [keyOf(entry), entry]));
  for (const entry of given) {
    const key = keyOf(entry);
    byKey.set(key, { ...byKey.get(key), ...entry });
  }
  return [...byKey.values()];
}

function keyOf(entry: object): string {
  const { major, minor, pageSize } = entry as Fields;
  return String(pageSize ?? `${major}:${minor}`);
}
