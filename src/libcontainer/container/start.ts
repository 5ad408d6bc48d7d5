/**
 * start: lets a created container go and tells what became of it (runtime-spec 1.3 runtime.md#start).
 */

import { closeSync, existsSync } from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { hookState } from '../../oci/state.ts';
import { notifyDirectoryOf } from '../console/notify-directory.ts';
import { SIGKILL } from '../linux/sched.ts';
import { pidfdOpen, pidfdSendSignal } from '../native/libc.ts';
import { startThroughFifo } from '../store/exec-fifo.ts';
import { type ContainerLock, lockContainer } from '../store/lock.ts';
import { loadConfigBytes, loadState, type StateFile, writeState } from '../store/state-file.ts';
import { callerOf } from './caller.ts';
import type { Context } from './context.ts';
import { locateState } from './locate.ts';
import { type Status, statusOf } from './status.ts';
import { parseConfig } from './stored-config.ts';

export async function startContainer(context: Context, id: string): Promise<void> {
  const directory = locateState(context, id);
  const lock = lockContainer(directory);
  const state = loadState(directory);
  refuseUnlessCreated(directory, state);
  const config = parseConfig(loadConfigBytes(directory));
  await startLocked(context, { directory, state, config, lock });
}

function refuseUnlessCreated(directory: string, state: StateFile): void {
  const reasons: Readonly<Record<Status, string>> = {
    created: 'cannot start an already running container',
    creating: 'cannot start a container that is still being created',
    running: 'cannot start an already running container',
    paused: 'cannot start a container in the paused state',
    stopped: 'cannot start a container that has stopped',
  };
  const status = statusOf(directory, state);
  // Waiting still, but another start has it in hand.
  const taken = status === 'created' && state.status === 'Running';
  if (status === 'created' && !taken) return;
  throw new RuncellError({ code: 'state.conflict', reason: reasons[status] });
}

export interface Startable {
  readonly directory: string;
  readonly state: StateFile;
  readonly config: Config;
  readonly lock: ContainerLock;
}

/**
 * With the lock held and init known to wait. The lock goes before hooks run and READY=1 is waited
 * for, which may take as long as they like.
 */
export async function startLocked(
  context: Context,
  container: Startable,
  mainPid?: number,
): Promise<void> {
  const { directory, state, config, lock } = container;
  const pidfd = pidfdOpen(state.init_process_pid);
  const hostSocket = envValue(context.env, 'NOTIFY_SOCKET');
  const wantsNotify = hostSocket !== undefined && existsSync(notifyDirectoryOf(directory));
  const notify = wantsNotify ? await import('../console/notify.ts') : undefined;
  const socket = notify?.bindNotifySocket(directory);
  try {
    // From here on another start is refused, and a delete need not wait for our hooks.
    writeState(directory, { ...state, status: 'Running' });
    lock.release();
    await letGo(directory, pidfd, config, state.cgroup_path);
    await poststart(context, state, config, pidfd!);
    const pid = mainPid ?? state.init_process_pid;
    notify?.relayReady(socket!, { hostSocket: hostSocket!, mainPid: pid, initPidfd: pidfd! });
  } finally {
    socket?.[Symbol.dispose]();
    if (pidfd !== undefined) closeSync(pidfd);
  }
}

/** A variable of the caller, undefined when it is absent or empty. */
function envValue(env: readonly string[], name: string): string | undefined {
  const entry = env.findLast((text) => text.startsWith(`${name}=`));
  const value = entry?.slice(name.length + 1);
  return value === '' ? undefined : value;
}

async function letGo(
  directory: string,
  pidfd: number | undefined,
  config: Config,
  group: string,
): Promise<void> {
  const result = pidfd === undefined ? { died: true as const } : startThroughFifo(directory, pidfd);
  if ('started' in result && result.started) return;
  const { diedBeforeStart, execFailure, hookFailure, withMemory } = await import('./failure.ts');
  if ('died' in result) throw withMemory(diedBeforeStart(), group);
  throw 'record' in result
    ? execFailure(result.record, config)
    : hookFailure(result.message, config);
}

/** After the program runs; a failure stops the container (runtime-spec 1.3). */
async function poststart(
  context: Context,
  state: StateFile,
  config: Config,
  pidfd: number,
): Promise<void> {
  const hooks = config.hooks?.poststart ?? [];
  if (hooks.length === 0) return;
  const { id, init_process_pid: pid, bundle, annotations } = state;
  const document = hookState({ id, status: 'running', pid, bundle, annotations });
  const { runHooks } = await import('../../hooks/run.ts');
  try {
    const directory = bundle;
    runHooks({ point: 'poststart', hooks, state: document, directory, ...callerOf(context) });
  } catch (thrown) {
    pidfdSendSignal(pidfd, SIGKILL);
    throw thrown;
  }
}
