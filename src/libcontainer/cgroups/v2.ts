/**
 * A container's own group in the cgroup2 hierarchy: path, creation, kill, freeze, removal
 * (cgroups(7), Documentation/admin-guide/cgroup-v2.rst; runtime-cli.md §6.1).
 *
 * On a hybrid host the hierarchy carries no limits, but membership, freeze and kill work in it.
 */

import { mkdirSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { RuncellError, toRuncellError } from '../../error.ts';
import { monotonicMs, sleepMs } from '../native/libc.ts';
import { readGroupFile } from './files.ts';

/** How long the members of a killed group may take to go. */
const REMOVE_MS = 10_000;

/**
 * The directory of `cgroupsPath`: absolute from the hierarchy's root; relative, or empty with the
 * id as its name, beside the caller's own group (v2 forbids processes in inner groups).
 */
export function cgroupDirectory(
  root: string,
  own: string,
  path: string | undefined,
  id: string,
): string {
  const wanted = path === undefined || path === '' ? id : path;
  if (wanted.startsWith('/')) return root + cleaned(wanted, wanted);
  const parent = own.slice(0, Math.max(0, own.lastIndexOf('/')));
  return root + cleaned(`${parent}/${wanted}`, wanted);
}

function cleaned(path: string, given: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || parts.includes('..')) {
    const reason = parts.length === 0 ? 'is the root of the hierarchy' : 'leads out with ..';
    throw new RuncellError({
      code: 'config.value',
      specPath: 'linux.cgroupsPath',
      target: given,
      reason,
    });
  }
  return `/${parts.join('/')}`;
}

/**
 * Directories that are missing on the way to the group, outermost first: what `makeCgroup` will make,
 * known beforehand so that it can be written down. A group that exists must be empty and thawed.
 */
export function missingGroups(root: string, directory: string): string[] {
  const parts = directory.slice(root.length + 1).split('/');
  const paths = parts.map((_, i) => `${root}/${parts.slice(0, i + 1).join('/')}`);
  const missing = paths.filter((path) => !cgroupExists(path));
  if (!missing.includes(directory)) refuseOccupied(directory);
  return missing;
}

/** How often a parent may be removed under our hands by another container's delete. */
const MAKE_TRIES = 100;

/** Makes the group and what is missing above it. */
export function makeCgroup(root: string, directory: string): void {
  const parts = directory.slice(root.length + 1).split('/');
  for (let tries = 1; ; tries++) {
    try {
      for (let i = 1; i <= parts.length; i++)
        makeDirectory(`${root}/${parts.slice(0, i).join('/')}`);
      return;
    } catch (thrown) {
      const gone = (thrown as NodeJS.ErrnoException).code === 'ENOENT';
      if (gone && tries < MAKE_TRIES) continue;
      throw toRuncellError(thrown, {
        specPath: 'linux.cgroupsPath',
        operation: 'make the cgroup',
        target: directory,
      });
    }
  }
}

/** Another container may have made a parent meanwhile. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, 0o755);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  }
}

/**
 * Whether the hierarchy has a controller that the group lacks: then controllers.ts has work to do.
 * The files of both list names in one order.
 */
export function lacksControllers(root: string, directory: string): boolean {
  const own = readGroupFile(`${directory}/cgroup.controllers`);
  return own !== readGroupFile(`${root}/cgroup.controllers`);
}

function refuseOccupied(directory: string): void {
  const conflict = (reason: string): RuncellError =>
    new RuncellError({ code: 'state.conflict', reason });
  const count = listProcesses(directory).length;
  if (count > 0) throw conflict(`container's cgroup is not empty: ${count} process(es) found`);
  if (isFrozen(directory)) throw conflict("container's cgroup unexpectedly frozen");
}

/** Pids of the group and of every group below it. */
export function listProcesses(directory: string): number[] {
  const pids: number[] = [];
  for (const path of subtree(directory)) {
    for (const line of readGroupFile(`${path}/cgroup.procs`).split('\n')) {
      if (line !== '') pids.push(Number(line));
    }
  }
  return pids;
}

/** The group and the groups below it, parents first; empty when it is gone. */
function subtree(directory: string): string[] {
  const found: string[] = [];
  const visit = (path: string): void => {
    let names: string[];
    try {
      names = readdirSync(path, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name);
    } catch {
      return;
    }
    found.push(path);
    for (const name of names) visit(`${path}/${name}`);
  };
  visit(directory);
  return found;
}

export function isFrozen(directory: string): boolean {
  return readGroupFile(`${directory}/cgroup.freeze`).trim() === '1';
}

/** Asks to freeze or to thaw, without waiting (freezer.ts). A group that is gone needs no thawing. */
export function setFrozen(directory: string, frozen: boolean): void {
  try {
    writeFileSync(`${directory}/cgroup.freeze`, frozen ? '1' : '0');
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (!frozen && (code === 'ENOENT' || code === 'ENODEV')) return;
    throw thrown;
  }
}

/** SIGKILL for every process of the group and below (cgroup.kill, Linux 5.14). */
export function killCgroup(directory: string): void {
  try {
    writeFileSync(`${directory}/cgroup.kill`, '1');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw toRuncellError(thrown, { operation: 'kill the cgroup', target: directory });
  }
  letDie(directory);
}

/** To end takes processor time: under a quota of a thousandth it would take half a minute. */
function letDie(directory: string): void {
  try {
    writeFileSync(`${directory}/cpu.max`, 'max');
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    // No controller, no group any more, or not ours to change: then it takes as long as it takes.
    if (!['ENOENT', 'ENODEV', 'EACCES', 'EPERM'].includes(code ?? '')) throw thrown;
  }
}

/**
 * Removes the group with what the container made below it, then the parents in `made` that are
 * empty. Members that were killed take a moment to leave: EBUSY is waited out.
 */
export function removeCgroup(directory: string, made: readonly string[] = []): void {
  const deadline = monotonicMs() + REMOVE_MS;
  for (let pause = 0.5; ; pause = Math.min(pause * 2, 20)) {
    if (removeTree(directory)) break;
    if (monotonicMs() > deadline) {
      const pids = listProcesses(directory);
      const reason = `still holds ${pids.length} process(es): ${pids.slice(0, 5).join(' ')}`;
      throw new RuncellError({
        code: 'kernel.operation',
        operation: 'remove the cgroup',
        target: directory,
        reason,
      });
    }
    sleepMs(pause);
  }
  removeEmpty(made.filter((path) => path !== directory));
}

function removeTree(directory: string): boolean {
  if (removeDirectory(directory)) return true;
  const paths = subtree(directory).reverse();
  return paths.every(removeDirectory);
}

/** True when it is gone. */
function removeDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw toRuncellError(thrown, { operation: 'remove the cgroup', target: path });
  }
}

/** Best effort, innermost first: a parent that another container uses by now stays. */
function removeEmpty(made: readonly string[]): void {
  for (const path of [...made].reverse()) {
    try {
      rmdirSync(path);
    } catch {
      return;
    }
  }
}

export function cgroupExists(directory: string): boolean {
  return statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
}
