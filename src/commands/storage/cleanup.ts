/**
 * `storage cleanup`: removes the image that `storage pull` brought for a container.
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { cleanupImage } from '../../storage/cleanup.ts';

export async function storageCleanup(context: Context, line: CommandLine): Promise<undefined> {
  await cleanupImage(context, { containerId: line.flags.text('container-id')! });
}
