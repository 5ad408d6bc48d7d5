/**
 * `container exec`: one more program in a container, in the foreground, /bin/sh when none is named.
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { execContainer } from '../../libcontainer/container/exec.ts';
import { closeStdin } from './stdio.ts';

export function containerExec(context: Context, line: CommandLine): number | Promise<number> {
  const { flags } = line;
  const tty = flags.on('tty');
  if (!flags.on('interactive') && !tty) closeStdin();
  return execContainer(context, {
    id: flags.text('id')!,
    args: [flags.text('command') ?? '/bin/sh', ...flags.list('args'), ...line.rest],
    env: [],
    tty,
    additionalGids: [],
    detach: false,
    noNewPrivileges: false,
    capabilities: [],
    preserveFds: 0,
    ignorePaused: false,
  });
}
