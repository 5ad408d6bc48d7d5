/**
 * Destinations inside the rootfs: from a path to a descriptor, creating what is missing.
 *
 * openat2(2) with RESOLVE_IN_ROOT on the root descriptor, the path always whole from the root;
 * missing components are made one by one with mkdirat(2) on the descriptor just resolved, so a
 * component that is swapped meanwhile leads elsewhere inside the root or to an error
 * (CVE-2024-45310, executor-notes.md §1). mknodat(2) makes a file without following links or
 * opening anything. Pure.
 */

import { O_CLOEXEC, O_DIRECTORY, O_PATH, RESOLVE_NO_SYMLINKS } from '../linux/fcntl.ts';
import { S_IFREG } from '../linux/stat.ts';
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import { IN_ROOT, openInRoot, relativePath } from './draft.ts';

export interface DestinationOptions {
  readonly kind: 'directory' | 'file';
  /** For proc and sysfs: no component may be a link (CVE-2019-19921). */
  readonly noSymlinks?: boolean;
}

const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o755;

/** Opens `path` below `root` into `into`, making it if it is not there. */
export function openDestination(
  b: ProgramBuilder,
  root: Slot,
  path: string,
  into: Slot,
  options: DestinationOptions,
): void {
  const relative = relativePath(path);
  const resolve = options.noSymlinks === true ? IN_ROOT | RESOLVE_NO_SYMLINKS : IN_ROOT;
  if (relative === '.') {
    openInRoot(b, root, relative, into);
    return;
  }
  const create = b.label();
  const done = b.label();
  // A directory is asked for as one: move_mount(2) would only say EINVAL.
  const kind = options.kind === 'directory' ? O_DIRECTORY(b.arch) : 0;
  const flags = O_PATH | O_CLOEXEC | kind;
  openInRoot(b, root, relative, into, { flags, resolve, tolerate: ['ENOENT'], onError: create });
  b.jump(done);
  b.place(create);
  const parts = relative.split('/');
  const name = parts.pop()!;
  const parent = makeParents(b, root, parts, into, resolve);
  if (options.kind === 'directory') {
    b.call('mkdirat', [parent, b.string(name), DIRECTORY_MODE], { tolerate: ['EEXIST'] });
  } else {
    const mode = S_IFREG | FILE_MODE;
    b.call('mknodat', [parent, b.string(name), mode, 0], { tolerate: ['EEXIST'] });
  }
  if (parent !== root) b.call('close', [parent]);
  openInRoot(b, root, relative, into, { flags, resolve });
  b.place(done);
}

/**
 * Opens the directory that holds `path`, making missing parents; the descriptor is `root` itself
 * when the path has a single component, and belongs to the caller otherwise.
 */
export function openParent(
  b: ProgramBuilder,
  root: Slot,
  path: string,
  into: Slot,
): { parent: Slot; name: string } {
  const parts = relativePath(path).split('/');
  const name = parts.pop()!;
  return { parent: makeParents(b, root, parts, into, IN_ROOT), name };
}

function makeParents(
  b: ProgramBuilder,
  root: Slot,
  parts: readonly string[],
  into: Slot,
  resolve: number,
): Slot {
  let parent = root;
  for (let i = 0; i < parts.length; i++) {
    b.call('mkdirat', [parent, b.string(parts[i]!), DIRECTORY_MODE], {
      tolerate: ['EEXIST'],
    });
    if (parent !== root) b.call('close', [parent]);
    const flags = O_PATH | O_CLOEXEC | O_DIRECTORY(b.arch);
    openInRoot(b, root, parts.slice(0, i + 1).join('/'), into, { flags, resolve });
    parent = into;
  }
  return parent;
}
