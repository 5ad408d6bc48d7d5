/**
 * linux.namespaces: which to make, which to join, by which process and in what order
 * (runtime-spec 1.3 config-linux.md#namespaces, namespaces(7), clone3(2), setns(2)).
 *
 * The stage joins what is given by path and clones init with every new namespace at once, into the
 * cgroup and as the compiler's own child (CLONE_PARENT). The exceptions, each with its reason:
 * - IPC with a new user namespace is unshared by init after the maps: clone3 would make the mqueue
 *   superblock with the creator's unmapped id.
 * - cgroup is unshared by init, which is in its cgroup by then: the root of a cgroup namespace is
 *   the cgroup of the process that makes it.
 * - time is unshared before the clone (a time namespace is entered by children); clone3 with
 *   CLONE_NEWTIME would freeze zero offsets.
 * - a user namespace by path is joined by an intermediate process, already in the cgroup: a mapped
 *   root may not write the host's cgroup.procs.
 * - a pid namespace by path is entered last, by one more clone after the pivot (security.md H15).
 * Pure.
 */

import { RuncellError } from '../../error.ts';
import { AT_FDCWD, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../linux/fcntl.ts';
import { NAMESPACES, type NamespaceKind } from '../linux/namespace.ts';
import {
  CLONE_ARGS,
  CLONE_ARGS_SIZE,
  CLONE_INTO_CGROUP,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWTIME,
  CLONE_PARENT,
  CLONE_PIDFD,
  NS_GET_NSTYPE,
  PR_SET_DUMPABLE,
} from '../linux/sched.ts';
import type { Label, ProgramBuilder, Slot } from '../program/builder.ts';
import { sendPidfd } from './descriptor-passing.ts';
import { planDeviceFilter } from './device-filter.ts';
import { type Draft, openHostDirectory, sendMessage } from './draft.ts';
import type { StageFds } from './fds.ts';

/** Handles of namespaces to join, by kind. */
export type JoinedNamespaces = Map<NamespaceKind, Slot>;

/** Stage: opens and verifies every namespace given by path, while host paths still resolve. */
export function planOpenNamespaces(draft: Draft): JoinedNamespaces {
  const b = draft.builder;
  const joined: JoinedNamespaces = new Map();
  (draft.config.linux?.namespaces ?? []).forEach((namespace, i) => {
    const { type, path } = namespace;
    if (path === undefined || path === '' || draft.facts.sameNamespaces.has(type)) return;
    b.section(`linux.namespaces[${i}].path`, `open the ${type} namespace`, path);
    const handle = b.slot(`${type} namespace`);
    // O_NONBLOCK: a FIFO at the path must not hold us up.
    const flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
    b.call('openat', [AT_FDCWD, b.string(path), flags], { into: handle });
    const kind = b.slot(`type of ${type}`);
    b.call('ioctl', [handle, NS_GET_NSTYPE, 0], { into: kind });
    b.check(kind, 0xffffffff, NAMESPACES[type].flag, 'EINVAL', {
      note: `is it a ${type} namespace`,
    });
    joined.set(type, handle);
  });
  return joined;
}

/** Joins one namespace, naming the entry of the configuration. */
export function planJoin(draft: Draft, joined: JoinedNamespaces, kind: NamespaceKind): void {
  const handle = joined.get(kind);
  if (handle === undefined) return;
  const b = draft.builder;
  const index = draft.config.linux?.namespaces?.findIndex((n) => n.type === kind);
  const path = draft.namespacePath(kind) ?? '';
  b.section(`linux.namespaces[${index}].path`, `join the ${kind} namespace`, path);
  b.call('setns', [handle, NAMESPACES[kind].flag]);
  b.call('close', [handle]);
}

/**
 * Stage: joins, then clones. In the clone the builder goes on as init, which reads its next program;
 * the stage reports the pid and ends.
 */
export function planClone(draft: Draft, fds: StageFds, joined: JoinedNamespaces): void {
  const cgroup = openCgroup(draft, fds);
  for (const kind of ['network', 'uts', 'ipc', 'time'] as const) planJoin(draft, joined, kind);
  // Init can join a cgroup namespace itself unless it will be root of a user namespace only.
  if (draft.isNewNamespace('user') || joined.has('user')) planJoin(draft, joined, 'cgroup');
  if (draft.isNewNamespace('time') && !draft.hasNamespace('user')) planTimeNamespace(draft);
  // A pid namespace that does not go through init's setup is joined here: its owner is out of reach
  // once init is in a user namespace.
  if (draft.isNewNamespace('user')) planJoin(draft, joined, 'pid');
  planJoin(draft, joined, 'mount');
  if (joined.has('user')) {
    intermediate(draft, joined, cgroup);
    cloneInit(draft, fds, undefined);
  } else {
    cloneInit(draft, fds, cgroup);
  }
}

function openCgroup(draft: Draft, fds: StageFds): Slot | undefined {
  const directory = draft.facts.cgroupDir;
  if (directory === undefined) return undefined;
  const b = draft.builder;
  b.section('linux.cgroupsPath', 'open the cgroup', directory);
  openHostDirectory(b, directory, fds.cgroup);
  planDeviceFilter(draft, fds.cgroup);
  return fds.cgroup;
}

/** A child in the cgroup that joins the user namespace; the stage ends, the child goes on. */
function intermediate(draft: Draft, joined: JoinedNamespaces, cgroup: Slot | undefined): void {
  const b = draft.builder;
  b.section('linux.namespaces', 'make the process that joins the user namespace', 'clone3');
  const child = b.label();
  clone(draft, { flags: CLONE_PARENT, cgroup, child, pid: b.slot('intermediate') });
  b.call('exit_group', [0]);
  b.place(child);
  reportJoiner(b);
  // For its child: it stays outside, so that the pid it reports is the host's.
  planJoin(draft, joined, 'pid');
  planJoin(draft, joined, 'user');
  if (draft.isNewNamespace('time')) planTimeNamespace(draft);
  b.section('linux.namespaces', 'become root of the user namespace', 'uid 0');
  becomeMappedRoot(b);
}

/** The process that goes on in the stage's place says its pid, by which the compiler reaps it. */
export function reportJoiner(b: ProgramBuilder): void {
  const own = b.slot('own pid');
  b.call('getpid', [], { into: own });
  sendMessage(b, 'JOINER', own);
}

/**
 * Ids 0 of the user namespace just entered; before its maps are written these fail with EINVAL.
 * setresuid makes the process dumpable as fs.suid_dumpable says: taken back at once, for members of
 * a namespace that is joined could trace it and it still has the host's tree.
 */
function becomeMappedRoot(b: ProgramBuilder): void {
  b.call('setresgid', [0, 0, 0]);
  b.call('setresuid', [0, 0, 0]);
  b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
}

function cloneInit(draft: Draft, fds: StageFds, cgroup: Slot | undefined): void {
  const b = draft.builder;
  b.section('linux.namespaces', 'make init with its new namespaces', 'clone3');
  const child = b.label();
  const pid = b.slot('init');
  const last = !entersPidNamespaceLast(draft);
  const pidfd = last && draft.options.pidfdSocket !== undefined ? fds.pidfd : undefined;
  const flags = CLONE_PARENT + newNamespaceFlags(draft);
  clone(draft, { flags, cgroup, child, pid, pidfd });
  if (pidfd !== undefined) sendPidfd(b, fds.pidfdSocket, pidfd);
  sendMessage(b, 'PID', pid);
  b.call('exit_group', [0]);
  b.place(child);
}

function newNamespaceFlags(draft: Draft): number {
  let flags = 0;
  for (const kind of Object.keys(NAMESPACES) as NamespaceKind[]) {
    if (draft.isNewNamespace(kind)) flags += NAMESPACES[kind].flag;
  }
  const later =
    (draft.isNewNamespace('cgroup') ? CLONE_NEWCGROUP : 0) +
    (draft.isNewNamespace('time') ? CLONE_NEWTIME : 0) +
    (draft.isNewNamespace('ipc') && draft.isNewNamespace('user') ? CLONE_NEWIPC : 0);
  return flags - later;
}

export interface CloneRequest {
  readonly flags: number;
  /** Holds a descriptor of the cgroup to be born in. */
  readonly cgroup: Slot | undefined;
  readonly child: Label;
  readonly pid: Slot;
  readonly pidfd?: Slot | undefined;
}

/** clone3(2): the child continues at `child`, the caller after the op. */
export function clone(draft: Draft, request: CloneRequest): void {
  const b = draft.builder;
  const args = b.space(CLONE_ARGS_SIZE);
  let flags = request.flags;
  if (request.pidfd !== undefined) {
    flags += CLONE_PIDFD;
    b.setU64(args.plus(CLONE_ARGS.pidfd), request.pidfd.address);
  }
  if (request.cgroup !== undefined) {
    flags += CLONE_INTO_CGROUP;
    b.sum(args.plus(CLONE_ARGS.cgroup), request.cgroup);
  }
  b.setU64(args.plus(CLONE_ARGS.flags), flags);
  b.call('clone3', [args, CLONE_ARGS_SIZE], { into: request.pid, onZero: request.child });
}

/** Init, first thing after the maps: what clone3 could not make. */
export function planLateNamespaces(draft: Draft, joined: JoinedNamespaces): void {
  const b = draft.builder;
  if (draft.isNewNamespace('user')) {
    if (draft.isNewNamespace('time')) planTimeNamespace(draft);
    b.section('linux.uidMappings', 'become root of the user namespace', 'uid 0');
    becomeMappedRoot(b);
    if (draft.isNewNamespace('ipc')) {
      b.section('linux.namespaces', 'make the ipc namespace', 'unshare');
      b.call('unshare', [CLONE_NEWIPC]);
    }
  }
  if (draft.isNewNamespace('cgroup')) {
    b.section('linux.namespaces', 'make the cgroup namespace', 'unshare');
    b.call('unshare', [CLONE_NEWCGROUP]);
  }
  if (!draft.isNewNamespace('user') && !joined.has('user')) {
    planJoin(draft, joined, 'cgroup');
    planJoin(draft, joined, 'pid');
  }
}

/** Whether init must clone once more after the pivot, into the pid namespace it joined. */
export function entersPidNamespaceLast(draft: Draft): boolean {
  const path = draft.namespacePath('pid');
  if (path === undefined || path === '' || draft.facts.sameNamespaces.has('pid')) return false;
  return !draft.hasNamespace('user');
}

/** After the pivot: the final init, in the pid namespace; what set up the root ends. */
export function planFinalClone(draft: Draft, fds: StageFds): void {
  const b = draft.builder;
  b.section('linux.namespaces', 'enter the pid namespace', 'clone3');
  const child = b.label();
  const pid = b.slot('final init');
  const pidfd = draft.options.pidfdSocket === undefined ? undefined : fds.pidfd;
  clone(draft, { flags: CLONE_PARENT, cgroup: undefined, child, pid, pidfd });
  if (pidfd !== undefined) sendPidfd(b, fds.pidfdSocket, pidfd);
  sendMessage(b, 'PID', pid);
  b.call('exit_group', [0]);
  b.place(child);
}

/**
 * timens_offsets of proc(5): one line a clock, only before the namespace has a process. In a user
 * namespace before its root is taken: the file belongs to the uid that executed this image, since the
 * process is not dumpable.
 */
function planTimeNamespace(draft: Draft): void {
  const b = draft.builder;
  const [major] = draft.facts.kernel;
  if (draft.hasNamespace('user') && major < 6) {
    throw new RuncellError({
      code: 'kernel.unsupported',
      specPath: 'linux.namespaces',
      target: 'time',
      reason: 'a time namespace together with a user namespace needs Linux 6.0',
    });
  }
  b.section('linux.timeOffsets', 'make the time namespace', 'unshare');
  b.call('unshare', [CLONE_NEWTIME]);
  const lines = Object.entries(draft.config.linux?.timeOffsets ?? {})
    .filter(([, offset]) => offset !== undefined)
    .map(([clock, offset]) => `${clock} ${offset?.secs ?? 0} ${offset?.nanosecs ?? 0}\n`)
    .join('');
  if (lines === '') return;
  const handle = b.slot('time offsets');
  const path = b.string('/proc/self/timens_offsets');
  b.call('openat', [AT_FDCWD, path, O_WRONLY | O_CLOEXEC], { into: handle });
  b.call('write', [handle, b.string(lines), lines.length]);
  b.call('close', [handle]);
}
