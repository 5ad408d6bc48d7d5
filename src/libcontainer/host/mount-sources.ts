/**
 * What the planner must know of files: sources of bind mounts, links in destinations, what a
 * `tmpcopyup` covers. Read once, before the plan; a file that changes afterwards makes the program
 * fail closed, because the kernel resolves everything again below the root's descriptor.
 */

import { lstatSync, readdirSync, readlinkSync, statfsSync, statSync } from 'node:fs';
import type { Config, Mount } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import { PROC_SUPER_MAGIC } from '../linux/stat.ts';
import { parseMountOptions } from '../plan/mount-options.ts';
import type { CopyEntry } from './facts.ts';

export interface MountFacts {
  /** The mounts with bind sources made absolute. */
  readonly mounts: Mount[];
  readonly sourceIsDirectory: boolean[];
  /** Whether a bind on /proc has the root of a procfs for its source. */
  readonly sourceIsProc: boolean[];
  readonly destinations: string[];
  readonly copyUp: Map<number, CopyEntry[]>;
}

/** Links are followed at most this often, as in path_resolution(7). */
const LINKS_MAX = 40;
const COPY_ENTRIES_MAX = 10_000;

export function probeMounts(config: Config, bundle: string, rootfs: string): MountFacts {
  const facts: MountFacts = {
    mounts: [],
    sourceIsDirectory: [],
    sourceIsProc: [],
    destinations: [],
    copyUp: new Map(),
  };
  const covered: string[] = [];
  (config.mounts ?? []).forEach((mount, index) => {
    const options = parseMountOptions(mount.options ?? []);
    const bind = options.bind !== 'none' || mount.type === 'bind' || mount.type === 'rbind';
    const absolute = bind && !options.remount ? withAbsoluteSource(mount, bundle, index) : mount;
    facts.mounts.push(absolute);
    facts.sourceIsDirectory.push(
      bind && !options.remount ? isDirectory(absolute.source!, index) : true,
    );
    const destination = normalized(mount.destination);
    // proc and sysfs take no link (CVE-2019-19921): the program opens what is configured.
    const plain = mount.type === 'proc' || mount.type === 'sysfs';
    const below = plain || covered.some((path) => destination.startsWith(`${path}/`));
    // What an earlier mount covers is not what the rootfs shows: only the kernel can resolve it.
    facts.destinations.push(below ? destination : resolveInRootfs(rootfs, destination));
    covered.push(destination);
    facts.sourceIsProc.push(destination === '/proc' && bind && isProcRoot(absolute.source!));
    if (options.tmpcopyup && mount.type === 'tmpfs' && !below) {
      facts.copyUp.set(index, listTree(`${rootfs}${facts.destinations[index]}`, index));
    }
  });
  return facts;
}

function withAbsoluteSource(mount: Mount, bundle: string, index: number): Mount {
  const { source } = mount;
  if (source === undefined || source === '') {
    const reason = 'a bind mount needs a source';
    throw new RuncellError({ code: 'config.value', specPath: `mounts[${index}].source`, reason });
  }
  return source.startsWith('/') ? mount : { ...mount, source: `${bundle}/${source}` };
}

function isDirectory(source: string, index: number): boolean {
  try {
    return statSync(source).isDirectory();
  } catch (thrown) {
    throw toRuncellError(thrown, {
      specPath: `mounts[${index}].source`,
      operation: 'bind',
      target: source,
    });
  }
}

/** Inode 1 of a procfs is its root (fs/proc/root.c). */
function isProcRoot(source: string): boolean {
  return statfsSync(source).type === PROC_SUPER_MAGIC && statSync(source).ino === 1;
}

function normalized(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/**
 * Follows the links of the rootfs as if it were the root, also dangling ones, so that their target
 * can be made (runc's securejoin). Without a link the path comes back as it was.
 */
export function resolveInRootfs(rootfs: string, path: string): string {
  let left = path.split('/').filter((part) => part !== '');
  let done: string[] = [];
  let links = 0;
  while (left.length > 0) {
    const part = left.shift()!;
    if (part === '.') continue;
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = linkTarget(`${rootfs}/${[...done, part].join('/')}`);
    if (target === undefined) {
      done.push(part);
      continue;
    }
    if (++links > LINKS_MAX) return path;
    if (target.startsWith('/')) done = [];
    left = [...target.split('/').filter((piece) => piece !== ''), ...left];
  }
  return `/${done.join('/')}`;
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // EINVAL: not a link; ENOENT: not there yet; both are taken as they are
    return undefined;
  }
}

function listTree(top: string, index: number): CopyEntry[] {
  const entries: CopyEntry[] = [];
  const visit = (relative: string): void => {
    for (const name of readdirSync(`${top}/${relative}`)) {
      const path = relative === '' ? name : `${relative}/${name}`;
      const entry = describe(`${top}/${path}`, path);
      if (entry === undefined) continue;
      if (entries.push(entry) > COPY_ENTRIES_MAX) throw tooMany(index);
      if (entry.kind === 'directory') visit(path);
    }
  };
  try {
    if (lstatSync(top).isDirectory()) visit('');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  return entries;
}

function tooMany(index: number): RuncellError {
  return new RuncellError({
    code: 'config.value',
    specPath: `mounts[${index}].options`,
    target: 'tmpcopyup',
    reason: `the directory has more than ${COPY_ENTRIES_MAX} entries`,
  });
}

/** Directories, files and links; devices, sockets and FIFOs are not copied (as in runc). */
function describe(file: string, path: string): CopyEntry | undefined {
  const stat = lstatSync(file);
  const { uid, gid } = stat;
  const mode = stat.mode & 0o7777;
  if (stat.isDirectory()) return { kind: 'directory', path, uid, gid, mode };
  if (stat.isSymbolicLink()) return { kind: 'link', path, uid, gid, target: readlinkSync(file) };
  return stat.isFile() ? { kind: 'file', path, uid, gid, mode, size: stat.size } : undefined;
}
