/**
 * config.mounts (runtime-spec 1.3 config.md#mounts): sources in the stage, mounts in init.
 *
 * The stage, still on the host, clones the source of every bind mount with open_tree(2) and gives
 * the detached tree all its attributes; init makes every other filesystem with fsopen(2) … fsmount(2)
 * and attaches both kinds by descriptor with move_mount(2). Nothing is ever writable "for now", and
 * no path is resolved twice (security.md H18, H19; CVE-2021-30465). The exception is /dev, which
 * runc too makes read-only only after the device nodes are in it. Pure.
 */

import type { Mount } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, O_CLOEXEC, O_RDONLY } from '../linux/fcntl.ts';
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from '../linux/mount.ts';
import { STATX_MODE, STATX_TYPE } from '../linux/stat.ts';
import type { ProgramBuilder, Slot, Value } from '../program/builder.ts';
import { openDestination } from './destination.ts';
import { type Draft, load, mountAttr, relativePath, statxBuffer } from './draft.ts';
import { holderFd, type InitFds } from './fds.ts';
import { type ParsedMountOptions, type Propagation, parseMountOptions } from './mount-options.ts';

/** A mount as the planner sees it: what kind it is once type, options and host are considered. */
export interface PlannedMount {
  readonly index: number;
  readonly specPath: string;
  readonly destination: string;
  readonly source: string;
  readonly type: string;
  readonly options: ParsedMountOptions;
  /** The stage's clone of a bind source: a slot, or the number of its descriptor. */
  tree: Slot | number | undefined;
}

/** `mounts[i]` with the cgroup and bind rules applied; runc's rootfs_linux.go:mountToRootfs. */
export function listMounts(draft: Draft): PlannedMount[] {
  const mounts = (draft.config.mounts ?? []).map((mount, index) =>
    plannedMount(draft, mount, index),
  );
  if (draft.options.notifyDir !== undefined)
    mounts.push(notifyMount(draft.options.notifyDir, mounts.length));
  return mounts;
}

function plannedMount(draft: Draft, mount: Mount, index: number): PlannedMount {
  const options = parseMountOptions(mount.options ?? []);
  let type = mount.type ?? 'none';
  let source = mount.source ?? type;
  if (type === 'bind' || type === 'rbind') {
    if (options.bind === 'none') options.bind = type;
  }
  if (options.idmap === 'none' && mount.uidMappings?.length) options.idmap = 'idmap';
  if (type === 'cgroup') type = 'cgroup2';
  if (type === 'cgroup2' && options.bind === 'none') {
    options.data = options.data.filter((word) => word !== 'none' && !word.startsWith('name='));
    source = 'cgroup';
    if (!draft.hasNamespace('cgroup')) {
      // Without a cgroup namespace of its own the container sees the host's hierarchy, so that is
      // bound. Mounting it would be refused in a user namespace (EPERM), would set the mount options
      // of the host's hierarchy anew, and takes milliseconds.
      options.bind = 'rbind';
      options.superblock = [];
      options.data = [];
      options.recursiveSet |= options.set;
      source = draft.facts.cgroupRoot;
    }
  }
  refuseBindData(options, index);
  const destination = draft.facts.destinations[index] ?? mount.destination;
  if (relativePath(destination) === '.') {
    throw new RuncellError({
      code: 'config.value',
      specPath: `mounts[${index}].destination`,
      target: mount.destination,
      reason: 'a mount cannot replace the root of the container',
      hint: 'set root.path instead',
    });
  }
  refuseInsideProc(draft, { index, type, destination });
  const specPath = `mounts[${index}]`;
  return { index, specPath, destination, source, type, options, tree: undefined };
}

