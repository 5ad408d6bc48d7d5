/**
 * `events ID`: a line of JSON each interval with the container's statistics, and one for each OOM
 * kill; `--stats` prints one and ends (reference/runtime-cli.md §1.6, §2).
 */

import type { CommandLine } from '../argv.ts';
import { isRuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import {
  type ContainerEvent,
  containerStats,
  watchContainer,
} from '../libcontainer/container/events.ts';
import { stringifyJson } from '../oci/json.ts';
import type { Output } from '../output.ts';
import { intervalFlag } from './duration.ts';

const STDOUT_FD = 1;

export async function events(
  context: Context,
  line: CommandLine,
  output: Output,
): Promise<undefined> {
  const id = line.args[0]!;
  const intervalMs = intervalFlag(line, '5s');
  const print = (event: ContainerEvent): void => output.out(`${stringifyJson(event)}\n`);
  if (line.flags.on('stats')) {
    print(containerStats(context, id));
    return;
  }
  try {
    await watchContainer(context, id, { intervalMs, readerFd: STDOUT_FD }, print);
  } catch (thrown) {
    // Whoever read the stream has had enough of it.
    if (isRuncellError(thrown) && thrown.errnoName === 'EPIPE') return;
    throw thrown;
  }
}
