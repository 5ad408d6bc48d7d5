/**
 * Where an image comes from: the text a user gives, as `--image`, resolved to a directory.
 *
 * The source may be a path, `dir:///path` (taken as it is) or `file:///path` (a URL, so percent
 * escapes are decoded). Everything else, archives and registries, is refused by name until there is
 * something that unpacks it. realpath(3). Opens nothing, changes nothing.
 */

import { realpathSync, type Stats, statSync } from 'node:fs';
import { RuncellError } from '../error.ts';

export interface ImageSource {
  /** The directory, absolute and without symbolic links. */
  readonly directory: string;
  /** Permission bits and owner of the directory: what `/` of the container will have. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Finds the image; a relative path is relative to the caller's directory. */
export function findImage(image: string, cwd: string): ImageSource {
  const path = pathOf(image, cwd);
  let directory: string;
  let stat: Stats;
  try {
    directory = realpathSync.native(path);
    stat = statSync(directory);
  } catch (thrown) {
    throw unreachable(image, thrown as NodeJS.ErrnoException);
  }
  if (!stat.isDirectory()) throw notSupported(image, 'is not a directory');
  return { directory, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
}

function pathOf(image: string, cwd: string): string {
  if (image === '') throw refused(image, 'is empty');
  if (image.includes('\0')) throw refused(image, 'contains a NUL byte');
  if (image.startsWith('/')) return image;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(image);
  if (scheme === null) return `${cwd}/${image}`;
  const rest = image.slice(scheme[0].length);
  switch (scheme[1]!.toLowerCase()) {
    case 'dir':
      return absolute(image, rest);
    case 'file':
      return absolute(image, decoded(image, rest.replace(/^localhost(?=\/)/, '')));
    default:
      throw notSupported(image);
  }
}

function absolute(image: string, path: string): string {
  if (path.startsWith('/')) return path;
  throw refused(image, 'names no absolute path', 'write three slashes, as dir:///path');
}

function decoded(image: string, path: string): string {
  try {
    const text = decodeURIComponent(path);
    if (!text.includes('\0')) return text;
  } catch {
    // a lone % or bytes that are no UTF-8
  }
  throw refused(image, 'is not a valid file URL');
}

function unreachable(image: string, thrown: NodeJS.ErrnoException): RuncellError {
  // A name like `busybox:latest` is no path at all: say what is supported, not only ENOENT.
  if (thrown.code === 'ENOENT' || thrown.code === 'ENOTDIR') {
    return notSupported(image, 'is not a directory');
  }
  return new RuncellError({
    code: 'storage.source',
    operation: 'image',
    target: image,
    ...(thrown.errno === undefined ? {} : { errno: Math.abs(thrown.errno) }),
    cause: thrown,
  });
}

function notSupported(image: string, reason?: string): RuncellError {
  const only = 'only local directories are supported yet';
  return refused(image, reason === undefined ? only : `${reason}, and ${only}`);
}

function refused(image: string, reason: string, hint?: string): RuncellError {
  const target = image === '' ? undefined : image;
  return new RuncellError({ code: 'storage.source', operation: 'image', target, reason, hint });
}
