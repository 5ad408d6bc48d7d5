/**
 * kill: a signal for init, or for every process of the container (runtime-spec 1.3 runtime.md#kill).
 * Takes no lock: a container whose create hangs must be killable.
 */

import { closeSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { isFrozen, killCgroup, setFrozen } from '../cgroups/v2.ts';
import { SIGKILL } from '../linux/sched.ts';
import { pidfdOpen, pidfdSendSignal } from '../native/libc.ts';
import { loadState, type StateFile } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { locateState } from './locate.ts';
import { initAlive, type Status, statusOf } from './status.ts';

export async function killContainer(
  context: Context,
  id: string,
  signal: number,
  options: { readonly all: boolean },
): Promise<void> {
  const directory = locateState(context, id);
  const state = loadState(directory);
  const status = statusOf(directory, state);
  if (options.all) {
    await killAll(state, signal, status);
    return;
  }
  if (status === 'stopped') throw notRunning();
  if (signal === SIGKILL && !state.namespaces.includes('pid') && state.cgroup_path !== '') {
    // Without a pid namespace the kernel does not end the others with init.
    killGroup(state.cgroup_path);
    return;
  }
  if (!signalInit(state, signal)) throw notRunning();
  thawToDie(state, signal, status);
}

function notRunning(): RuncellError {
  return new RuncellError({ code: 'state.conflict', reason: 'container not running' });
}

/** False when it is gone. The identity is checked after the pidfd is open (security.md H8). */
export function signalInit(state: StateFile, signal: number): boolean {
  const pidfd = pidfdOpen(state.init_process_pid);
  if (pidfd === undefined) return false;
  try {
    return initAlive(state) && pidfdSendSignal(pidfd, signal);
  } finally {
    closeSync(pidfd);
  }
}

/** A frozen process dies of SIGKILL only when it is thawed on kernels that freeze like v1. */
function thawToDie(state: StateFile, signal: number, status: Status): void {
  if (signal === SIGKILL && status === 'paused') setFrozen(state.cgroup_path, false);
}

/** Succeeds on a stopped container too: shims rely on it (runtime-cli.md §5.1). */
async function killAll(state: StateFile, signal: number, status: Status): Promise<void> {
  if (state.cgroup_path === '') {
    if (status !== 'stopped') signalInit(state, signal);
  } else if (signal === SIGKILL) {
    killGroup(state.cgroup_path);
  } else {
    const { signalGroup } = await import('./signal-group.ts');
    signalGroup(state.cgroup_path, signal);
  }
}

function killGroup(group: string): void {
  killCgroup(group);
  if (isFrozen(group)) setFrozen(group, false);
}
