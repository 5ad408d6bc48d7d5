/**
 * `create ID`: a container whose init waits for `start`. Flags: reference/runtime-cli.md §1.6.
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { type CreateOptions, createContainer } from '../libcontainer/container/create.ts';
import { absolutePath, optionalPath } from './path.ts';
import { envValue } from './verb.ts';

export async function create(context: Context, line: CommandLine): Promise<undefined> {
  await createContainer(context, createOptions(context, line));
}

/** Paths are made absolute here, before anything looks at the bundle. */
export function createOptions(context: Context, line: CommandLine): CreateOptions {
  const { flags } = line;
  const { cwd } = context;
  const consoleSocket = optionalPath(flags.text('console-socket'), cwd);
  const pidfdSocket = optionalPath(flags.text('pidfd-socket'), cwd);
  const pidFile = optionalPath(flags.text('pid-file'), cwd);
  const notifySocket = envValue(context.env, 'NOTIFY_SOCKET');
  return {
    id: line.args[0]!,
    bundle: absolutePath(flags.text('bundle') ?? '', cwd),
    ...(consoleSocket === undefined ? {} : { consoleSocket }),
    ...(pidfdSocket === undefined ? {} : { pidfdSocket }),
    ...(pidFile === undefined ? {} : { pidFile }),
    noPivot: flags.on('no-pivot'),
    noNewKeyring: flags.on('no-new-keyring'),
    preserveFds: flags.integer('preserve-fds') ?? 0,
    ...(notifySocket === undefined || notifySocket === '' ? {} : { notifySocket }),
    listenFds: context.handOver.listenFds,
  };
}
