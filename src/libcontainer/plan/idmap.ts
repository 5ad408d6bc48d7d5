/**
 * Id-mapped mounts (runtime-spec 1.3 config.md#mounts, mount_setattr(2) MOUNT_ATTR_IDMAP, 5.12+).
 *
 * The kernel takes the mapping from a user namespace. For every distinct mapping the stage makes a
 * holder: a child in a new user namespace that shares the stage's descriptor table, leaves a handle
 * of its namespace at a known number, says its pid and sleeps. The compiler writes the maps between
 * two programs. The holder dies with the stage (PR_SET_PDEATHSIG). Pure.
 */

import type { IDMapping } from '@opencontainers-ts/spec';
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, O_CLOEXEC, O_RDONLY } from '../linux/fcntl.ts';
import { MOUNT_ATTR_IDMAP, MOUNT_ATTR_SIZE } from '../linux/mount.ts';
import { CLONE_ARGS, CLONE_ARGS_SIZE, CLONE_NEWUSER, SIGCHLD, SIGKILL } from '../linux/sched.ts';
import { type Draft, sendMessage } from './draft.ts';
import { holderFd } from './fds.ts';
import type { PlannedMount } from './mounts.ts';

export interface IdMaps {
  readonly uidMappings: readonly IDMapping[];
  readonly gidMappings: readonly IDMapping[];
}

const CLONE_FILES = 0x400;
const PR_SET_PDEATHSIG = 1;

/** The distinct mappings of a container's mounts, in order of first use. */
export function listIdMaps(draft: Draft, mounts: readonly PlannedMount[]): IdMaps[] {
  const keys: string[] = [];
  const maps: IdMaps[] = [];
  for (const mount of mounts) {
    if (mount.options.idmap === 'none') continue;
    const own = mapsOf(draft, mount);
    const key = keyOf(own);
    if (keys.includes(key)) continue;
    keys.push(key);
    maps.push(own);
  }
  return maps;
}

/** Explicit mappings win; without them the container's own (validated to be there). */
function mapsOf(draft: Draft, mount: PlannedMount): IdMaps {
  const configured = draft.config.mounts?.[mount.index];
  const source = configured?.uidMappings?.length ? configured : draft.config.linux;
  return { uidMappings: source?.uidMappings ?? [], gidMappings: source?.gidMappings ?? [] };
}

function keyOf(maps: IdMaps): string {
  const lines = (list: readonly IDMapping[]): string =>
    list.map((m) => `${m.containerID} ${m.hostID} ${m.size}`).join(',');
  return `${lines(maps.uidMappings)};${lines(maps.gidMappings)}`;
}

/** Stage: makes holder `index`; ends with END, the next program may use the mapping. */
export function planHolder(draft: Draft, index: number): void {
  const b = draft.builder;
  b.section('mounts', 'hold the user namespace of an id-mapped mount', `mapping ${index}`);
  const args = b.space(CLONE_ARGS_SIZE);
  b.setU64(args.plus(CLONE_ARGS.flags), CLONE_NEWUSER | CLONE_FILES);
  b.setU64(args.plus(CLONE_ARGS.exitSignal), SIGCHLD);
  const child = b.label();
  const done = b.label();
  b.call('clone3', [args, CLONE_ARGS_SIZE], { onZero: child });
  b.jump(done);
  b.place(child);
  const handle = draft.slot('user namespace');
  const pid = draft.slot('holder');
  b.call('prctl', [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0]);
  const path = b.string('/proc/self/ns/user');
  b.call('openat', [AT_FDCWD, path, O_RDONLY | O_CLOEXEC], { into: handle });
  b.call('dup3', [handle, holderFd(draft, index), O_CLOEXEC]);
  b.call('close', [handle]);
  b.call('getpid', [], { into: pid });
  sendMessage(b, 'HOLDER', pid);
  const asleep = b.label();
  b.place(asleep);
  b.call('ppoll', [0, 0, 0, 0, 0], { retry: true });
  b.jump(asleep);
  b.place(done);
}

/** Stage: the handles have served when the trees have their mappings. */
export function planCloseHolders(draft: Draft): void {
  const b = draft.builder;
  const first = holderFd(draft, 0);
  b.section('mounts', 'close the user namespaces of id-mapped mounts', 'close_range');
  b.call('close_range', [first, first + draft.idMaps.length - 1, 0]);
}

/** Stage: gives the detached tree of `mount` its mapping. */
export function idmapTree(draft: Draft, mount: PlannedMount): void {
  const b = draft.builder;
  const wanted = keyOf(mapsOf(draft, mount));
  const all = draft.idMaps.map(keyOf);
  const attr = b.words([MOUNT_ATTR_IDMAP, 0, 0, holderFd(draft, all.indexOf(wanted))]);
  const recursive = mount.options.idmap === 'ridmap' ? AT_RECURSIVE : 0;
  const flags = AT_EMPTY_PATH | recursive;
  b.call('mount_setattr', [mount.tree!, b.string(''), flags, attr, MOUNT_ATTR_SIZE], {
    note: `${mount.options.idmap} ${wanted}`,
  });
}
