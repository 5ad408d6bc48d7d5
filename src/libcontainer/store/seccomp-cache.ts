/**
 * `<root>/seccomp/`: compiled filters by content, so that the containers of an engine, which all have
 * the same profile, compile it once.
 *
 * An entry is {magic, digest, length of the source, length of the filter}, 32-bit words each, then the
 * source and the filter. The source is all that the filter was made from: the profile's text, the
 * architecture, the version. It is compared in full, so the name, a digest of it, need not be free of
 * collisions: another source with the same name is a miss. The entry's own digest finds what a crash or
 * a disk did to it; whoever could write it on purpose is root (the directory and the file must be the
 * caller's or root's and not be writable by others), and so could change the container's configuration.
 * What does not fit in any way is compiled again and never loaded (security.md §5.1).
 */

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { removeQuietly } from './state-dir.ts';

const MAGIC = 0x46435352;
const HEADER_WORDS = 4;
/** Profiles of different containers; an engine has a handful. */
const ENTRIES_MAX = 64;
const WRITABLE_BY_OTHERS = 0o022;

/** The filter that was made from `source`, undefined when there is none that is whole. */
export function readFilter(root: string, source: Uint8Array): Buffer | undefined {
  const bytes = readOwn(`${root}/seccomp/${nameOf(source)}`);
  if (bytes === undefined || bytes.length < 4 * HEADER_WORDS) return undefined;
  const [magic, digest, sourceLength, length] = [0, 4, 8, 12].map((at) => bytes.readUInt32LE(at));
  const begin = 4 * HEADER_WORDS;
  const middle = begin + sourceLength!;
  if (magic !== MAGIC || bytes.length !== middle + length!) return undefined;
  if (!bytes.subarray(begin, middle).equals(source)) return undefined;
  const filter = bytes.subarray(middle);
  return digestOf(filter, digestOf(source, 0)) === digest ? filter : undefined;
}

/** Keeps it; a root that cannot be written to only costs time. */
export function writeFilter(root: string, source: Uint8Array, filter: Uint8Array): void {
  const directory = `${root}/seccomp`;
  const header = Buffer.alloc(4 * HEADER_WORDS);
  const digest = digestOf(filter, digestOf(source, 0));
  [MAGIC, digest, source.length, filter.length].forEach((word, i) => {
    header.writeUInt32LE(word, 4 * i);
  });
  const temporary = `${directory}/.${process.pid}`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    makeRoom(directory);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    removeQuietly(temporary);
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      writeFileSync(fd, Buffer.concat([header, source, filter]));
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, `${directory}/${nameOf(source)}`);
  } catch {
    removeQuietly(temporary);
  }
}

function makeRoom(directory: string): void {
  const names = readdirSync(directory);
  if (names.length < ENTRIES_MAX) return;
  for (const name of names) unlinkSync(`${directory}/${name}`);
}

function readOwn(path: string): Buffer | undefined {
  let fd: number;
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const { uid, mode, size } = fstatSync(fd);
    const trusted = uid === 0 || uid === process.geteuid!();
    const regular = (mode & constants.S_IFMT) === constants.S_IFREG;
    if (!trusted || !regular || (mode & WRITABLE_BY_OTHERS) !== 0 || size > 1 << 24)
      return undefined;
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

function nameOf(source: Uint8Array): string {
  const [low, high] = [digestOf(source, 0), digestOf(source, 1)];
  return low.toString(16).padStart(8, '0') + high.toString(16).padStart(8, '0');
}

/** FNV-1a of 32 bits, a word at a time: it finds damage, it keeps nobody out. */
function digestOf(bytes: Uint8Array, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x01000193);
    hash ^= hash >>> 15;
  }
  for (let i = whole; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}
