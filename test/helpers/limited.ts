/** Containers with limits in a group of a known path, for tests that read the kernel's files. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Box } from './box.ts';
import { cgroup2Root } from './proc.ts';
import type { Spec } from './spec.ts';

export const MIB = 1 << 20;

/** The second disk of the test system, which has a scheduler of its own to choose. */
export const DISK = 'vdb';
export const diskNumber = (): { major: number; minor: number } => {
  const [major = 0, minor = 0] = content(`/sys/block/${DISK}/dev`).split(':').map(Number);
  return { major, minor };
};

export const content = (file: string): string => readFileSync(file, 'latin1').trim();
export const run = (file: string, ...args: string[]): string =>
  execFileSync(file, args, { encoding: 'utf8' });

/** Limits of a container in a group with a name, and how to read its files. */
export function limited(box: Box, resources: Record<string, unknown>, name = 'limited') {
  const path = `/${box.tag}-top/${name}`;
  const group = cgroup2Root() + path;
  const patch = (spec: Spec): void => {
    spec.linux.resources = { ...spec.linux.resources, ...resources };
    spec.linux.cgroupsPath = path;
  };
  return { patch, group, file: (file: string): string => content(`${group}/${file}`) };
}

export async function started(
  box: Box,
  resources: Record<string, unknown>,
  args = ['sleep', '1000'],
) {
  const at = limited(box, resources);
  const container = await box.start(box.bundle(args, at.patch));
  return { ...at, container };
}
