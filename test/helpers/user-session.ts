/**
 * The ordinary user of the test system (scripts/vm/recipe.ts), with a session of systemd's: its own
 * manager, bus and delegated cgroup, as a person has who logged in.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { eventually } from './eventually.ts';

export const user = { name: 'tester', uid: 1000, firstSubordinate: 100_000 } as const;

const runtimeDir = `/run/user/${user.uid}`;

/** What a login gives besides. */
export const environment: Readonly<Record<string, string>> = {
  HOME: `/home/${user.name}`,
  USER: user.name,
  LOGNAME: user.name,
  PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
  XDG_RUNTIME_DIR: runtimeDir,
  DBUS_SESSION_BUS_ADDRESS: `unix:path=${runtimeDir}/bus`,
};

/** Starts the user's manager; it stays until `endSession`. */
export async function startSession(): Promise<void> {
  execFileSync('loginctl', ['enable-linger', user.name]);
  const ready = () =>
    existsSync(`${runtimeDir}/bus`) && existsSync(`${runtimeDir}/systemd/private`);
  await eventually(`a session of ${user.name}`, ready, 30_000);
}

export async function endSession(): Promise<void> {
  execFileSync('loginctl', ['disable-linger', user.name]);
  execFileSync('systemctl', ['stop', `user@${user.uid}.service`]);
  await eventually(`the end of ${runtimeDir}`, () => !existsSync(`${runtimeDir}/bus`), 30_000);
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command as the user, in a scope of its own below the user's manager with every controller
 * the session has: where an engine that the user started would call a runtime from.
 */
export function asUser(command: readonly string[], cwd = '/'): Ended {
  const become = ['--reuid', `${user.uid}`, '--regid', `${user.uid}`, '--init-groups'];
  const scope = ['systemd-run', '--user', '--scope', '--quiet', '--collect', '-p', 'Delegate=yes'];
  const options = { cwd, env: environment, encoding: 'utf8', timeout: 60_000 } as const;
  const args = [...become, '--', ...scope, '--', ...command];
  const { status, stdout, stderr, error } = spawnSync('setpriv', args, options);
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}
