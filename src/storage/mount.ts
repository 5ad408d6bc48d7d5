/**
 * `storage mount` and `storage umount`: one mount on the host, with the options of the runtime-spec's
 * table (plan/mount-options.ts).
 *
 * A bind mount unless `type=` names a filesystem; layers among the options mean an overlay. The
 * mount is made detached, gets its attributes, and is attached by descriptor, so that it is never
 * there without its `ro`. mount(8) for the words, open_tree(2), fsconfig(2), move_mount(2),
 * umount2(2). A word that cannot be carried out is refused, none is ignored.
 */

import { realpathSync, type Stats, statSync } from 'node:fs';
import { isRuncellError, RuncellError, toRuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  O_CLOEXEC,
  O_PATH,
} from '../libcontainer/linux/fcntl.ts';
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from '../libcontainer/linux/mount.ts';
import { mountAttr } from '../libcontainer/plan/draft.ts';
import { type ParsedMountOptions, parseMountOptions } from '../libcontainer/plan/mount-options.ts';
import type { Program, ProgramBuilder, Slot } from '../libcontainer/program/builder.ts';
import { hostBuilder, planDone, planFailure, runHostProgram } from './host-program.ts';
import { isMountPoint, loadMountTable, mountsBelow } from './mount-table.ts';
import { unmountAt } from './overlay.ts';

