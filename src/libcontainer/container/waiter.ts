/**
 * The foreground wait of run and exec: this process becomes the executor (plan/wait.ts), and where its
 * program cannot decide, the compiler again with the hidden verb `finish`.
 */

import { RuncellError } from '../../error.ts';
import { becomeExecutor } from '../executor/wait.ts';
import type { Arch } from '../linux/arch.ts';
import { memfdCreate, pidfdOpen } from '../native/libc.ts';
import { planWait, type WaitRequest } from '../plan/wait.ts';
import type { Context } from './context.ts';
import { executorPath, launcherPath } from './installation.ts';

export interface Waiter {
  readonly pid: number;
  readonly gate: WaitRequest['gate'];
  readonly remove?: NonNullable<WaitRequest['remove']>;
  readonly alwaysFinish: boolean;
  /** Words of the hidden verb that decides where the program cannot. */
  readonly finish: readonly string[];
  readonly keepFds: readonly number[];
}

/** Does not return: this process goes on as the executor. What throws has let nothing go yet. */
export function becomeWaiter(context: Context, waiter: Waiter): never {
  const pidfd = pidfdOpen(waiter.pid);
  if (pidfd === undefined) throw new RuncellError({ code: 'kernel.init', reason: 'init is gone' });
  const { finish, keepFds, ...rest } = waiter;
  const report = memfdCreate('runcell:report');
  const program = planWait({
    ...rest,
    arch: process.arch as Arch,
    pidfd,
    report,
    finish: {
      path: launcherPath(),
      args: finishArgs(context, finish),
      env: context.handOver.envBytes,
    },
  });
  return becomeExecutor({
    image: executorPath(),
    programs: [program],
    keep: [pidfd, report, ...keepFds],
  });
}

/** argv of the launcher: --preserve-fds keeps the report, the rest is this call's own flags. */
function finishArgs(context: Context, words: readonly string[]): string[] {
  const root = context.explicitRoot ? ['--root', context.root] : [];
  return ['runcell', ...root, ...context.logArguments, 'finish', '--preserve-fds', '1', ...words];
}
