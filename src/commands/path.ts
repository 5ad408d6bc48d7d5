/**
 * Paths of the command line made absolute against the caller's directory, as Go's filepath.Abs does:
 * by words alone, nothing is looked up.
 */

import { RuncellError } from '../error.ts';

/** `cwd` is empty where the caller's directory was removed: then only absolute paths mean anything. */
export function absolutePath(path: string, cwd: string): string {
  if (cwd === '' && !path.startsWith('/')) {
    throw new RuncellError({
      code: 'usage',
      operation: 'getwd',
      reason: 'no such file or directory',
      hint: `the working directory was removed, and ${JSON.stringify(path)} is relative to it`,
    });
  }
  const full = path.startsWith('/') ? path : `${cwd}/${path}`;
  const parts: string[] = [];
  for (const part of full.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

export function optionalPath(path: string | undefined, cwd: string): string | undefined {
  return path === undefined || path === '' ? undefined : absolutePath(path, cwd);
}
