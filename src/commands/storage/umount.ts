/**
 * `storage umount`: unmounts a target.
 */

import type { CommandLine } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { umountStorage } from '../../storage/mount.ts';
import { absolutePath } from '../path.ts';

export async function storageUmount(context: Context, line: CommandLine): Promise<undefined> {
  await umountStorage(context, { target: absolutePath(line.flags.text('target')!, context.cwd) });
}