/** What lxcfs puts into a procfs; nothing else may be mounted there (runc's checkProcMount). */
const INSIDE_PROC = new Set(
  ['cpuinfo', 'diskstats', 'loadavg', 'meminfo', 'slabinfo', 'stat', 'swaps', 'uptime']
    .concat('sys/crypto/fips_enabled', 'sys/kernel/ns_last_pid', 'net/dev')
    .map((name) => `proc/${name}`),
);

/**
 * Labels, sysctls and masks are written through /proc: a mount in its place or inside it would take
 * them (CVE-2019-16884).
 */
function refuseInsideProc(
  draft: Draft,
  mount: { readonly index: number; readonly type: string; readonly destination: string },
): void {
  const path = relativePath(mount.destination);
  const isProc = mount.type === 'proc' || draft.facts.sourceIsProc[mount.index] === true;
  const outside = path !== 'proc' && !path.startsWith('proc/');
  if (outside || (path === 'proc' ? isProc : INSIDE_PROC.has(path))) return;
  throw new RuncellError({
    code: 'config.value',
    specPath: `mounts[${mount.index}].destination`,
    target: mount.destination,
    reason:
      path === 'proc'
        ? 'cannot be mounted because it is not of type proc'
        : 'cannot be mounted because it is inside /proc',
  });
}

/** A bind mount has no filesystem of its own that could take data (runc refuses it too). */
function refuseBindData(options: ParsedMountOptions, index: number): void {
  const data = [...options.superblock, ...options.data];
  if (options.bind === 'none' || options.remount || data.length === 0) return;
  throw new RuncellError({
    code: 'config.value',
    specPath: `mounts[${index}].options`,
    target: data.join(','),
    reason: 'a bind mount takes no options of a filesystem',
  });
}

/** The directory of the notify socket, read-only (runtime-cli.md §4.6). */
function notifyMount(source: string, index: number): PlannedMount {
  const options = parseMountOptions(['bind', 'ro', 'nosuid', 'nodev', 'noexec', 'private']);
  return {
    index,
    specPath: 'NOTIFY_SOCKET',
    destination: '/run/notify',
    source,
    type: 'bind',
    options,
    tree: undefined,
  };
}

/** How many trees have a slot each; the data page has no more than 496 in all. */
const TREE_SLOTS = 256;

/** Stage: a detached, finished clone of every bind source, in init's descriptor table by the clone. */
export function planBindSources(draft: Draft, mounts: readonly PlannedMount[]): void {
  const b = draft.builder;
  let trees = 0;
  for (const mount of mounts) {
    if (mount.options.bind === 'none' || mount.options.remount) continue;
    const tree =
      trees < TREE_SLOTS ? b.slot(`tree of ${mount.specPath}`) : draft.slot('one more tree');
    b.section(mount.specPath, `bind ${mount.source} on ${mount.destination}`, mount.source);
    mount.tree = tree;
    const recursive = mount.options.bind === 'rbind' ? AT_RECURSIVE : 0;
    const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive;
    b.call('open_tree', [AT_FDCWD, b.string(mount.source), flags], { into: tree });
    setPropagation(b, tree, inheritedPropagation(draft));
    if (mount.options.idmap !== 'none') draft.idmap!.idmapTree(draft, mount);
    setAttributes(b, tree, mount.options, mount.options);
    if (trees >= TREE_SLOTS) {
      // Above every number that the kernel gives out by itself, and above the holders.
      mount.tree = holderFd(draft, draft.idMaps.length) + 2 * TREE_SLOTS + trees;
      b.call('dup3', [tree, mount.tree, O_CLOEXEC]);
      b.call('close', [tree]);
    }
    trees++;
  }
}

/**
 * A clone of a shared mount is a peer of the host's: what is mounted below it in the container would
 * appear on the host. It follows the root's propagation, as in runc where `/` gets it first.
 */
function inheritedPropagation(draft: Draft): Propagation {
  switch (draft.config.linux?.rootfsPropagation) {
    case 'shared':
    case 'rshared':
      return { flag: MS_SHARED, recursive: true };
    case 'private':
    case 'rprivate':
    case 'unbindable':
    case 'runbindable':
      return { flag: MS_PRIVATE, recursive: true };
    default:
      return { flag: MS_SLAVE, recursive: true };
  }
}

