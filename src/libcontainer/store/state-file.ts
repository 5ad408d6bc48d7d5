/**
 * state.json of one container: the usage document's keys and what runcell needs beside them.
 *
 * It is always whole: written to a name of its own and renamed (rename(2) is atomic). There is no
 * fsync: after a power cut the boot id is another and the container is gone in any case, and on a
 * disk it would cost more than the container. On reading, the file must be what only we can have
 * made: a regular file of ours, not writable by others, of sane size (security.md H6). Pids in it
 * mean nothing without start ticks and boot id (store/process.ts).
 */

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import { errnoOf, ioError, removeQuietly } from './state-dir.ts';

export type StoredStatus = 'Creating' | 'Created' | 'Running' | 'Stopped';

export const NAMESPACE_FILES = [
  'mnt',
  'pid',
  'net',
  'ipc',
  'uts',
  'user',
  'cgroup',
  'time',
] as const;
export type NamespaceFile = (typeof NAMESPACE_FILES)[number];

export interface StateFile {
  readonly version: 1;
  readonly id: string;
  /** In the pid namespace of whoever created the container; 0 before there is a process. */
  readonly init_process_pid: number;
  /** Epoch seconds. */
  readonly init_process_start_time: number;
  /** Field 22 of /proc/PID/stat. */
  readonly init_start_ticks: number;
  readonly boot_id: string;
  readonly status: StoredStatus;
  readonly bundle: string;
  readonly rootfs: string;
  /** Epoch seconds. */
  readonly created: number;
  /** RFC 3339, UTC, nanoseconds. */
  readonly created_at: string;
  readonly oci_version: string;
  readonly namespace_paths: Readonly<Partial<Record<NamespaceFile, string>>>;
  /** The kinds that are the container's own. */
  readonly namespaces: readonly string[];
  /** Absolute directory of the container's cgroup; empty when it has none. */
  readonly cgroup_path: string;
  /** Groups that were made for it, outermost first: they go with it when they are empty. */
  readonly cgroup_made?: readonly string[];
  /** linux.intelRdt: the class of service, and what of it goes with the container (cgroups/intel-rdt.ts). */
  readonly intel_rdt?: {
    readonly root: string;
    readonly group: string;
    readonly owned: boolean;
    readonly monitoring?: string;
  };
  readonly annotations?: Readonly<Record<string, string>>;
  /** Directories that runcell made and `delete` may remove. */
  readonly owned: { readonly bundle?: string; readonly image?: string };
  readonly rootless: boolean;
  readonly systemd_cgroup: boolean;
  /** The scope whose group it is, and whether the user's own manager has it. */
  readonly systemd_unit?: string;
  readonly systemd_user?: boolean;
  readonly terminal: boolean;
  /** `--no-new-keyring`: exec joins none either. */
  readonly no_new_keyring: boolean;
}

const MAX_BYTES = 16 << 20;
const WRITABLE_BY_OTHERS = 0o022;

export function stateFileOf(directory: string): string {
  return `${directory}/state.json`;
}

/** The copy of config.json: later edits of the bundle's have no effect. */
export function configFileOf(directory: string): string {
  return `${directory}/config.json`;
}

/** `/proc/<pid>/ns/<kind>` of every kind. */
export function namespacePathsOf(pid: number): Record<NamespaceFile, string> {
  const paths = {} as Record<NamespaceFile, string>;
  for (const kind of NAMESPACE_FILES) paths[kind] = `/proc/${pid}/ns/${kind}`;
  return paths;
}

/** The state in the id's directory; throws `state.missing` or `state.corrupt`. */
export function loadState(directory: string): StateFile {
  const path = stateFileOf(directory);
  const bytes = readOwnFile(path);
  if (bytes === undefined) throw missing(directory);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (thrown) {
    throw corrupt(path, 'not JSON', thrown);
  }
  const problem = shapeProblem(value, directory);
  if (problem !== undefined) throw corrupt(path, problem);
  return value as StateFile;
}

/** Writes the state so that a reader sees the old one or the new one, whole. */
export function writeState(directory: string, state: StateFile): void {
  writeWhole(directory, 'state.json', Buffer.from(JSON.stringify(state, null, 2)));
}

