/**
 * process: from a root inside the container to the user's program (runtime-spec 1.3
 * config.md#process). The order is argued in `planIdentity`; create and exec share everything here.
 * Pure.
 */

import type { Process } from '@opencontainers-ts/spec';
import { ERRNO } from '../linux/errno.ts';
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
} from '../linux/fcntl.ts';
import { PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS } from '../linux/sched.ts';
import { S_IFCHR, S_IFMT, S_IFREG, STATX_MODE, STATX_TYPE, X_OK } from '../linux/stat.ts';
import {
  IGNORED,
  type Label,
  type Pointer,
  type ProgramBuilder,
  type Slot,
} from '../program/builder.ts';
import {
  type CapabilityNumbers,
  planBoundingSet,
  planCapabilitySets,
  resolveCapabilities,
} from './capabilities.ts';
import { openDestination } from './destination.ts';
import { type Draft, openInRoot, sendMessage, statxBuffer } from './draft.ts';
import type { InitFds } from './fds.ts';
import { planPersonality, planRlimits, planScheduling } from './scheduling.ts';

const DEFAULT_UMASK = 0o022;
const PATH_MAX = 4096;

/** What may be given here: in a user namespace of its own init holds every capability. */
export function grantable(draft: Draft): { held: bigint; last: number } {
  const last = draft.facts.lastCapability;
  const held = draft.hasNamespace('user')
    ? (1n << BigInt(last + 1)) - 1n
    : draft.facts.permittedCapabilities;
  return { held, last };
}

/**
 * From privileged to the configured identity (security.md H29–H32):
 * limits and scheduling while privileged; chdir as root first, then as the user, so that a directory
 * only one of them may enter works; bounding set before CAP_SETPCAP goes; groups before ids; KEEPCAPS
 * around setresuid; capset; ambient last, for it needs permitted and inheritable. setresuid makes the
 * process dumpable again as fs.suid_dumpable says, so that is taken back at once.
 */
