/**
 * The runtime under test. RUNCELL_TEST_RUNTIME names another one: the integration tests run on
 * runc first (project "compat"), because a test that runc fails does not judge us.
 */

import { execFileSync } from 'node:child_process';
import { basename, resolve } from 'node:path';

export type RuntimeKind = 'runcell' | 'runc' | 'crun';

export interface Runtime {
  readonly path: string;
  readonly kind: RuntimeKind;
}

export const repository = resolve(import.meta.dirname, '../..');

function find(): Runtime {
  const asked = process.env['RUNCELL_TEST_RUNTIME'] ?? 'dist/runcell';
  const path = asked.includes('/') ? resolve(repository, asked) : which(asked);
  if (path === undefined) throw new Error(`RUNCELL_TEST_RUNTIME: ${asked} is not in PATH`);
  const name = basename(path);
  return { path, kind: name === 'runc' || name === 'crun' ? name : 'runcell' };
}

/** Where `tool` is in PATH or the administrator's directories. */
export function which(tool: string): string | undefined {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v -- "$1"', 'sh', tool], {
      encoding: 'utf8',
      env: { PATH: path },
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

export const runtime: Runtime = find();
export const isRuncell = runtime.kind === 'runcell';
