/**
 * Containers of the systemd driver on the test system's systemd: their units are in slices of the box's
 * name, and what `systemctl show` and the kernel's files say of them.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Box, Container } from './box.ts';
import { check } from './check.ts';
import type { Patch } from './spec.ts';

export const ROOT = '/sys/fs/cgroup';
export const env = { PATH: process.env['PATH']! };
export const global = ['--systemd-cgroup'];

export function systemctl(...args: string[]): string {
  return execFileSync('systemctl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Properties of a unit as systemd shows them. */
export function shown(unit: string, ...names: string[]): Record<string, string> {
  const lines = systemctl('show', unit, ...names.map((name) => `--property=${name}`)).split('\n');
  const pairs = lines.filter(Boolean).map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

export const loadState = (unit: string): string => shown(unit, 'LoadState')['LoadState']!;

export const groupOf = (pid: number | string): string =>
  /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))![1]!;

/** Units of a box are in slices of its name, which are stopped at the end. */
export function withSlices(
  title: string,
  body: (box: Box) => Promise<void>,
  timeoutMs = 120_000,
): void {
  check(title, { notRunc: 'systemd is asked about runcell’s units', timeoutMs }, async (box) => {
    try {
      await body(box);
    } finally {
      for (const slice of slicesOf(box)) systemctl('stop', slice);
    }
  });
}

/** Innermost last, so that stopping the first takes all. */
function slicesOf(box: Box): string[] {
  const lines = systemctl('list-units', '--plain', '--no-legend', '--type=slice', `${box.tag}*`);
  return lines
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter(Boolean)
    .sort();
}

export interface Made extends Container {
  readonly unit: string;
  readonly group: string;
}

export async function create(
  box: Box,
  name: string,
  patch?: Patch,
  args?: string[],
): Promise<Made> {
  const bundle = box.bundle(args ?? ['sleep', '100'], inSlice(box, name, patch));
  const container = await box.create(bundle, [], { env, global });
  return { ...container, unit: `rc-${name}.scope`, group: `${ROOT}${groupOf(container.pid)}` };
}

export const inSlice =
  (box: Box, name: string, more?: Patch): Patch =>
  (spec) => {
    spec.linux.cgroupsPath = `${box.tag}.slice:rc:${name}`;
    more?.(spec);
  };

export async function remove(box: Box, { id, unit, group }: Made): Promise<void> {
  await box.silent(['delete', '--force', id], { env });
  expect(loadState(unit)).toBe('not-found');
  expect(existsSync(group)).toBe(false);
}

export const file = (group: string, name: string): string =>
  readFileSync(`${group}/${name}`, 'latin1').trim();

export const resources =
  (value: Record<string, unknown>): Patch =>
  (spec) => {
    const own = (spec.linux as Record<string, unknown>)['resources'] as object | undefined;
    (spec.linux as Record<string, unknown>)['resources'] = { ...own, ...value };
  };
