/**
 * Paths of the command line made absolute against the caller's directory, as Go's filepath.Abs does:
 * by words alone, nothing is looked up.
 */

export function absolutePath(path: string, cwd: string): string {
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
