/**
 * The directories below --root: `states/<id>/`, `bundles/`, `containers/` (DESIGN.md §6).
 *
 * The root is trusted only as far as nobody else could have put something there: every component
 * of its path belongs to root or to the caller and is not writable by others unless sticky, and the
 * root itself is no symbolic link (security.md H5). An id is claimed by one mkdir(2), which either
 * makes the directory or finds it taken; nothing else decides who owns an id. This folder is the
 * only place that writes below the root.
 */

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';

export interface Layout {
  readonly root: string;
  readonly states: string;
  readonly bundles: string;
  readonly containers: string;
}

export const DEFAULT_ROOT = '/run/runcell';
/** Where images and overlays are kept for the default root: /run is memory. */
export const DEFAULT_CONTAINERS = '/var/lib/runcell/containers';
/** Where the usage document looks for the default root. */
export const DOCUMENTED_ROOT = '/tmp/runcell';

const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;
const ID_MAX_BYTES = 255;

export function layoutOf(root: string): Layout {
  return {
    root,
    states: `${root}/states`,
    bundles: `${root}/bundles`,
    containers: `${root}/containers`,
  };
}

/** Makes the root and what belongs in it where absent; `explicit` is whether --root was given. */
export function prepareRoot(root: string, options: { explicit: boolean }): Layout {
  const layout = layoutOf(root);
  if (!checkRoot(root)) makeRoot(root, options.explicit);
  if (!isDirectory(layout.states)) {
    // `states` comes last: where it is, the others are
    if (root === DEFAULT_ROOT && !options.explicit) linkContainers(layout.containers);
    else makeDirectory(layout.containers);
    makeDirectory(layout.bundles);
    makeDirectory(layout.states);
  }
  if (root === DEFAULT_ROOT && !options.explicit) linkDocumentedRoot();
  return layout;
}

/** Whether the root is there; throws `state.root` when it is not to be trusted. */
export function checkRoot(root: string): boolean {
  checkRootName(root);
  const user = process.geteuid!();
  let slash = 0;
  let linked = false;
  for (;;) {
    const next = root.indexOf('/', slash + 1);
    const path = next === -1 ? root : root.slice(0, next);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return false;
    checkComponent(path, stat, user, next === -1);
    linked ||= stat.isSymbolicLink();
    if (next === -1) break;
    slash = next;
  }
  // links on the way (/var/run) belong to somebody trusted; what they lead to must as well
  return linked ? checkRoot(realpathSync.native(root)) : true;
}

function checkRootName(root: string): void {
  if (root === '/' || root === '') {
    throw rootError(root, 'Option --root argument should not be set to /');
  }
  const path = `${root}/`;
  const plain = !path.includes('//') && !path.includes('/./') && !path.includes('/../');
  if (!path.startsWith('/') || !plain) throw rootError(root, 'not an absolute, normalised path');
}

function checkComponent(path: string, stat: Stats, user: number, last: boolean): void {
  if (stat.uid !== 0 && stat.uid !== user) {
    throw rootError(path, `owned by uid ${stat.uid}, neither root nor the caller`);
  }
  if (stat.isSymbolicLink()) {
    if (last) throw rootError(path, 'a symbolic link is not used as state root');
    return;
  }
  if (!stat.isDirectory()) throw rootError(path, 'not a directory');
  if ((stat.mode & WRITABLE_BY_OTHERS) === 0) return;
  if (last || (stat.mode & STICKY) === 0) {
    throw rootError(path, 'writable by other users', 'chmod go-w');
  }
}

function rootError(target: string, reason: string, hint?: string): RuncellError {
  return new RuncellError({ code: 'state.root', operation: 'state root', target, reason, hint });
}

