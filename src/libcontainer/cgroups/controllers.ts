/**
 * Controllers of the cgroup2 hierarchy: turned on in every group on the way to the container's, so
 * that its files are there (Documentation/admin-guide/cgroup-v2.rst, "Controlling Controllers").
 *
 * All that can be are turned on, as runc does: statistics need them too. What a limit needs and
 * cannot have is an error that names controller, field and group. A group with processes of its own
 * is left alone ("No Internal Process Constraint"): for a domain controller the kernel refuses, and a
 * threaded one would make a threaded domain of it, in which no container can start any more.
 *
 * Nothing is turned off again after a failure: by then another container below the same parent may
 * rely on it, and would lose its limits without a word.
 */

import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import { readGroupFile, writeGroupFile } from './files.ts';

/** Controllers that work on threads; all others need a domain (cgroups(7), "Thread mode"). */
const THREADED = ['cpu', 'cpuset', 'perf_event', 'pids'];

/** By controller, the field that needs it. */
export type Needs = ReadonlyMap<string, string>;

/** Before anything is made: whether the hierarchy has what the limits need. */
export function checkControllers(root: string, needs: Needs): void {
  if (needs.size === 0) return;
  const present = controllersOf(root);
  for (const [controller, specPath] of needs) {
    if (!present.has(controller)) throw absent(root, controller, specPath);
  }
}

/** Turns on what can be in the groups above `directory`, which exists; what is needed must be. */
export function enableControllers(root: string, directory: string, needs: Needs): void {
  checkType(root, directory, needs);
  const steps = groupsAbove(root, directory).flatMap((group) => planStep(root, group, needs));
  const refused = new Map<string, Refusal>();
  for (const { group, missing } of steps) turnOn(group, missing, refused);
  const present = controllersOf(directory);
  for (const [controller, specPath] of needs) {
    if (!present.has(controller)) {
      throw unavailable(root, directory, {
        controller,
        specPath,
        refusal: refused.get(controller),
      });
    }
  }
}

interface Step {
  readonly group: string;
  readonly missing: readonly string[];
}

interface Refusal {
  readonly group: string;
  readonly errno: number;
}

/** From the root of the hierarchy to the parent of the group. */
function groupsAbove(root: string, directory: string): string[] {
  const parts = directory.slice(root.length + 1).split('/');
  return parts.map((_, index) => [root, ...parts.slice(0, index)].join('/'));
}

function planStep(root: string, group: string, needs: Needs): Step[] {
  const on = words(`${group}/cgroup.subtree_control`);
  // What the groups above do not give yet may come by the steps before this one.
  const missing = [...controllersOf(root)].filter((controller) => !on.has(controller));
  if (missing.length === 0) return [];
  const type = readGroupFile(`${group}/cgroup.type`).trim();
  if (type === 'threaded' || type === 'domain threaded') {
    return [{ group, missing: missing.filter((controller) => THREADED.includes(controller)) }];
  }
  // The real root has no type and is exempt from the rule.
  const count = type === '' ? 0 : readGroupFile(`${group}/cgroup.procs`).split('\n').length - 1;
  if (count <= 0) return [{ group, missing }];
  for (const controller of missing) {
    const specPath = needs.get(controller);
    if (specPath !== undefined) throw populated(group, count, controller, specPath);
  }
  return [];
}

/** Together, and where that is refused one by one: the kernel takes all or none of a write. */
function turnOn(group: string, missing: readonly string[], refused: Map<string, Refusal>): void {
  const available = controllersOf(group);
  const wanted = missing.filter((controller) => available.has(controller));
  if (wanted.length === 0) return;
  const file = `${group}/cgroup.subtree_control`;
  if (writeGroupFile(file, wanted.map((name) => `+${name}`).join(' ')) === 0) return;
  for (const name of wanted) {
    const errno = writeGroupFile(file, `+${name}`);
    if (errno !== 0) refused.set(name, { group, errno });
  }
}

/**
 * A group below a threaded domain begins as `domain invalid` and takes no process. Controllers of
 * threads work in it once it is threaded; others never do.
 */
function checkType(root: string, directory: string, needs: Needs): void {
  for (const group of [...groupsAbove(root, directory).slice(1), directory]) {
    const type = readGroupFile(`${group}/cgroup.type`).trim();
    if (type === 'domain' || type === '') continue;
    for (const [controller, specPath] of needs) {
      if (THREADED.includes(controller)) continue;
      throw new RuncellError({
        code: 'state.conflict',
        specPath,
        target: group,
        reason: `the cgroup is ${type}: the ${controller} controller works in domains only`,
        hint: 'a group above has processes and controllers of threads; choose another linux.cgroupsPath',
      });
    }
    if (type !== 'domain invalid') continue;
    const errno = writeGroupFile(`${group}/cgroup.type`, 'threaded');
    if (errno === 0) continue;
    const fields = { operation: 'make the cgroup threaded', target: group, errno };
    throw new RuncellError({ code: 'kernel.operation', specPath: 'linux.cgroupsPath', ...fields });
  }
}

function controllersOf(group: string): Set<string> {
  return words(`${group}/cgroup.controllers`);
}

function words(file: string): Set<string> {
  return new Set(
    readGroupFile(file)
      .split(/\s+/)
      .filter((word) => word !== ''),
  );
}

function populated(
  group: string,
  count: number,
  controller: string,
  specPath: string,
): RuncellError {
  return new RuncellError({
    code: 'state.conflict',
    specPath,
    operation: `turn on the ${controller} controller in`,
    target: group,
    reason: `the cgroup holds ${count} process(es) of its own`,
    hint: 'move them to a group below it, or choose another linux.cgroupsPath',
  });
}

function unavailable(
  root: string,
  directory: string,
  need: { controller: string; specPath: string; refusal: Refusal | undefined },
): RuncellError {
  const { controller, specPath, refusal } = need;
  if (refusal !== undefined) {
    const { group, errno } = refusal;
    const denied = errno === ERRNO.EACCES || errno === ERRNO.EPERM;
    return new RuncellError({
      code: 'kernel.operation',
      specPath,
      operation: `turn on the ${controller} controller in`,
      target: group,
      errno,
      hint: denied ? `have ${controller} delegated to you, or run as root` : undefined,
    });
  }
  const above = groupsAbove(root, directory);
  const last = above.filter((group) => controllersOf(group).has(controller)).at(-1) ?? root;
  return new RuncellError({
    code: 'kernel.unsupported',
    specPath,
    reason: `controller ${JSON.stringify(controller)} is not available below ${last}`,
  });
}

/** Why the hierarchy lacks it: /proc/cgroups has name, hierarchy, number of groups, enabled. */
function absent(root: string, controller: string, specPath: string): RuncellError {
  const rows = readGroupFile('/proc/cgroups').split('\n');
  // The one name that differs between the two versions.
  const name = controller === 'io' ? 'blkio' : controller;
  const row = rows.map((line) => line.split('\t')).find((columns) => columns[0] === name);
  const [, hierarchy = '0', , enabled = '1'] = row ?? [];
  const fields = { code: 'kernel.unsupported', specPath } as const;
  const reason = `controller ${JSON.stringify(controller)} is not in the cgroup2 hierarchy ${root}`;
  if (hierarchy !== '0') {
    const hint = `it is bound to cgroup v1 here; boot with cgroup_no_v1=${name}`;
    return new RuncellError({ ...fields, reason, hint });
  }
  if (enabled === '0') {
    const hint = `it is disabled; boot without cgroup_disable=${name}`;
    return new RuncellError({ ...fields, reason, hint });
  }
  return new RuncellError({ ...fields, reason });
}
