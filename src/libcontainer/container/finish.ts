/**
 * The end of a foreground run or exec that needs decisions: the waiting program (plan/wait.ts)
 * executes the launcher with the hidden verb `finish`, and descriptor 3 holds what happened.
 */

import { fstatSync, readSync } from 'node:fs';
import { isRuncellError } from '../../error.ts';
import { findOomKill, tellOutOfMemory } from '../cgroups/oom-kill.ts';
import { SIGKILL } from '../linux/sched.ts';
import { FINISH_STATUS_BYTES, REPORT_FD } from '../plan/wait.ts';
import { type ContainerLock, lockContainer } from '../store/lock.ts';
import { removeStateDir } from '../store/state-dir.ts';
import { loadConfigBytes, loadState, type StateFile, writeState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { deleteLocked } from './delete.ts';
import { execReport, startReport, withMemory } from './failure.ts';
import { locateState } from './locate.ts';
import { parseConfig } from './stored-config.ts';

/** What the waiter left for us: the exit status, and what the container reported at its start. */
function readFinish(): { status: number; report: Uint8Array } {
  const bytes = new Uint8Array(fstatSync(REPORT_FD).size);
  readSync(REPORT_FD, bytes, 0, bytes.length, 0);
  const status = new DataView(bytes.buffer).getUint32(0, true);
  return { status, report: bytes.subarray(FINISH_STATUS_BYTES) };
}

/** The end of a foreground run that needs decisions; gives the exit code. */
export async function finishRun(
  context: Context,
  id: string,
  options: { readonly keep: boolean },
): Promise<number> {
  const { status, report } = readFinish();
  const directory = locateState(context, id);
  let lock: ContainerLock;
  let state: StateFile;
  try {
    lock = lockContainer(directory);
    state = loadState(directory);
  } catch (thrown) {
    // Deleted while it ran, or by the wait up to the empty directory: no failure of the program.
    if (!isRuncellError(thrown) || thrown.code !== 'state.missing') throw thrown;
    removeStateDir(directory);
    return status;
  }
  try {
    const told = startReport(report, () => parseConfig(loadConfigBytes(directory)));
    const failure = told === undefined ? undefined : withMemory(told, state.cgroup_path);
    if (failure === undefined && status === 128 + SIGKILL) tellKilled(context, state);
    if (!options.keep || failure !== undefined) await deleteLocked(context, directory, true);
    else writeState(directory, { ...state, status: 'Stopped' });
    if (failure !== undefined) throw failure;
    return status;
  } finally {
    lock.release();
  }
}

/** As a warning: the exit code is the program's. */
function tellKilled(context: Context, { id, cgroup_path: group }: StateFile): void {
  const killed = findOomKill(group);
  if (killed === undefined) return;
  context.log.warn(`container ${id} was OOM-killed: ${tellOutOfMemory(killed)}`);
}

/** The end of a foreground exec whose process did not become the program. */
export function finishExec(path: string): number {
  const { status, report } = readFinish();
  const failure = execReport(report, path);
  if (failure !== undefined) throw failure;
  return status;
}
