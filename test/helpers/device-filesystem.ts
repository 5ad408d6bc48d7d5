/**
 * A filesystem where a device can be opened. A box is in /tmp, which is `nodev` where systemd mounts
 * it: an open there is EACCES before anything else has a say.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { Box } from './box.ts';

/** Mounts it for `body`, in a directory of the box. */
export async function onDeviceFilesystem(
  box: Box,
  body: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = box.path('devices');
  mkdirSync(dir);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'dev,mode=755', 'runcell-test', dir]);
  try {
    await body(dir);
  } finally {
    await box.deleteAll();
    execFileSync('umount', ['--lazy', dir]);
  }
}
