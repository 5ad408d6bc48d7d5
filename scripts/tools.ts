/**
 * The programs a script needs on this machine, installed by apt-get where they are missing.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Command, or the absolute path of a file → Debian package. */
export type Tools = Readonly<Record<string, string>>;

function has(tool: string): boolean {
  if (tool.startsWith('/')) return existsSync(tool);
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin`;
  return path.split(':').some((dir) => dir !== '' && existsSync(`${dir}/${tool}`));
}

function isStaticBusybox(): boolean {
  if (!existsSync('/bin/busybox')) return false;
  // A dynamic executable names its interpreter near its start.
  return !readFileSync('/bin/busybox').subarray(0, 4096).includes('/ld-linux');
}

export function installTools(tools: Tools): void {
  const missing = Object.entries(tools)
    .filter(([tool]) => !has(tool) || (tool === 'busybox' && !isStaticBusybox()))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  console.error(`installing ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]) =>
    spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0;
  apt('update', '-qq');
  if (!apt('install', '-y', '-qq', '--no-install-recommends', ...missing)) {
    throw new Error(`apt-get could not install ${missing.join(' ')}`);
  }
}
