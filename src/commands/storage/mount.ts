/**
 * `storage mount`: mounts a source on a target with the options of mount(8).
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { mountStorage } from '../../storage/mount.ts';
import { absolutePath } from '../path.ts';

export async function storageMount(context: Context, line: CommandLine): Promise<undefined> {
  const { flags } = line;
  const options = flags.list('options').flatMap((list) => list.split(','));
  await mountStorage(context, {
    source: flags.text('source')!,
    target: absolutePath(flags.text('target')!, context.cwd),
    options: options.filter((option) => option !== ''),
  });
}
