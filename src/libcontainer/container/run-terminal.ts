/**
 * A foreground run with a terminal: this process stays, and the caller's terminal is the container's
 * (runtime-cli.md §4.3, §4.4).
 */

import { closeSync } from 'node:fs';
import { fitTerminal, relayTerminal } from '../console/terminal.ts';
import { pidfdOpen } from '../native/libc.ts';
import type { Context } from './context.ts';
import type { Created } from './create.ts';
import { deleteContainer } from './delete.ts';
import { writePidFile } from './pid-file.ts';
import type { RunOptions } from './run.ts';
import { startLocked } from './start.ts';

/** Starts it, relays until it ends, deletes it; the exit code. */
export async function runOnTerminal(
  context: Context,
  options: RunOptions,
  created: Created,
  masterFd: number,
): Promise<number> {
  const pid = created.state.init_process_pid;
  const pidfd = pidfdOpen(pid)!;
  fitTerminal(masterFd);
  await startLocked(context, created, process.pid);
  if (options.pidFile !== undefined) writePidFile(options.pidFile, pid);
  try {
    return await relayTerminal({ masterFd, pidfd });
  } finally {
    closeSync(pidfd);
    closeSync(masterFd);
    if (!options.keep) await deleteContainer(context, options.id, { force: true });
  }
}
