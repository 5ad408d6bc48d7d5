/**
 * Mount options: the table of runtime-spec 1.3 config.md#mounts and what each word means for
 * mount_setattr(2), fsmount(2) and fsconfig(2). The planner, `features` and storage read this table;
 * nothing repeats its rows. A word that is not in it is data for the filesystem. Pure.
 */

import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from '../linux/mount.ts';

/** What an attribute word sets and clears; the atime group always clears MOUNT_ATTR__ATIME first. */
interface Attribute {
  readonly set: number;
  readonly clear: number;
}

const ATIME = MOUNT_ATTR__ATIME;

/** Words that have a recursive twin with a leading `r` (Linux 5.12, AT_RECURSIVE). */
export const ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  ro: { set: MOUNT_ATTR_RDONLY, clear: 0 },
  rw: { set: 0, clear: MOUNT_ATTR_RDONLY },
  nosuid: { set: MOUNT_ATTR_NOSUID, clear: 0 },
  suid: { set: 0, clear: MOUNT_ATTR_NOSUID },
  nodev: { set: MOUNT_ATTR_NODEV, clear: 0 },
  dev: { set: 0, clear: MOUNT_ATTR_NODEV },
  noexec: { set: MOUNT_ATTR_NOEXEC, clear: 0 },
  exec: { set: 0, clear: MOUNT_ATTR_NOEXEC },
  nodiratime: { set: MOUNT_ATTR_NODIRATIME, clear: 0 },
  diratime: { set: 0, clear: MOUNT_ATTR_NODIRATIME },
  noatime: { set: MOUNT_ATTR_NOATIME, clear: ATIME },
  atime: { set: MOUNT_ATTR_RELATIME, clear: ATIME },
  relatime: { set: MOUNT_ATTR_RELATIME, clear: ATIME },
  norelatime: { set: MOUNT_ATTR_STRICTATIME, clear: ATIME },
  strictatime: { set: MOUNT_ATTR_STRICTATIME, clear: ATIME },
  nostrictatime: { set: MOUNT_ATTR_RELATIME, clear: ATIME },
  nosymfollow: { set: MOUNT_ATTR_NOSYMFOLLOW, clear: 0 },
  symfollow: { set: 0, clear: MOUNT_ATTR_NOSYMFOLLOW },
};

export const PROPAGATIONS: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
};

/** Words that belong to the superblock; fsconfig(2) takes them by these names. */
const SUPERBLOCK = new Set([
  'sync',
  'async',
  'dirsync',
  'lazytime',
  'nolazytime',
  'mand',
  'nomand',
]);

/** Words that ask for what is so anyway: `silent` and `loud` only concern the kernel's log. */
const NO_EFFECT = new Set(['defaults', 'silent', 'loud', 'noiversion']);

/** Every word the table knows, sorted: the `mountOptions` of `features`. */
export function knownMountOptions(): string[] {
  const words = ['bind', 'rbind', 'remount', 'tmpcopyup', 'iversion'];
  for (const word of Object.keys(ATTRIBUTES)) words.push(word, `r${word}`);
  for (const word of Object.keys(PROPAGATIONS)) words.push(word, `r${word}`);
  return [...words, ...SUPERBLOCK, ...NO_EFFECT].sort();
}

export interface Propagation {
  readonly flag: number;
  readonly recursive: boolean;
}

export interface ParsedMountOptions {
  bind: 'none' | 'bind' | 'rbind';
  remount: boolean;
  idmap: 'none' | 'idmap' | 'ridmap';
  tmpcopyup: boolean;
  /** MOUNT_ATTR_* of this mount alone. */
  set: number;
  clear: number;
  /** MOUNT_ATTR_* of the whole tree. */
  recursiveSet: number;
  recursiveClear: number;
  /** In the order given. */
  propagation: Propagation[];
  superblock: string[];
  /** What is left for the filesystem, `key=value` or a bare word. */
  data: string[];
}

export function parseMountOptions(options: readonly string[]): ParsedMountOptions {
  const parsed: ParsedMountOptions = {
    bind: 'none',
    remount: false,
    idmap: 'none',
    tmpcopyup: false,
    set: 0,
    clear: 0,
    recursiveSet: 0,
    recursiveClear: 0,
    propagation: [],
    superblock: [],
    data: [],
  };
  for (const option of options) applyOption(parsed, option);
  return parsed;
}

function applyOption(parsed: ParsedMountOptions, option: string): void {
  const attribute = own(ATTRIBUTES, option);
  if (attribute !== undefined) {
    parsed.set = (parsed.set & ~attribute.clear) | attribute.set;
    parsed.clear = (parsed.clear & ~attribute.set) | attribute.clear;
    return;
  }
  const propagation = own(PROPAGATIONS, option);
  if (propagation !== undefined) {
    parsed.propagation.push({ flag: propagation, recursive: false });
    return;
  }
  if (option.startsWith('r') && applyRecursive(parsed, option.slice(1))) return;
  if (applyKeyword(parsed, option)) return;
  if (SUPERBLOCK.has(option)) parsed.superblock.push(option);
  else if (!NO_EFFECT.has(option)) parsed.data.push(option);
}

function applyRecursive(parsed: ParsedMountOptions, word: string): boolean {
  const attribute = own(ATTRIBUTES, word);
  if (attribute !== undefined) {
    parsed.recursiveSet = (parsed.recursiveSet & ~attribute.clear) | attribute.set;
    parsed.recursiveClear = (parsed.recursiveClear & ~attribute.set) | attribute.clear;
    return true;
  }
  const propagation = own(PROPAGATIONS, word);
  if (propagation === undefined) return false;
  parsed.propagation.push({ flag: propagation, recursive: true });
  return true;
}

function applyKeyword(parsed: ParsedMountOptions, option: string): boolean {
  switch (option) {
    case 'bind':
      if (parsed.bind === 'none') parsed.bind = 'bind';
      return true;
    case 'rbind':
      parsed.bind = 'rbind';
      return true;
    case 'remount':
      parsed.remount = true;
      return true;
    case 'tmpcopyup':
      parsed.tmpcopyup = true;
      return true;
    case 'idmap':
    case 'ridmap':
      parsed.idmap = option;
      return true;
    default:
      return false;
  }
}

/** A property of the table itself, never of Object.prototype: the key comes from config.json. */
function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
