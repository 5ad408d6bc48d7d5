/**
 * `container create`: a container from `--rootfs` (a bundle is made for it), from `--bundle`, or
 * from both: then the rootfs is put into the bundle's configuration.
 */

import type { CommandLine } from '../../argv.ts';
import { usageError } from '../../argv.ts';
import type { Context } from '../../libcontainer/container/context.ts';
import { createContainer } from '../../libcontainer/container/create.ts';
import { bundleForRootfs, type Owned } from '../../storage/bundle.ts';
import { absolutePath, optionalPath } from '../path.ts';
import { keepOrRemove } from './owned.ts';
import { releaseCaller } from './stdio.ts';

export async function containerCreate(context: Context, line: CommandLine): Promise<undefined> {
  const { flags } = line;
  const id = flags.text('id')!;
  const rootfs = optionalPath(flags.text('rootfs'), context.cwd);
  const bundle = optionalPath(flags.text('bundle'), context.cwd);
  if (rootfs === undefined && bundle === undefined) {
    throw usageError(line.verb, 'one of the flags "rootfs" and "bundle" is required');
  }
  const from: { bundle: string; owned?: Owned } =
    rootfs === undefined
      ? { bundle: absolutePath(bundle!, context.cwd) }
      : await bundleForRootfs(context, { id, rootfs, ...(bundle === undefined ? {} : { bundle }) });
  releaseCaller();
  await keepOrRemove(context, id, from.owned ?? {}, () =>
    createContainer(context, {
      id,
      bundle: from.bundle,
      ...(from.owned === undefined ? {} : { owned: from.owned }),
      noPivot: false,
      noNewKeyring: false,
      preserveFds: 0,
      listenFds: 0,
    }),
  );
}
