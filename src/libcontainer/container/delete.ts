/**
 * delete: nothing of the container is left (runtime-spec 1.3 runtime.md#delete). `--force` also ends
 * what runs, and clears whatever a killed verb left half made.
 */

import { closeSync } from 'node:fs';
import type { Hook } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import { hookState } from '../../oci/state.ts';
import {
  cgroupDirectory,
  cgroupExists,
  isFrozen,
  killCgroup,
  removeCgroup,
  setFrozen,
} from '../cgroups/v2.ts';
import { findCgroupRoot, ownCgroup } from '../host/cgroup-mode.ts';
import { SIGKILL } from '../linux/sched.ts';
import { POLLIN, pidfdOpen, poll } from '../native/libc.ts';
import { lockContainer } from '../store/lock.ts';
import { removeStateDir } from '../store/state-dir.ts';
import { loadConfigBytes, loadState, type StateFile } from '../store/state-file.ts';
import { callerOf } from './caller.ts';
import type { Context } from './context.ts';
import { signalInit } from './kill.ts';
import { locateState } from './locate.ts';
import { initAlive, statusOf } from './status.ts';
import { parseConfig } from './stored-config.ts';

/** runc polls 100 times 100 ms. */
const DEATH_MS = 10_000;

export async function deleteContainer(
  context: Context,
  id: string,
  options: { readonly force: boolean },
): Promise<void> {
  const directory = locateState(context, id);
  try {
    using _lock = lockContainer(directory);
    await deleteLocked(context, directory, options.force);
  } catch (thrown) {
    const error = toRuncellError(thrown);
    if (!(options.force && error.code === 'state.missing')) throw error;
  }
}

/** With the lock held. */
export async function deleteLocked(
  context: Context,
  directory: string,
  force: boolean,
): Promise<void> {
  const state = await loadOrDiscard(context, directory, force);
  if (state === undefined) return;
  const status = statusOf(directory, state);
  if (!force && status !== 'stopped' && status !== 'created') {
    const reason = `cannot delete container ${state.id} that is not stopped: ${status}`;
    throw new RuncellError({ code: 'state.conflict', reason });
  }
  endProcesses(state);
  const hooks = poststopHooks(directory);
  if (state.systemd_cgroup) (await import('./scope.ts')).removeUnit(context, state, force);
  if (state.cgroup_path !== '') removeCgroup(state.cgroup_path, state.cgroup_made);
  if (state.intel_rdt !== undefined) {
    const { classOf, removeClass } = await import('../cgroups/intel-rdt.ts');
    removeClass(classOf(state.intel_rdt), state.intel_rdt);
  }
  if (state.owned.bundle !== undefined || state.owned.image !== undefined) {
    const { removeOwned } = await import('../../storage/owned.ts');
    removeOwned(context, state.id, state.owned);
  }
  removeStateDir(directory);
  await poststop(context, state, hooks);
}

/** A directory without a readable state is what a killed create left: it goes. */
async function loadOrDiscard(
  context: Context,
  directory: string,
  force: boolean,
): Promise<StateFile | undefined> {
  try {
    return loadState(directory);
  } catch (thrown) {
    const error = toRuncellError(thrown);
    if (error.code !== 'state.missing' && !(force && error.code === 'state.corrupt')) throw error;
    // The state is written before there is a group or a process: without one there is neither.
    if (error.code === 'state.corrupt') await endUnrecorded(context, directory);
    removeStateDir(directory);
    if (!force) throw error;
    return undefined;
  }
}

/**
 * The processes and the group of a container whose state cannot be read: where the group is follows
 * from the configuration that was kept. Without that too the directory stays, with the reason.
 */
async function endUnrecorded(context: Context, directory: string): Promise<void> {
  const id = directory.slice(directory.lastIndexOf('/') + 1);
  const config = parseConfig(loadConfigBytes(directory));
  const group = cgroupDirectory(findCgroupRoot(), ownCgroup(), config.linux?.cgroupsPath, id);
  if (!cgroupExists(group)) {
    (await import('./scope.ts')).removeUnrecorded(context, config, id);
    return;
  }
  killCgroup(group);
  if (isFrozen(group)) setFrozen(group, false);
  removeCgroup(group);
}

function endProcesses(state: StateFile): void {
  if (state.cgroup_path !== '' && cgroupExists(state.cgroup_path)) {
    killCgroup(state.cgroup_path);
    if (isFrozen(state.cgroup_path)) setFrozen(state.cgroup_path, false);
  } else if (initAlive(state)) {
    signalInit(state, SIGKILL);
  }
  waitForDeath(state);
}

function waitForDeath(state: StateFile): void {
  if (state.init_process_pid === 0 || !initAlive(state)) return;
  const pidfd = pidfdOpen(state.init_process_pid);
  if (pidfd === undefined) return;
  try {
    if (!initAlive(state)) return;
    if (poll([{ fd: pidfd, events: POLLIN }], DEATH_MS)[0] === 0) {
      throw new RuncellError({
        code: 'state.conflict',
        reason: 'container init still running',
        hint: `see /proc/${state.init_process_pid}/stack for what it waits for`,
      });
    }
  } finally {
    closeSync(pidfd);
  }
}

function poststopHooks(directory: string): readonly Hook[] {
  try {
    return parseConfig(loadConfigBytes(directory)).hooks?.poststop ?? [];
  } catch {
    // Killed before the configuration was kept: nothing ran that a hook could follow.
    return [];
  }
}

/** The specification: a hook that fails is a warning, and the rest go on. */
async function poststop(context: Context, state: StateFile, hooks: readonly Hook[]): Promise<void> {
  if (hooks.length === 0 || state.init_process_pid === 0) return;
  const { id, bundle, annotations } = state;
  const { runAllHooks } = await import('../../hooks/run.ts');
  const problems = runAllHooks({
    point: 'poststop',
    hooks,
    state: hookState({ id, status: 'stopped', bundle, annotations }),
    directory: context.cwd || '/',
    ...callerOf(context),
  });
  for (const problem of problems) context.log.warn(problem.message);
}
