/**
 * run: create and start, and in the foreground wait and delete (runtime-cli.md §4.4).
 *
 * Without a terminal this process becomes the executor for the wait (plan/wait.ts) and does not come
 * back; what then needs a decision comes to `finishRun` in a process of its own. With a terminal it
 * stays and relays the bytes.
 */

import { PR_SET_CHILD_SUBREAPER } from '../linux/sched.ts';
import { prctl } from '../native/libc.ts';
import { writeState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { type Created, type CreateOptions, create } from './create.ts';
import { writePidFile } from './pid-file.ts';
import { becomeWaiter } from './waiter.ts';

export interface RunOptions extends CreateOptions {
  readonly detach: boolean;
  /** Foreground: leave the stopped container. */
  readonly keep: boolean;
  readonly noSubreaper: boolean;
}

/** The exit code: 0 detached, else the program's, or 128 and its signal. May never return. */
export async function runContainer(context: Context, options: RunOptions): Promise<number> {
  if (options.detach) {
    const created = await create(context, options, { foreground: false });
    const pid = created.state.init_process_pid;
    await orDelete(context, created, async () => {
      await startCreated(context, created, pid);
      if (options.pidFile !== undefined) writePidFile(options.pidFile, pid);
    });
    return 0;
  }
  if (!options.noSubreaper) prctl(PR_SET_CHILD_SUBREAPER, 1);
  const created = await create(context, options, { foreground: true });
  return orDelete(context, created, async () => {
    if (created.master === undefined) return runWithoutTerminal(context, options, created);
    const { runOnTerminal } = await import('./run-terminal.ts');
    return runOnTerminal(context, options, created, created.master);
  });
}

/** `mainPid` is what sd_notify's MAINPID says: ours while we wait in the foreground. */
async function startCreated(
  context: Context,
  created: Created,
  mainPid = process.pid,
): Promise<void> {
  const { startLocked } = await import('./start.ts');
  await startLocked(context, created, mainPid);
}

/** A container that could not be started, or not be waited for, is not left behind. */
async function orDelete<T>(context: Context, created: Created, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    created.lock.release();
    const { deleteContainer } = await import('./delete.ts');
    await deleteContainer(context, created.state.id, { force: true });
    throw thrown;
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
  if (startHere) await startCreated(context, created);
  else writeState(directory, { ...state, status: 'Running' });
  const pid = state.init_process_pid;
  if (options.pidFile !== undefined) writePidFile(options.pidFile, pid);
  const ordinary =
    (config.hooks?.poststop?.length ?? 0) === 0 &&
    state.owned.bundle === undefined &&
    state.owned.image === undefined &&
    state.namespaces.includes('pid') &&
    state.cgroup_path !== '' &&
    !state.systemd_cgroup &&
    (state.cgroup_made?.length ?? 0) <= 1 &&
    state.intel_rdt === undefined &&
    options.notifySocket === undefined;
  const remove = {
    stateDir: directory,
    // state.json last: what cannot be removed is then still a container
    files: ['config.json', 'exec.go', 'exec.report', 'state.json'],
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
