/**
 * start: lets a created container go and tells what became of it (runtime-spec 1.3 runtime.md#start).
 */

import { closeSync, existsSync } from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { runHooks } from '../../hooks/run.ts';
import { parseJson } from '../../oci/json.ts';
import { hookState } from '../../oci/state.ts';
import {
  bindNotifySocket,
  type NotifySocket,
  notifyDirectoryOf,
  relayReady,
} from '../console/notify.ts';
import { decodeFatalRecord, decodeMessage } from '../executor/protocol.ts';
import { pidfdOpen, pidfdSendSignal } from '../native/libc.ts';
import { STARTED } from '../plan/execute.ts';
import { MESSAGE_SIZE } from '../program/op.ts';
import { startThroughFifo } from '../store/exec-fifo.ts';
import { type ContainerLock, lockContainer } from '../store/lock.ts';
import { stateDirOf } from '../store/state-dir.ts';
import { loadConfigBytes, loadState, type StateFile, writeState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { callerOf } from './create.ts';
import { execError } from './executable.ts';
import { hookError } from './failure.ts';
import { statusOf } from './status.ts';

const SIGKILL = 9;

export function startContainer(context: Context, id: string): void {
  const directory = stateDirOf(context.root, id);
  const lock = lockContainer(directory);
  const state = loadState(directory);
  refuseUnlessCreated(directory, state);
  const config = parseConfig(loadConfigBytes(directory));
  startLocked(context, { directory, state, config, lock });
}

export interface Startable {
  readonly directory: string;
  readonly state: StateFile;
  readonly config: Config;
  readonly lock: ContainerLock;
}

/**
 * With the lock held and init known to wait. The lock goes before READY=1 is waited for, which may
 * take as long as the program likes.
 */
export function startLocked(context: Context, container: Startable, mainPid?: number): void {
  const { directory, state, config, lock } = container;
  const pidfd = pidfdOpen(state.init_process_pid);
  if (pidfd === undefined) throw diedBeforeStart();
  const hostSocket = envValue(context.env, 'NOTIFY_SOCKET');
  let notify: NotifySocket | undefined;
  try {
    if (hostSocket !== undefined && existsSync(notifyDirectoryOf(directory))) {
      notify = bindNotifySocket(directory);
    }
    letGo(directory, pidfd, config);
    writeState(directory, { ...state, status: 'Running' });
    poststart(context, state, config, pidfd);
    lock.release();
    if (notify !== undefined) {
      const pid = mainPid ?? state.init_process_pid;
      relayReady(notify, { hostSocket: hostSocket!, mainPid: pid, initPidfd: pidfd });
    }
  } finally {
    notify?.[Symbol.dispose]();
    closeSync(pidfd);
  }
}

/** The configuration as it was when the container was created; it was validated then. */
export function parseConfig(bytes: Uint8Array): Config {
  return parseJson(bytes, { source: 'config.json' }) as Config;
}

function refuseUnlessCreated(directory: string, state: StateFile): void {
  const reasons = {
    creating: 'cannot start a container that is still being created',
    running: 'cannot start an already running container',
    paused: 'cannot start a container in the paused state',
    stopped: 'cannot start a container that has stopped',
  } as const;
  const status = statusOf(directory, state);
  if (status === 'created') return;
  throw new RuncellError({ code: 'state.conflict', reason: reasons[status] });
}

/** A variable of the caller, undefined when it is absent or empty. */
function envValue(env: readonly string[], name: string): string | undefined {
  const entry = env.findLast((text) => text.startsWith(`${name}=`));
  const value = entry?.slice(name.length + 1);
  return value === '' ? undefined : value;
}

function letGo(directory: string, pidfd: number, config: Config): void {
  const result = startThroughFifo(directory, pidfd);
  if ('died' in result) throw diedBeforeStart();
  if (result.started) return;
  throw 'record' in result
    ? execFailure(result.record, config)
    : hookFailure(result.message, config);
}

/** What init wrote to its report: undefined when it became the program. */
export function startReport(report: Uint8Array, config: Config): RuncellError | undefined {
  if (report.length === 0) return undefined;
  if (report[0] !== STARTED.charCodeAt(0)) return hookFailure(report, config);
  return report.length === 1 ? undefined : execFailure(report.subarray(1), config);
}

function hookFailure(bytes: Uint8Array, config: Config): RuncellError {
  const decoded = decodeMessage(bytes);
  if (decoded === undefined) return diedBeforeStart();
  return hookError('startContainer', config.hooks?.startContainer ?? [], decoded.message);
}

/** A fatal record and the head of the executable that could not be executed. */
export function execFailure(record: Uint8Array, config: Pick<Config, 'process'>): RuncellError {
  const fatal = decodeFatalRecord(record);
  if (fatal === undefined) return diedBeforeStart();
  const path = config.process?.args?.[0] ?? '';
  return execError(path, fatal.errno, record.subarray(MESSAGE_SIZE));
}

function diedBeforeStart(): RuncellError {
  const reason = 'container init died before it was started';
  return new RuncellError({ code: 'kernel.init', reason });
}

/** After the program runs; a failure stops the container (runtime-spec 1.3). */
function poststart(context: Context, state: StateFile, config: Config, pidfd: number): void {
  const hooks = config.hooks?.poststart ?? [];
  if (hooks.length === 0) return;
  const { id, init_process_pid: pid, bundle, annotations } = state;
  const document = hookState({ id, status: 'running', pid, bundle, annotations });
  try {
    const directory = bundle;
    runHooks({ point: 'poststart', hooks, state: document, directory, ...callerOf(context) });
  } catch (thrown) {
    pidfdSendSignal(pidfd, SIGKILL);
    throw thrown;
  }
}
