/**
 * A create that failed: everything it made goes, in reverse. Loaded when that happens.
 *
 * What cannot be undone is told with the error, and the rest is undone all the same.
 */

import { type RuncellError, toRuncellError } from '../../error.ts';
import { type HookRun, runAllHooks } from '../../hooks/run.ts';
import type { Applied } from '../cgroups/apply.ts';
import { killCgroup, removeCgroup } from '../cgroups/v2.ts';
import type { ExecutorSession } from '../executor/session.ts';
import { reap } from '../native/libc.ts';
import type { ContainerLock } from '../store/lock.ts';
import { removeStateDir } from '../store/state-dir.ts';
import type { StateFile } from '../store/state-file.ts';
import type { RareParts } from './rare-parts.ts';
import type { PlannedScope } from './scope.ts';

/** What a create had made when it failed. */
export interface Made {
  readonly session: ExecutorSession | undefined;
  /** The container's process, 0 when there is none yet. */
  readonly pid: number;
  readonly stageReaped: boolean;
  /** The child that joins a user namespace for the stage, 0 when there is none. */
  readonly joiner: number;
  readonly state: StateFile | undefined;
  readonly limits: Applied | undefined;
  readonly rareParts: RareParts | undefined;
  /** Where systemd makes the group. */
  readonly scope: PlannedScope | undefined;
  readonly directory: string | undefined;
  readonly lock: ContainerLock | undefined;
  /** For a container that had a process. */
  readonly poststop: HookRun;
}

/** The error comes back with what could not be undone. */
export function undoCreate(error: RuncellError, made: Made): RuncellError {
  const problems: string[] = [];
  const step = (action: () => void): void => {
    try {
      action();
    } catch (thrown) {
      problems.push(toRuncellError(thrown).message);
    }
  };
  const { session, state, scope, directory } = made;
  if (session !== undefined) step(() => endProcesses(session, made));
  problems.push(...(made.rareParts?.undo(state !== undefined) ?? []));
  if (state !== undefined && scope !== undefined) step(() => scope.remove());
  if (state !== undefined) step(() => unmakeGroup(state, made.limits));
  if (made.pid !== 0)
    for (const problem of runAllHooks(made.poststop)) problems.push(problem.message);
  if (directory !== undefined) step(() => removeStateDir(directory));
  made.lock?.release();
  return problems.length === 0 ? error : error.with({ undo: problems });
}

function endProcesses(session: ExecutorSession, made: Made): void {
  const { pid, stageReaped, joiner, state } = made;
  session.close();
  if (state !== undefined && state.cgroup_path !== '') killCgroup(state.cgroup_path);
  // A pid that was reaped may be somebody else's by now.
  for (const child of [stageReaped ? 0 : session.pid, joiner, pid]) {
    if (child === 0) continue;
    try {
      process.kill(child, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
    reap(child);
  }
}

/** A group that was there before stays, with what was in force in it. */
function unmakeGroup(
  { cgroup_path: group, cgroup_made: made = [] }: StateFile,
  limits: Applied | undefined,
): void {
  if (made.includes(group)) removeCgroup(group, made);
  else limits?.restore();
}
