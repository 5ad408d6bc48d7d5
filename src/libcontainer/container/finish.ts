/**
 * The end of a foreground run or exec that needs decisions: the waiting program (plan/wait.ts)
 * executes the launcher with the hidden verb `finish`, and descriptor 3 holds what happened.
 */

import { fstatSync, readSync } from 'node:fs';
import { isRuncellError } from '../../error.ts';
import { FINISH_STATUS_BYTES, REPORT_FD } from '../plan/wait.ts';
import { type ContainerLock, lockContainer } from '../store/lock.ts';
import { loadConfigBytes, loadState, writeState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { deleteLocked } from './delete.ts';
import { execReport, startReport } from './failure.ts';
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
  try {
    lock = lockContainer(directory);
  } catch (thrown) {
    // Somebody else deleted it while it ran: that is no failure of the program.
    if (isRuncellError(thrown) && thrown.code === 'state.missing') return status;
    throw thrown;
  }
  try {
    const state = loadState(directory);
    const config = parseConfig(loadConfigBytes(directory));
    const failure = startReport(report, config);
    if (!options.keep || failure !== undefined) await deleteLocked(context, directory, true);
    else writeState(directory, { ...state, status: 'Stopped' });
    if (failure !== undefined) throw failure;
    return status;
  } finally {
    lock.release();
  }
}

/** The end of a foreground exec whose process did not become the program. */
export function finishExec(path: string): number {
  const { status, report } = readFinish();
  const failure = execReport(report, path);
  if (failure !== undefined) throw failure;
  return status;
}