function setPropagation(b: ProgramBuilder, mount: Slot, propagation: Propagation): void {
  const attr = mountAttr(b, { propagation: propagation.flag });
  const flags = AT_EMPTY_PATH | (propagation.recursive ? AT_RECURSIVE : 0);
  b.call('mount_setattr', [mount, b.string(''), flags, attr.pointer, attr.size]);
}

/** Attributes and propagation that the options ask for, on a mount that is not attached yet. */
function setAttributes(
  b: ProgramBuilder,
  mount: Slot,
  own: Pick<ParsedMountOptions, 'set' | 'clear'>,
  options: ParsedMountOptions,
): void {
  if (options.recursiveSet !== 0 || options.recursiveClear !== 0) {
    const attr = mountAttr(b, { set: options.recursiveSet, clear: options.recursiveClear });
    const flags = AT_EMPTY_PATH | AT_RECURSIVE;
    b.call('mount_setattr', [mount, b.string(''), flags, attr.pointer, attr.size]);
  }
  if (own.set !== 0 || own.clear !== 0) {
    const attr = mountAttr(b, { set: own.set, clear: own.clear });
    b.call('mount_setattr', [mount, b.string(''), AT_EMPTY_PATH, attr.pointer, attr.size]);
  }
  for (const propagation of options.propagation) setPropagation(b, mount, propagation);
}

/** Init: every mount in the order of the configuration. */
export function planMounts(draft: Draft, fds: InitFds, mounts: readonly PlannedMount[]): void {
  for (const mount of mounts) {
    const { destination, options, source, tree, type } = mount;
    const what = `mount ${tree === undefined ? type : source} on ${destination}`;
    const reason = options.remount ? `remount ${destination}` : what;
    draft.builder.section(mount.specPath, reason, destination);
    if (mount.options.remount) planRemount(draft, fds, mount);
    else if (mount.tree !== undefined) attachBind(draft, fds, mount, mount.tree);
    else mountFilesystem(draft, fds, mount);
    draft.breathe();
  }
}

function attachBind(draft: Draft, fds: InitFds, mount: PlannedMount, tree: Value): void {
  const b = draft.builder;
  const isDirectory = draft.facts.sourceIsDirectory[mount.index] ?? true;
  openDestination(b, fds.root, mount.destination, fds.destination, {
    kind: isDirectory ? 'directory' : 'file',
  });
  attach(b, tree, fds.destination);
  b.call('close', [fds.destination]);
  b.call('close', [tree]);
}

function attach(b: ProgramBuilder, mount: Value, destination: Value): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  const empty = b.string('');
  b.call('move_mount', [mount, empty, destination, empty, flags]);
}

function mountFilesystem(draft: Draft, fds: InitFds, mount: PlannedMount): void {
  const b = draft.builder;
  openDestination(b, fds.root, mount.destination, fds.destination, {
    kind: 'directory',
    // runc: "must be mounted on ordinary directory"
    noSymlinks: mount.type === 'proc' || mount.type === 'sysfs',
  });
  makeFilesystem(b, fds, mount);
  if (mount.type === 'tmpfs') finishTmpfs(draft, fds, mount);
  setAttributes(b, fds.mount, { set: 0, clear: 0 }, mount.options);
  attach(b, fds.mount, fds.destination);
  b.call('close', [fds.mount]);
  b.call('close', [fds.destination]);
}