export function planIdentity(draft: Draft, process: Process): void {
  const b = draft.builder;
  const caps = resolveCapabilities(process.capabilities, grantable(draft));
  planRlimits(draft, process);
  planScheduling(draft, process);
  planPersonality(draft);
  const memoryPolicy = draft.config.linux?.memoryPolicy;
  if (memoryPolicy !== undefined) draft.planMemoryPolicy!(draft, memoryPolicy);
  b.section('process.user.umask', 'set the umask', 'umask');
  b.call('umask', [process.user?.umask ?? DEFAULT_UMASK]);
  if (process.noNewPrivileges === true) {
    b.section('process.noNewPrivileges', 'no new privileges', 'prctl');
    b.call('prctl', [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
  }
  const retry = b.label();
  const switched = b.label();
  const missed = b.slot('chdir again');
  b.section('process.cwd', 'change to', process.cwd);
  b.sum(missed, 1);
  b.call('chdir', [b.string(process.cwd)], { tolerate: ['EACCES', 'EPERM'], onError: retry });
  b.sum(missed, 0);
  b.place(retry);
  planUser(draft, process, caps);
  b.section('process.cwd', 'change to', process.cwd);
  b.jumpIfZero(missed, switched);
  b.call('chdir', [b.string(process.cwd)]);
  b.place(switched);
  planCwdCheck(b);
}

function planUser(draft: Draft, process: Process, caps: CapabilityNumbers): void {
  const b = draft.builder;
  const { uid = 0, gid = 0, additionalGids = [] } = process.user ?? {};
  planBoundingSet(b, caps, draft.facts.lastCapability);
  b.call('prctl', [PR_SET_KEEPCAPS, 1, 0, 0, 0]);
  b.section('process.user.additionalGids', 'set the groups', additionalGids.join(' '));
  const list = b.space(4 * additionalGids.length);
  additionalGids.forEach((group, i) => {
    b.setU32(list.plus(4 * i), group);
  });
  // An unprivileged caller has to deny setgroups in the user namespace it makes (user_namespaces(7)).
  const denied = draft.facts.euid !== 0 && additionalGids.length === 0;
  b.call('setgroups', [additionalGids.length, list], denied ? { tolerate: ['EPERM'] } : {});
  b.section('process.user.gid', `become gid ${gid}`, `gid ${gid}`);
  b.call('setresgid', [gid, gid, gid]);
  b.section('process.user.uid', `become uid ${uid}`, `uid ${uid}`);
  b.call('setresuid', [uid, uid, uid]);
  b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
  b.call('prctl', [PR_SET_KEEPCAPS, 0, 0, 0, 0]);
  planCapabilitySets(b, draft.seccomp?.capabilities(caps) ?? caps);
}

/** A current directory outside of the root has a name that does not begin with `/` (CVE-2024-21626). */
function planCwdCheck(b: ProgramBuilder): void {
  const buffer = b.scratch();
  b.call('getcwd', [buffer, PATH_MAX]);
  const inside = b.label();
  const outside = b.label();
  b.check(buffer, 0xff, '/'.charCodeAt(0), 'EXDEV', { onError: outside });
  b.jump(inside);
  b.place(outside);
  sendMessage(b, 'CWD');
  b.call('exit_group', [1]);
  b.place(inside);
}

/** Init: a missing working directory is made as the container sees it, before anything drops. */
export function planMakeCwd(draft: Draft, fds: InitFds, process: Process): void {
  const b = draft.builder;
  if (process.cwd === '/') return;
  b.section('process.cwd', 'make', process.cwd);
  const there = b.label();
  const missing = b.label();
  openInRoot(b, fds.root, process.cwd, fds.destination, {
    tolerate: ['ENOENT'],
    onError: missing,
  });
  b.call('close', [fds.destination]);
  b.jump(there);
  b.place(missing);
  openDestination(b, fds.root, process.cwd, fds.destination, { kind: 'directory' });
  b.call('close', [fds.destination]);
  b.place(there);
}

/**
 * Standard descriptors that are the host's /dev/null become the container's, when that is really
 * 1:3 (CVE-2026-88265).
 */
export function planNullStdio(draft: Draft, root: Slot, scratch: Slot): void {
  const b = draft.builder;
  if (draft.facts.nullStdio.length === 0) return;
  b.section('process', "use the container's /dev/null", '/dev/null');
  const done = b.label();
  const close = b.label();
  openInRoot(b, root, '/dev/null', scratch, {
    flags: O_PATH | O_CLOEXEC,
    tolerate: ['ENOENT', 'ENOTDIR'],
    onError: done,
  });
  const { buffer, mode, rdev } = statxBuffer(b);
  b.call('statx', [scratch, b.string(''), AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, buffer]);
  b.check(mode, S_IFMT, S_IFCHR, 'ENODEV', { onError: close });
  b.check(rdev, 0xffffffffffffffffn, (3n << 32n) | 1n, 'ENODEV', { onError: close });
  b.call('close', [scratch]);
  // Opened for use it is looked at once more: it may have been swapped.
  openInRoot(b, root, '/dev/null', scratch, { flags: O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC });
  b.call('statx', [scratch, b.string(''), AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, buffer]);
  b.check(mode, S_IFMT, S_IFCHR, 'ENODEV', { onError: close });
  b.check(rdev, 0xffffffffffffffffn, (3n << 32n) | 1n, 'ENODEV', { onError: close });
  for (const fd of draft.facts.nullStdio) b.call('dup3', [scratch, fd, 0]);
  b.place(close);
  b.call('close', [scratch]);
  b.place(done);
}

/** Whether HOME has to come from the container's passwd (runc's finalizeNamespace). */
export function needsHome(env: readonly string[] | undefined): boolean {
  const home = (env ?? []).findLast((entry) => entry.startsWith('HOME='));
  return home === undefined || home === 'HOME=';
}

export interface EnvironmentExtras {
  readonly home?: string | undefined;
  readonly listenFds: number;
  readonly notify: boolean;
}

/** As configured, the last of equal keys, with what the runtime adds. No lookup, ever. */
export function buildEnvironment(
  env: readonly string[] | undefined,
  extras: EnvironmentExtras,
): string[] {
  const byKey = new Map<string, string>();
  const put = (entry: string): void => {
    const equals = entry.indexOf('=');
    const key = equals === -1 ? entry : entry.slice(0, equals);
    byKey.delete(key);
    byKey.set(key, entry);
  };
  for (const entry of env ?? []) put(entry);
  if (extras.home !== undefined) put(`HOME=${extras.home}`);
  if (extras.listenFds > 0) {
    put(`LISTEN_FDS=${extras.listenFds}`);
    put('LISTEN_PID=1');
  }
  if (extras.notify) put('NOTIFY_SOCKET=/run/notify/notify.sock');
  return [...byKey.values()];
}

/**
 * args[0] as execvp(3) finds it, from inside, as the target user: a regular file with execute
 * permission. `found` receives the address of its path; nothing found is a LOOKUP message.
 */
export function planLookup(
  b: ProgramBuilder,
  args: readonly string[],
  env: readonly string[],
  found: Slot,
): void {
  const name = args[0]!;
  b.section('process.args', `look up ${name}`, name);
  const done = b.label();
  const failed = b.label();
  const candidates = name.includes('/') ? [name] : searchPath(env).map((dir) => `${dir}/${name}`);
  for (const candidate of candidates) {
    const next = candidates.length === 1 && name.includes('/') ? failed : b.label();
    planCandidate(b, candidate, found, next);
    b.jump(done);
    if (next !== failed) b.place(next);
  }
  b.place(failed);
  sendMessage(b, 'LOOKUP', candidates.length === 0 ? -ERRNO.ENOENT : IGNORED);
  b.call('exit_group', [255]);
  b.place(done);
}

function planCandidate(b: ProgramBuilder, candidate: string, found: Slot, next: Label): void {
  const path: Pointer = b.string(candidate);
  const { buffer, mode } = statxBuffer(b);
  b.call('statx', [AT_FDCWD, path, 0, STATX_TYPE | STATX_MODE, buffer], { onError: next });
  const regular = b.label();
  b.check(mode, S_IFMT, 0o040000, 'EISDIR', { onError: regular });
  b.check(mode, S_IFMT, 0, 'EISDIR', { onError: next });
  b.place(regular);
  b.check(mode, S_IFMT, S_IFREG, 'EACCES', { onError: next });
  b.call('faccessat2', [AT_FDCWD, path, X_OK, AT_EACCESS], { onError: next });
  b.sum(found, path);
}

/** Absolute directories of PATH; a relative one would be looked up in the working directory. */
function searchPath(env: readonly string[]): string[] {
  const path = env.findLast((entry) => entry.startsWith('PATH='))?.slice(5) ?? '';
  return path.split(':').filter((directory) => directory.startsWith('/'));
}
