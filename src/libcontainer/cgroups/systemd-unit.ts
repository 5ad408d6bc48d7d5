/**
 * Which unit of systemd a container is, and where its group then is (runtime-cli.md §6.1;
 * systemd.unit(5), systemd.scope(5), systemd.slice(5)).
 *
 * `cgroupsPath` is `slice:prefix:name` and means the scope `prefix-name.scope` in the slice; without
 * one it is `runcell-ID.scope` in system.slice, or user.slice for a user's own manager. A dash in a
 * slice's name is a level: `a-b.slice` is in `a.slice`. A name that ends in `.slice` would be a
 * slice itself, which systemd lets hold no processes: refused here, before anything is made. Pure.
 */

import { RuncellError } from '../../error.ts';

export interface ScopeUnit {
  /** `prefix-name.scope`. */
  readonly name: string;
  /** The slice, as `a-b.slice`. */
  readonly slice: string;
  /** Its group below the manager's own, as `/a.slice/a-b.slice/prefix-name.scope`. */
  readonly path: string;
  /** What `systemctl` shows of it. */
  readonly description: string;
}

export interface UnitRequest {
  readonly cgroupsPath: string | undefined;
  readonly id: string;
  /** Whether the manager is a user's own. */
  readonly user: boolean;
}

/** systemd.unit(5): "must be […] not longer than 255 characters", with the type. */
const UNIT_NAME_MAX = 255;
const UNIT_NAME = /^[A-Za-z0-9:_.\\-]+$/;

export function scopeUnit(request: UnitRequest): ScopeUnit {
  const { cgroupsPath, id, user } = request;
  const fallback = user ? 'user.slice' : 'system.slice';
  const given = cgroupsPath !== undefined && cgroupsPath !== '';
  const parts = given ? cgroupsPath.split(':') : [fallback, 'runcell', escapedId(id)];
  if (parts.length !== 3) {
    throw wrong(cgroupsPath, {
      reason: `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "${cgroupsPath}" instead`,
    });
  }
  const [slice = '', prefix, last = ''] = parts;
  if (last.endsWith('.slice')) {
    throw wrong(cgroupsPath, {
      reason: `${last} is a slice, and systemd puts processes into scopes only`,
      hint: 'give the slice as the first part: slice:prefix:name',
    });
  }
  const name = `${prefix}-${last}.scope`;
  if (last === '' || !UNIT_NAME.test(name) || name.length > UNIT_NAME_MAX) {
    throw wrong(cgroupsPath, {
      reason: `${JSON.stringify(name)} is no name of a unit`,
      hint: `letters, digits and :_.\\-, up to ${UNIT_NAME_MAX} with .scope`,
    });
  }
  const parent = slice === '' ? fallback : slice;
  const path = `${expandSlice(parent, cgroupsPath)}/${groupName(name)}`;
  return { name, slice: parent, path, description: `libcontainer container ${given ? last : id}` };
}

/** An id may hold a `+`, which a unit's name may not: as systemd-escape(1) writes it. */
function escapedId(id: string): string {
  return id.replaceAll('+', '\\x2b');
}

/** `a-b.slice` as `/a.slice/a-b.slice`, `-.slice` as ``: the root of the tree. */
export function expandSlice(slice: string, cgroupsPath?: string): string {
  const stem = slice.endsWith('.slice') ? slice.slice(0, -'.slice'.length) : '';
  if (stem === '-') return '';
  const levels = stem.split('-');
  if (levels.includes('') || !UNIT_NAME.test(slice) || slice.length > UNIT_NAME_MAX) {
    const reason = `invalid slice name: ${slice}`;
    throw wrong(cgroupsPath, { reason, hint: 'as a-b.slice, which is a level below a.slice' });
  }
  const names = levels.map((_, i) => groupName(`${levels.slice(0, i + 1).join('-')}.slice`));
  return `/${names.join('/')}`;
}

/** Files of a group begin with the name of their controller, or one of these. */
const FILE_LIKE =
  /^(_|\.|cgroup\.|(cpu|cpuacct|cpuset|io|blkio|memory|devices|pids|hugetlb|rdma|misc|dmem)\.|(notify_on_release|release_agent|tasks)$)/;

/** systemd puts a `_` before a unit's name where it would look like a file of the group above. */
function groupName(unit: string): string {
  return FILE_LIKE.test(unit) ? `_${unit}` : unit;
}

function wrong(
  target: string | undefined,
  why: { readonly reason: string; readonly hint?: string },
): RuncellError {
  const quoted = why.reason.includes(`"${target}"`) ? undefined : target;
  return new RuncellError({
    code: 'config.value',
    specPath: 'linux.cgroupsPath',
    target: quoted,
    ...why,
  });
}

/** The number of `252.38-1~deb12u1`, `v245`, `257`; -1 where there is none. */
export function versionNumber(text: string): number {
  const digits = /^v?(\d+)/.exec(text)?.[1];
  return digits === undefined ? -1 : Number(digits);
}