/** fsopen … fsmount into `fds.mount`; `fds.fs` is open meanwhile, so that the trap can ask it why. */
function makeFilesystem(b: ProgramBuilder, fds: InitFds, mount: PlannedMount): void {
  const { options, type } = mount;
  b.call('fsopen', [b.string(type), FSOPEN_CLOEXEC], { into: fds.fs });
  if (mount.source !== '') {
    b.call('fsconfig', [
      fds.fs,
      FSCONFIG_SET_STRING,
      b.string('source'),
      b.string(mount.source),
      0,
    ]);
  }
  for (const word of options.superblock) {
    b.call('fsconfig', [fds.fs, FSCONFIG_SET_FLAG, b.string(word), 0, 0]);
  }
  for (const word of options.data.flatMap((data) => data.split(','))) configure(b, fds.fs, word);
  b.call('fsconfig', [fds.fs, FSCONFIG_CMD_CREATE, 0, 0, 0]);
  // A tmpfs that is still to be written to becomes read-only before it is attached.
  const late = isReadonlyDev(mount) || type === 'tmpfs' ? MOUNT_ATTR_RDONLY : 0;
  b.call('fsmount', [fds.fs, FSMOUNT_CLOEXEC, options.set & ~late], { into: fds.mount });
  b.call('close', [fds.fs]);
  b.sum(fds.fs, -1);
}

function configure(b: ProgramBuilder, fs: Slot, word: string): void {
  if (word === '') return;
  const equals = word.indexOf('=');
  if (equals === -1) {
    b.call('fsconfig', [fs, FSCONFIG_SET_FLAG, b.string(word), 0, 0]);
    return;
  }
  const key = b.string(word.slice(0, equals));
  b.call('fsconfig', [fs, FSCONFIG_SET_STRING, key, b.string(word.slice(equals + 1)), 0]);
}

/**
 * A tmpfs without `mode=` keeps the mode of the directory it covers, as in runc; `tmpcopyup` copies
 * what it covers.
 */
function finishTmpfs(draft: Draft, fds: InitFds, mount: PlannedMount): void {
  const b = draft.builder;
  const hasMode = mount.options.data.some((word) => /(^|,)mode=/.test(word));
  if (!hasMode) {
    const { buffer, mode } = statxBuffer(b);
    const empty = b.string('');
    b.call('statx', [fds.destination, empty, AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, buffer]);
    b.call('openat', [fds.mount, b.string('.'), O_RDONLY | O_CLOEXEC], { into: fds.scratch });
    b.call('fchmod', [fds.scratch, load(mode)]);
    b.call('close', [fds.scratch]);
  }
  const covered = draft.facts.copyUp.get(mount.index);
  if (covered !== undefined) draft.copyUp!(draft, fds, covered);
  if ((mount.options.set & MOUNT_ATTR_RDONLY) !== 0 && !isReadonlyDev(mount)) {
    const attr = mountAttr(b, { set: MOUNT_ATTR_RDONLY });
    b.call('mount_setattr', [fds.mount, b.string(''), AT_EMPTY_PATH, attr.pointer, attr.size]);
  }
}

/** `remount` changes the attributes of what is mounted on the destination already. */
function planRemount(draft: Draft, fds: InitFds, mount: PlannedMount): void {
  const b = draft.builder;
  if (mount.options.data.length > 0 || mount.options.superblock.length > 0) {
    throw new RuncellError({
      code: 'config.unsupported',
      specPath: `${mount.specPath}.options`,
      target: [...mount.options.superblock, ...mount.options.data].join(','),
      reason: 'remount changes attributes of the mount only, not options of its filesystem',
    });
  }
  openDestination(b, fds.root, mount.destination, fds.destination, { kind: 'directory' });
  setAttributes(b, fds.destination, mount.options, mount.options);
  b.call('close', [fds.destination]);
}

/** /dev gets its nodes before it becomes read-only (runc's finalizeRootfs). */
export function isReadonlyDev(mount: PlannedMount): boolean {
  return (
    relativePath(mount.destination) === 'dev' &&
    mount.options.bind === 'none' &&
    (mount.options.set & MOUNT_ATTR_RDONLY) !== 0
  );
}
