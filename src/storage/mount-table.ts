/**
 * The mounts of our own mount namespace, read from /proc/self/mountinfo (proc_pid_mountinfo(5)).
 *
 * Only what storage asks: what is mounted on a path, and what below it. The kernel escapes space,
 * tab, newline, `#` and backslash in octal; every other byte of a path is as it is. The order is
 * the kernel's, so that of two mounts on one path the later line is the one on top.
 */

import { readFileSync } from 'node:fs';

export interface MountEntry {
  /** Where it is mounted, absolute. */
  readonly target: string;
  readonly type: string;
}

export function loadMountTable(): MountEntry[] {
  return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** id, parent, device, root, target, options, optional fields, `-`, type, source, super options. */
export function parseMountTable(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    entries.push({ target: unescaped(fields[4]!), type: fields[separator + 1]! });
  }
  return entries;
}

function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}

export function isMountPoint(table: readonly MountEntry[], path: string): boolean {
  return table.some(({ target }) => target === path);
}

/** Targets strictly below `path`. */
export function mountsBelow(table: readonly MountEntry[], path: string): string[] {
  const prefix = path === '/' ? '/' : `${path}/`;
  return table
    .map(({ target }) => target)
    .filter((target) => target !== path && target.startsWith(prefix));
}