/** Writes the raw bytes of the configuration. */
export function writeConfig(directory: string, bytes: Uint8Array): void {
  writeWhole(directory, 'config.json', bytes);
}

/** The bytes of the configuration that the container was created from. */
export function loadConfigBytes(directory: string): Buffer {
  const path = configFileOf(directory);
  const bytes = readOwnFile(path);
  if (bytes === undefined) throw corrupt(path, 'missing');
  return bytes;
}

/** The resources that an update put into force; undefined while the configuration's are. */
export function loadResourcesBytes(directory: string): Buffer | undefined {
  return readOwnFile(`${directory}/resources.json`);
}

export function writeResources(directory: string, bytes: Uint8Array): void {
  writeWhole(directory, 'resources.json', bytes);
}

function missing(directory: string): RuncellError {
  const target = directory.slice(directory.lastIndexOf('/') + 1);
  const reason = 'container does not exist';
  return new RuncellError({ code: 'state.missing', target, reason });
}

function corrupt(target: string, reason: string, cause?: unknown): RuncellError {
  const hint = '`delete --force` removes the container';
  const fields = { operation: 'read state', target, reason, hint, cause };
  return new RuncellError({ code: 'state.corrupt', ...fields });
}

/** The file's bytes, undefined when it is absent; a file that others may have made is refused. */
function readOwnFile(path: string): Buffer | undefined {
  const fd = openOrUndefined(path);
  if (fd === undefined) return undefined;
  try {
    const stat = fstatSync(fd);
    const owned = stat.uid === 0 || stat.uid === process.geteuid!();
    if (!stat.isFile()) throw corrupt(path, 'not a regular file');
    if (!owned) throw corrupt(path, `owned by uid ${stat.uid}, neither root nor the caller`);
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) throw corrupt(path, 'writable by other users');
    if (stat.size > MAX_BYTES) throw corrupt(path, `${stat.size} bytes`);
    const bytes = Buffer.allocUnsafe(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(fd, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

function openOrUndefined(path: string): number | undefined {
  try {
    // O_NONBLOCK: a FIFO in its place must not hold us up
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === ERRNO.ENOENT) return undefined;
    if (errno === ERRNO.ELOOP) throw corrupt(path, 'a symbolic link');
    throw ioError(thrown, path);
  }
}

/** A program of another version of runcell, or another program, wrote it when this finds something. */
function shapeProblem(value: unknown, directory: string): string | undefined {
  if (typeof value !== 'object' || value === null) return 'not an object';
  const state = value as Record<string, unknown>;
  if (state['version'] !== 1) return `version ${JSON.stringify(state['version'])}, not 1`;
  for (const key of ['id', 'status', 'bundle', 'rootfs', 'created_at', 'oci_version', 'boot_id']) {
    if (typeof state[key] !== 'string') return `${key} is no string`;
  }
  for (const key of ['init_process_pid', 'init_start_ticks', 'created']) {
    if (!Number.isSafeInteger(state[key])) return `${key} is no integer`;
  }
  if (typeof state['cgroup_path'] !== 'string') return 'cgroup_path is no string';
  if (typeof state['owned'] !== 'object' || state['owned'] === null) return 'owned is no object';
  if ((state['systemd_cgroup'] === true) !== (typeof state['systemd_unit'] === 'string')) {
    return 'systemd_unit does not fit systemd_cgroup';
  }
  if (!Array.isArray(state['namespaces'])) return 'namespaces is no array';
  const paths = state['namespace_paths'];
  if (typeof paths !== 'object' || paths === null) return 'namespace_paths is no object';
  return directory.endsWith(`/${state['id']}`) ? undefined : 'the id is another';
}

function writeWhole(directory: string, name: string, bytes: Uint8Array): void {
  const path = `${directory}/${name}`;
  // one writer at a time holds the id's lock; the pid keeps the leftovers of a killed one apart
  const temporary = `${directory}/.${name}.${process.pid}`;
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  try {
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (thrown) {
    removeQuietly(temporary);
    throw ioError(thrown, path);
  }
}
