/**
 * `container run`: the usage document's run from an image directory. The bundle, over an overlay of
 * the image, is made here and removed with the container.
 *
 * As with docker, a container that was given a name is there, stopped, until it is deleted; one whose
 * name nobody knows goes when its program ends. Without `--interactive` the program reads nothing; detached, the name is printed, as docker does,
 * and the caller's pipes and terminal stay the caller's.
 */

import fs from 'node:fs';
import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { runContainer } from '../../libcontainer/container/run.ts';
import type { Output } from '../../output.ts';
import { buildBundle } from '../../storage/bundle.ts';
import { keepOrRemove } from './owned.ts';
import { closeStdin, releaseCaller } from './stdio.ts';

export async function containerRun(
  context: Context,
  line: CommandLine,
  output: Output,
): Promise<number> {
  const { flags } = line;
  const named = flags.text('id');
  const id = named ?? madeUpId();
  const detach = flags.on('detach');
  const tty = flags.on('tty');
  const { bundle, owned } = await buildBundle(context, {
    id,
    image: flags.text('image')!,
    command: flags.text('command') ?? '/bin/sh',
    args: [...flags.list('args'), ...line.rest],
    tty,
    interactive: flags.on('interactive'),
  });
  if (detach) releaseCaller();
  else if (!flags.on('interactive') && !tty) closeStdin();
  const exitCode = await keepOrRemove(context, id, owned, () =>
    runContainer(context, {
      id,
      bundle,
      owned,
      noPivot: false,
      noNewKeyring: false,
      preserveFds: 0,
      listenFds: 0,
      detach,
      keep: named !== undefined,
      noSubreaper: false,
    }),
  );
  if (detach) output.out(`${id}\n`);
  return exitCode;
}

/** Twelve hexadecimal digits, like docker's short names; of the kernel, since crypto costs a load. */
export function madeUpId(): string {
  return fs.readFileSync('/proc/sys/kernel/random/uuid', 'latin1').replaceAll('-', '').slice(0, 12);
}