export interface MountRequest {
  /** A directory or file to bind, or what the filesystem takes as its source. */
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/** A request as it will be carried out: paths absolute, every word known to have an effect. */
export interface HostMount {
  readonly source: string;
  readonly target: string;
  /** Undefined: a bind mount. */
  readonly type: string | undefined;
  readonly options: ParsedMountOptions;
}

/** fsconfig(2) takes no longer value: FSCONFIG_SET_STRING copies at most 256 bytes with the NUL. */
const VALUE_BYTES_MAX = 255;

export function mountStorage(context: Context, request: MountRequest): void {
  const mount = resolveMount(request, context.cwd);
  checkPaths(mount);
  runHostProgram(planHostMount(hostBuilder(), mount));
}

export function resolveMount(request: MountRequest, cwd: string): HostMount {
  const words = request.options.filter((word) => !word.startsWith('type='));
  const named = request.options.find((word) => word.startsWith('type='))?.slice('type='.length);
  const options = parseMountOptions(words);
  const layered = options.data.some((word) => word.startsWith('lowerdir'));
  const type = named ?? (layered ? 'overlay' : undefined);
  const bind = type === undefined || type === 'bind' || type === 'none';
  refuseWords(options, bind);
  const absolute = (path: string) => (path.startsWith('/') ? path : `${cwd}/${path}`);
  if (!bind) return { source: request.source, target: absolute(request.target), type, options };
  if (options.bind === 'none') options.bind = 'bind';
  const source = absolute(request.source);
  return { source, target: absolute(request.target), type: undefined, options };
}

function refuseWords(options: ParsedMountOptions, bind: boolean): void {
  if (options.remount) throw unsupported('remount', 'umount and mount again');
  if (options.idmap !== 'none') throw unsupported(options.idmap);
  if (options.tmpcopyup) throw unsupported('tmpcopyup');
  if (bind) {
    const word = options.superblock[0] ?? options.data[0];
    if (word === undefined) return;
    throw unsupported(word, 'a bind mount has no filesystem options; type=NAME names a filesystem');
  }
  if (options.bind !== 'none') throw unsupported(options.bind, 'a bind mount has no type');
  const long = options.data.find((word) => Buffer.byteLength(valueIn(word)) > VALUE_BYTES_MAX);
  if (long === undefined) return;
  throw unsupported(long, `a value has at most ${VALUE_BYTES_MAX} bytes`);
}

function valueIn(word: string): string {
  return word.slice(word.indexOf('=') + 1);
}

function unsupported(word: string, hint?: string): RuncellError {
  const reason = 'not supported here';
  return new RuncellError({
    code: 'usage.unsupported',
    operation: 'mount option',
    target: word,
    reason,
    hint,
  });
}

/** The kernel's errno would not say which of the two paths it is. */
function checkPaths(mount: HostMount): void {
  const target = statOf(mount.target, 'mount target');
  if (mount.type !== undefined) return;
  const source = statOf(mount.source, 'mount source');
  if (source.isDirectory() === target.isDirectory()) return;
  const [one, other] = source.isDirectory() ? ['a directory', 'none'] : ['no directory', 'one'];
  const reason = `source is ${one} and target ${other}`;
  throw new RuncellError({
    code: 'storage.operation',
    operation: 'mount',
    target: mount.target,
    reason,
  });
}

function statOf(path: string, operation: string): Stats {
  try {
    return statSync(path);
  } catch (thrown) {
    throw toRuncellError(thrown, { code: 'storage.operation', operation, target: path });
  }
}

export function planHostMount(b: ProgramBuilder, mount: HostMount): Program {
  const [target, tree, fs] = [b.slot('target'), b.slot('mount'), b.slot('fs')];
  const failed = b.label();
  b.section('', 'mount target', mount.target);
  b.call('openat', [AT_FDCWD, b.string(mount.target), O_PATH | O_CLOEXEC], { into: target });
  const what = mount.type ?? mount.source;
  b.section('', `mount ${what} on`, mount.target);
  if (mount.type === undefined) planClone(b, mount, tree);
  else planFilesystem(b, { mount, type: mount.type, fs, tree, failed });
  planAttributes(b, mount, tree);
  const empty = b.string('');
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  b.call('move_mount', [tree, empty, target, empty, flags]);
  planPropagation(b, mount, tree);
  planDone(b);
  if (mount.type !== undefined) planFailure(b, failed, fs);
  return b.finish();
}

function planClone(b: ProgramBuilder, mount: HostMount, tree: Slot): void {
  const recursive = mount.options.bind === 'rbind' ? AT_RECURSIVE : 0;
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive;
  b.call('open_tree', [AT_FDCWD, b.string(mount.source), flags], { into: tree });
}

function planFilesystem(
  b: ProgramBuilder,
  at: {
    mount: HostMount;
    type: string;
    fs: Slot;
    tree: Slot;
    failed: ReturnType<ProgramBuilder['label']>;
  },
): void {
  const { mount, fs } = at;
  const { options } = mount;
  b.call('fsopen', [b.string(at.type), FSOPEN_CLOEXEC], { into: fs });
  b.trap(at.failed);
  const set = (key: string, value: string) =>
    b.call('fsconfig', [fs, FSCONFIG_SET_STRING, b.string(key), b.string(value), 0]);
  const flag = (key: string) => b.call('fsconfig', [fs, FSCONFIG_SET_FLAG, b.string(key), 0, 0]);
  set('source', mount.source);
  // A medium that cannot be written refuses a superblock that could; mount(8) asks for both too.
  if ((options.set & MOUNT_ATTR_RDONLY) !== 0) flag('ro');
  for (const word of options.superblock) flag(word);
  for (const word of options.data) {
    const equals = word.indexOf('=');
    if (equals === -1) flag(word);
    else set(word.slice(0, equals), word.slice(equals + 1));
  }
  b.call('fsconfig', [fs, FSCONFIG_CMD_CREATE, 0, 0, 0]);
  b.call('fsmount', [fs, FSMOUNT_CLOEXEC, options.set], { into: at.tree });
  b.trap(undefined); // the context has nothing to say about what follows
}

function planAttributes(b: ProgramBuilder, mount: HostMount, tree: Slot): void {
  const { set, clear, recursiveSet, recursiveClear } = mount.options;
  const apply = (flags: number, change: { set: number; clear: number }) => {
    if (change.set === 0 && change.clear === 0) return;
    const attr = mountAttr(b, change);
    b.call('mount_setattr', [tree, b.string(''), AT_EMPTY_PATH | flags, attr.pointer, attr.size]);
  };
  apply(AT_RECURSIVE, { set: recursiveSet, clear: recursiveClear });
  // fsmount(2) has given a new filesystem its own attributes already.
  if (mount.type === undefined) apply(0, { set, clear });
}

/** After the attach: on a shared parent every mount becomes shared whatever it was before. */
function planPropagation(b: ProgramBuilder, mount: HostMount, tree: Slot): void {
  for (const { flag, recursive } of mount.options.propagation) {
    const attr = mountAttr(b, { propagation: flag });
    const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    b.call('mount_setattr', [tree, b.string(''), flags, attr.pointer, attr.size]);
  }
}

/** Unmounts what is on top of the target; a mount that is in use stays. */
export function umountStorage(context: Context, request: { readonly target: string }): void {
  const { target } = request;
  const real = realPathOf(target.startsWith('/') ? target : `${context.cwd}/${target}`);
  const table = loadMountTable();
  if (!isMountPoint(table, real)) {
    throw new RuncellError({
      code: 'storage.operation',
      operation: 'umount',
      target: real,
      reason: 'not a mount point',
    });
  }
  const slash = real.lastIndexOf('/');
  const [parent, name] = [real.slice(0, slash) || '/', real.slice(slash + 1) || '.'];
  try {
    unmountAt({ parent, name, detachWhenBusy: false });
  } catch (thrown) {
    const below = mountsBelow(table, real);
    if (below.length === 0 || !isRuncellError(thrown)) throw thrown;
    throw thrown.with({ hint: `${below.join(', ')} is mounted below it` });
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (thrown) {
    throw toRuncellError(thrown, { code: 'storage.operation', operation: 'umount', target: path });
  }
}
