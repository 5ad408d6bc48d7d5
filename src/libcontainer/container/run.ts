/**
 * run: create and start, and in the foreground wait and delete (runtime-cli.md §4.4).
 *
 * Without a terminal this process becomes the executor for the wait (plan/wait.ts) and does not come
 * back; what then needs a decision comes to `finishRun` in a process of its own. With a terminal it
 * stays and relays the bytes.
 */

import { closeSync, fstatSync, readSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { relayTerminal } from '../console/terminal.ts';
import { becomeExecutor } from '../executor/wait.ts';
import type { Arch } from '../linux/arch.ts';
import { PR_SET_CHILD_SUBREAPER } from '../linux/sched.ts';
import { pidfdOpen, prctl } from '../native/libc.ts';
import { FINISH_STATUS_BYTES, planWait, REPORT_FD, type WaitRequest } from '../plan/wait.ts';
import { lockContainer } from '../store/lock.ts';
import { stateDirOf } from '../store/state-dir.ts';
import { loadConfigBytes, loadState, writeState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { type Created, type CreateOptions, create } from './create.ts';
import { deleteContainer, deleteLocked } from './delete.ts';
import { executorPath, launcherPath } from './installation.ts';
import { writePidFile } from './pid-file.ts';
import { parseConfig, startLocked, startReport } from './start.ts';

export interface RunOptions extends CreateOptions {
  readonly detach: boolean;
  /** Foreground: leave the stopped container. */
  readonly keep: boolean;
  readonly noSubreaper: boolean;
}

/** The exit code: 0 detached, else the program's, or 128 and its signal. May never return. */
export async function runContainer(context: Context, options: RunOptions): Promise<number> {
  if (options.detach) {
    const created = create(context, options, { foreground: false });
    await startOrDelete(context, created);
    if (options.pidFile !== undefined) {
      writePidFile(options.pidFile, created.state.init_process_pid);
    }
    return 0;
  }
  if (!options.noSubreaper) prctl(PR_SET_CHILD_SUBREAPER, 1);
  const created = create(context, options, { foreground: true });
  return created.master === undefined
    ? runWithoutTerminal(context, options, created)
    : runOnTerminal(context, options, created, created.master);
}

/** A container that could not be started is not left behind. */
async function startOrDelete(context: Context, created: Created): Promise<void> {
  try {
    startLocked(context, created, process.pid);
  } catch (thrown) {
    created.lock.release();
    await deleteContainer(context, created.state.id, { force: true });
    throw thrown;
  }
}

async function runOnTerminal(
  context: Context,
  options: RunOptions,
  created: Created,
  masterFd: number,
): Promise<number> {
  const pid = created.state.init_process_pid;
  const pidfd = pidfdOpen(pid)!;
  await startOrDelete(context, created);
  if (options.pidFile !== undefined) writePidFile(options.pidFile, pid);
  try {
    return await relayTerminal({ masterFd, pidfd });
  } finally {
    closeSync(pidfd);
    closeSync(masterFd);
    if (!options.keep) await deleteContainer(context, options.id, { force: true });
  }
}

/**
 * Node is not needed while the container runs. Hooks after the start and sd_notify are Node's, so
 * with them it starts the container itself.
 */
async function runWithoutTerminal(
  context: Context,
  options: RunOptions,
  created: Created,
): Promise<never> {
  const { directory, state, config } = created;
  const poststart = (config.hooks?.poststart?.length ?? 0) > 0;
  const startHere = poststart || options.notifySocket !== undefined;
  if (startHere) await startOrDelete(context, created);
  else writeState(directory, { ...state, status: 'Running' });
  const pid = state.init_process_pid;
  if (options.pidFile !== undefined) writePidFile(options.pidFile, pid);
  const ordinary =
    (config.hooks?.poststop?.length ?? 0) === 0 &&
    state.owned.bundle === undefined &&
    state.owned.image === undefined &&
    state.namespaces.includes('pid') &&
    (state.cgroup_made?.length ?? 0) <= 1 &&
    options.notifySocket === undefined;
  const remove = {
    stateDir: directory,
    files: ['state.json', 'config.json', 'exec.go', 'exec.report'],
    cgroup: state.cgroup_path,
  };
  return becomeWaiter(context, {
    pid,
    gate: startHere ? { kind: 'started' } : { kind: 'fifo', stateDir: directory },
    ...(options.keep ? {} : { remove }),
    alwaysFinish: !options.keep && !ordinary,
    finish: ['run', options.keep ? 'keep' : 'delete', options.id],
    keepFds: [],
  });
}

export interface Waiter {
  readonly pid: number;
  readonly gate: WaitRequest['gate'];
  readonly remove?: NonNullable<WaitRequest['remove']>;
  readonly alwaysFinish: boolean;
  /** Words of the hidden verb that decides where the program cannot. */
  readonly finish: readonly string[];
  readonly keepFds: readonly number[];
}

/** Does not return: this process goes on as the executor. */
export function becomeWaiter(context: Context, waiter: Waiter): never {
  const pidfd = pidfdOpen(waiter.pid);
  if (pidfd === undefined) throw new RuncellError({ code: 'kernel.init', reason: 'init is gone' });
  const { finish, keepFds, ...rest } = waiter;
  const program = planWait({
    ...rest,
    arch: process.arch as Arch,
    pidfd,
    finish: {
      path: launcherPath(),
      args: finishArgs(context, finish),
      env: context.handOver.envBytes,
    },
  });
  return becomeExecutor({
    image: executorPath(),
    programs: [program],
    keep: [pidfd, ...keepFds],
  });
}

/** argv of the launcher: --preserve-fds keeps the report, the rest is this call's own flags. */
function finishArgs(context: Context, words: readonly string[]): string[] {
  const root = context.explicitRoot ? ['--root', context.root] : [];
  return ['runcell', ...root, ...context.logArguments, 'finish', '--preserve-fds', '1', ...words];
}

/** What the waiter left for us: the exit status, and what the container reported at its start. */
export function readFinish(): { status: number; report: Uint8Array } {
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
  const directory = stateDirOf(context.root, id);
  const lock = lockContainer(directory);
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
