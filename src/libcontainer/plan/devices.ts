/**
 * /dev: default and configured nodes, links, ptmx (runtime-spec 1.3 config-linux.md#devices and
 * #default-devices; runc's rootfs_linux.go:createDevices, setupPtmx, setupDevSymlinks).
 *
 * Every step starts from a descriptor resolved below the root (CVE-2026-41579): mknodat(2) on the
 * parent, the node opened again O_PATH|O_NOFOLLOW and its type and number compared, so what an image
 * left there is either the same device or an error. In a user namespace mknod is not permitted;
 * there the host's node is bound. Pure.
 */

import type { LinuxDevice } from '@opencontainers-ts/spec';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
} from '../linux/fcntl.ts';
import {
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from '../linux/mount.ts';
import {
  makedev,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  STATX_MODE,
  STATX_TYPE,
} from '../linux/stat.ts';
import type { ProgramBuilder, Slot } from '../program/builder.ts';
import { openParent } from './destination.ts';
import { type Draft, openInRoot, relativePath, statxBuffer } from './draft.ts';
import type { InitFds } from './fds.ts';
import type { PlannedMount } from './mounts.ts';

interface Device {
  readonly specPath: string;
  readonly path: string;
  readonly type: number;
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** runtime-spec: always there; console and ptmx are the terminal's. */
const DEFAULT_DEVICES: readonly (readonly [string, number, number])[] = [
  ['/dev/null', 1, 3],
  ['/dev/zero', 1, 5],
  ['/dev/full', 1, 7],
  ['/dev/random', 1, 8],
  ['/dev/urandom', 1, 9],
  ['/dev/tty', 5, 0],
];

const LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
];

const TYPES: Readonly<Record<LinuxDevice['type'], number>> = {
  c: S_IFCHR,
  u: S_IFCHR,
  b: S_IFBLK,
  p: S_IFIFO,
};

/** Whether /dev is the container's own to fill: not when the user binds one (runc's needsSetupDev). */
export function ownsDev(draft: Draft, mounts: readonly PlannedMount[]): boolean {
  if (!draft.hasMountNamespace) return false;
  return !mounts.some((m) => m.options.bind !== 'none' && relativePath(m.destination) === 'dev');
}

export function planDevices(draft: Draft, fds: InitFds): void {
  const b = draft.builder;
  b.section('linux.devices', 'open /dev', '/dev');
  b.call('mkdirat', [fds.root, b.string('dev'), 0o755], { tolerate: ['EEXIST'] });
  const flags = O_PATH | O_CLOEXEC | O_DIRECTORY(b.arch);
  openInRoot(b, fds.root, '/dev', fds.dev, { flags });
  for (const device of listDevices(draft)) {
    draft.breathe();
    const b = draft.builder;
    b.section(device.specPath, `make the device ${device.path}`, device.path);
    const { parent, name } = nodeParent(b, fds, device.path);
    if (draft.hasNamespace('user')) bindNode(b, fds, parent, name, device);
    else makeNode(b, fds, parent, name, device);
    if (parent === fds.destination) b.call('close', [parent]);
  }
  planLinks(draft.builder, fds);
}

/** Most nodes are in /dev itself, which is open; for the others the way is made. */
function nodeParent(b: ProgramBuilder, fds: InitFds, path: string): { parent: Slot; name: string } {
  const parts = relativePath(path).split('/');
  if (parts.length === 2 && parts[0] === 'dev') return { parent: fds.dev, name: parts[1]! };
  return openParent(b, fds.root, path, fds.destination);
}

/** Configured devices, then the default ones that they do not replace. */
function listDevices(draft: Draft): Device[] {
  const devices: Device[] = (draft.config.linux?.devices ?? []).map((device, i) => ({
    specPath: `linux.devices[${i}]`,
    path: device.path,
    type: TYPES[device.type],
    major: Number(device.major ?? 0),
    minor: Number(device.minor ?? 0),
    mode: device.fileMode ?? 0o666,
    uid: device.uid ?? 0,
    gid: device.gid ?? 0,
  }));
  const configured = new Set(devices.map((device) => relativePath(device.path)));
  for (const [path, major, minor] of DEFAULT_DEVICES) {
    if (configured.has(relativePath(path))) continue;
    const fixed = { type: S_IFCHR, mode: 0o666, uid: 0, gid: 0 };
    devices.push({ specPath: 'linux.devices', path, major, minor, ...fixed });
  }
  return devices;
}

function makeNode(
  b: ProgramBuilder,
  fds: InitFds,
  parent: Slot,
  name: string,
  device: Device,
): void {
  const number = makedev(device.major, device.minor);
  const mode = device.type | (device.mode & 0o7777);
  const node = b.string(name);
  b.call('mknodat', [parent, node, mode, number], { tolerate: ['EEXIST'] });
  openNode(b, parent, name, fds.scratch);
  verifyNode(b, fds.scratch, device);
  const empty = b.string('');
  b.call('fchownat', [fds.scratch, empty, device.uid, device.gid, AT_EMPTY_PATH]);
  b.call('close', [fds.scratch]);
}

function openNode(b: ProgramBuilder, parent: Slot, name: string, into: Slot): void {
  const flags = O_PATH | O_CLOEXEC | O_NOFOLLOW(b.arch);
  b.call('openat', [parent, b.string(name), flags], { into });
}

/** EEXIST with something else in its place is an error, not success (security.md H24). */
function verifyNode(b: ProgramBuilder, node: Slot, device: Device): void {
  const { buffer, mode, rdev } = statxBuffer(b);
  b.call('statx', [node, b.string(''), AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, buffer]);
  b.check(mode, S_IFMT, device.type, 'EEXIST', { note: 'another type of file is there' });
  if (device.type === S_IFIFO) return;
  // major and minor are adjacent u32 words
  const number = (BigInt(device.minor) << 32n) | BigInt(device.major);
  b.check(rdev, 0xffffffffffffffffn, number, 'EEXIST', { note: 'another device is there' });
}

/** The host's node, opened by init in its copy of the host's tree before the pivot. */
function bindNode(
  b: ProgramBuilder,
  fds: InitFds,
  parent: Slot,
  name: string,
  device: Device,
): void {
  b.call('mknodat', [parent, b.string(name), S_IFREG, 0], { tolerate: ['EEXIST'] });
  const flags = O_PATH | O_CLOEXEC | O_NOFOLLOW(b.arch);
  b.call('openat', [AT_FDCWD, b.string(device.path), flags], { into: fds.scratch });
  verifyNode(b, fds.scratch, device);
  const clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  const empty = b.string('');
  b.call('open_tree', [fds.scratch, empty, clone], { into: fds.mount });
  b.call('close', [fds.scratch]);
  openNode(b, parent, name, fds.scratch);
  const move = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  b.call('move_mount', [fds.mount, empty, fds.scratch, empty, move]);
  b.call('close', [fds.scratch]);
  b.call('close', [fds.mount]);
}

function planLinks(b: ProgramBuilder, fds: InitFds): void {
  b.section('linux.devices', 'link /dev/fd, stdio, core and ptmx', '/dev');
  for (const [name, target] of LINKS) {
    b.call('symlinkat', [b.string(target), fds.dev, b.string(name)], { tolerate: ['EEXIST'] });
  }
  const noCore = b.label();
  b.call('faccessat2', [AT_FDCWD, b.string('/proc/kcore'), 0, 0], {
    tolerate: ['ENOENT', 'EACCES'],
    onError: noCore,
  });
  const core = b.string('core');
  b.call('symlinkat', [b.string('/proc/kcore'), fds.dev, core], { tolerate: ['EEXIST'] });
  b.place(noCore);
  // The image's own ptmx would be the host's pty multiplexer.
  b.call('unlinkat', [fds.dev, b.string('ptmx'), 0], { tolerate: ['ENOENT'] });
  b.call('symlinkat', [b.string('pts/ptmx'), fds.dev, b.string('ptmx')]);
}