function makeRoot(root: string, explicit: boolean): void {
  const parent = root.slice(0, root.lastIndexOf('/'));
  if (parent !== '') mkdirSync(parent, { recursive: true, mode: 0o700 });
  makeDirectory(root);
  // a root below XDG_RUNTIME_DIR is kept from the sweepers of that directory by the sticky bit
  if (!explicit && root !== DEFAULT_ROOT) chmodSync(root, 0o1700);
  checkRoot(root);
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (thrown) {
    if (errnoOf(thrown) !== ERRNO.EEXIST || !isDirectory(path)) throw ioError(thrown, path);
  }
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function linkContainers(path: string): void {
  mkdirSync(DEFAULT_CONTAINERS, { recursive: true, mode: 0o700 });
  linkOnce(DEFAULT_CONTAINERS, path);
  if (readlinkOrUndefined(path) === DEFAULT_CONTAINERS || isDirectory(path)) return;
  throw rootError(path, `neither a directory nor a link to ${DEFAULT_CONTAINERS}`);
}

/**
 * /tmp/runcell for readers of the usage document. Anyone may have put something else there, so it
 * is only ever made where nothing is, and nothing of ours looks through it (security.md H6).
 */
function linkDocumentedRoot(): void {
  if (process.geteuid!() !== 0) return;
  if (lstatSync(DOCUMENTED_ROOT, { throwIfNoEntry: false }) !== undefined) return;
  linkOnce(DEFAULT_ROOT, DOCUMENTED_ROOT);
}

function linkOnce(target: string, path: string): void {
  try {
    symlinkSync(target, path);
  } catch (thrown) {
    if (errnoOf(thrown) !== ERRNO.EEXIST) throw ioError(thrown, path);
  }
}

function readlinkOrUndefined(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

// ---- ids

/** `[A-Za-z0-9_+-][A-Za-z0-9_+.-]*`, at most 255 bytes: a name that is one path component. */
export function checkId(id: string): void {
  if (id === '') throw new RuncellError({ code: 'usage', reason: 'container id cannot be empty' });
  let valid = id.length <= ID_MAX_BYTES && !id.startsWith('.');
  for (let index = 0; valid && index < id.length; index++) valid = isIdByte(id.charCodeAt(index));
  if (valid) return;
  throw new RuncellError({ code: 'usage', target: id, reason: 'invalid container ID format' });
}

function isIdByte(code: number): boolean {
  const letter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a;
  const digit = code >= 0x30 && code <= 0x39;
  // + - . _
  return letter || digit || code === 0x2b || code === 0x2d || code === 0x2e || code === 0x5f;
}

/** The id's directory, whether it exists or not. */
export function stateDirOf(root: string, id: string): string {
  checkId(id);
  return `${root}/states/${id}`;
}

/** Takes the id: makes its directory, or throws `state.exists`. The root has been prepared. */
export function claimId(root: string, id: string): string {
  const directory = stateDirOf(root, id);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (thrown) {
    if (errnoOf(thrown) !== ERRNO.EEXIST) throw ioError(thrown, directory);
    const reason = 'container with given ID already exists';
    throw new RuncellError({ code: 'state.exists', target: id, reason });
  }
  return directory;
}

/** Gives the id back: removes its directory with everything in it. Absent is fine. */
export function removeStateDir(directory: string): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (thrown) {
    if (errnoOf(thrown) === ERRNO.ENOENT) return;
    throw ioError(thrown, directory);
  }
  try {
    for (const name of names) {
      if (name === 'notify') rmSync(`${directory}/${name}`, { recursive: true, force: true });
      else unlinkSync(`${directory}/${name}`);
    }
    rmdirSync(directory);
  } catch {
    // somebody else removes it too, or something unforeseen is in it
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The ids that are taken, sorted; undefined when the root was never used. */
export function listIds(root: string): string[] | undefined {
  try {
    return readdirSync(`${root}/states`).sort();
  } catch (thrown) {
    if (errnoOf(thrown) === ERRNO.ENOENT) return undefined;
    throw ioError(thrown, `${root}/states`);
  }
}

export function errnoOf(thrown: unknown): number {
  return Math.abs((thrown as NodeJS.ErrnoException | undefined)?.errno ?? 0);
}

export function ioError(thrown: unknown, target: string): RuncellError {
  const { syscall } = thrown as NodeJS.ErrnoException;
  const fields = { operation: syscall, target, errno: errnoOf(thrown), cause: thrown };
  return new RuncellError({ code: 'kernel.operation', ...fields });
}

/** Removes a file that may not be there, on a way out that has its own error to tell. */
export function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {}
}
