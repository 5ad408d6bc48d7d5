/**
 * A cold session: spawns the executor's image and talks to it over a socket pair.
 *
 * The executor is given 0, 1, 2, the descriptors that are to be kept, and its control socket at
 * the first number above them, named in argv[1] (engines own the numbers from 3 on). It has no
 * environment: the container's travels in the program. The image is still the file of the package;
 * the first program a caller sends makes it a sealed copy (plan/self-copy.ts).
 */

import { closeSync } from 'node:fs';
import { SOCK_STREAM } from '../linux/socket.ts';
import { socketPair } from '../native/socket.ts';
import { type Descriptor, spawnProcess } from '../native/spawn.ts';
import { type ExecutorSession, SocketSession } from './session.ts';

export interface SpawnExecutor {
  /** The executor's ELF, an absolute path. */
  readonly image: string;
  /** What the executor has besides 0, 1 and 2; `to` may name one of these to replace it. */
  readonly fds?: readonly Descriptor[];
}

export interface ColdSession extends ExecutorSession {
  /** The number of the control socket in the executor. */
  readonly ctlFd: number;
}

/** Where the executor's control socket goes: above 0, 1, 2 and everything that is kept. */
export function controlFdFor(fds: readonly Descriptor[]): number {
  return fds.reduce((highest, { to }) => Math.max(highest, to), 2) + 1;
}

export function spawnExecutor(options: SpawnExecutor): ColdSession {
  const fds = options.fds ?? [];
  const ctlFd = controlFdFor(fds);
  const [ours, theirs] = socketPair(SOCK_STREAM);
  try {
    const stdio = [0, 1, 2].filter((fd) => !fds.some(({ to }) => to === fd));
    const pid = spawnProcess({
      path: options.image,
      args: ['runcell', String(ctlFd)],
      env: [],
      descriptors: [
        ...stdio.map((fd) => ({ from: fd, to: fd })),
        ...fds,
        { from: theirs, to: ctlFd },
      ],
    });
    return Object.assign(new SocketSession(pid, ours), { ctlFd });
  } catch (thrown) {
    closeSync(ours);
    throw thrown;
  } finally {
    closeSync(theirs);
  }
}
