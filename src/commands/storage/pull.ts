/**
 * `storage pull`: brings an image into the directory of a container.
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { pullImage } from '../../storage/pull.ts';

export async function storagePull(context: Context, line: CommandLine): Promise<undefined> {
  const { flags } = line;
  await pullImage(context, {
    image: flags.text('image')!,
    containerId: flags.text('container-id')!,
  });
}
