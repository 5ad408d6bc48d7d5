/**
 * The global flags and the caller's surroundings made into the context of a verb.
 *
 * Defaults are runc's (reference/runtime-cli.md §1.2, §1.3): root in its first user namespace uses
 * /run/runcell, everyone else `$XDG_RUNTIME_DIR/runcell` when there is one. Values that mean
 * something not built yet are refused, never ignored.
 */

import type { Values } from '../argv.ts';
import { RuncellError } from '../error.ts';
import type { HandOver } from '../launcher/hand-over.ts';
import type { CgroupManager, Context } from '../libcontainer/container/context.ts';
import { insideUserNamespace } from '../libcontainer/host/user-namespace.ts';
import { DEFAULT_ROOT } from '../libcontainer/store/state-dir.ts';
import { type LogOptions, openLog, type VerbLog } from '../log.ts';
import { absolutePath } from './path.ts';
import { envValue } from './verb.ts';

/** The log is made first and alone, so that an error about the rest goes where it is asked for. */
export function openVerbLog(globals: Values, cwd: string): VerbLog {
  const format = globals.text('log-format') ?? 'text';
  if (format !== 'text' && format !== 'json') {
    throw new RuncellError({ code: 'usage', reason: `invalid log-format: ${format}` });
  }
  const file = globals.text('log');
  const options: LogOptions = {
    file: file === undefined || file === '' ? undefined : absolutePath(file, cwd),
    format,
    debug: wantsDebug(globals),
  };
  return openLog(options);
}

function wantsDebug(globals: Values): boolean {
  return globals.on('debug') || globals.on('verbose');
}

export function makeContext(
  globals: Values,
  handOver: HandOver,
  cwd: string,
  log: VerbLog,
): Context {
  refuseUnsupported(globals);
  const root = globals.text('root');
  return {
    root: root === undefined ? defaultRoot(handOver.env) : explicitRoot(root, cwd),
    explicitRoot: root !== undefined,
    log,
    env: handOver.env,
    cwd,
    handOver,
    debug: wantsDebug(globals),
    cgroupManager: cgroupManager(globals),
    logArguments: logArguments(globals, cwd),
  };
}

/** The log flags again, absolute, for a process that goes on with this verb. */
function logArguments(globals: Values, cwd: string): string[] {
  const file = globals.text('log');
  const format = globals.text('log-format');
  return [
    ...(file === undefined || file === '' ? [] : ['--log', absolutePath(file, cwd)]),
    ...(format === undefined ? [] : ['--log-format', format]),
    ...(wantsDebug(globals) ? ['--debug'] : []),
  ];
}

function explicitRoot(text: string, cwd: string): string {
  const root = text === '' ? '' : absolutePath(text, cwd);
  if (root !== '' && root !== '/') return root;
  const what = root === '' ? 'empty' : 'set to /';
  const reason = `Option --root argument should not be ${what}`;
  throw new RuncellError({ code: 'usage', reason });
}

export function defaultRoot(
  env: readonly string[],
  effectiveUid: number = process.geteuid!(),
): string {
  const runtimeDir = envValue(env, 'XDG_RUNTIME_DIR') ?? '';
  if (runtimeDir === '' || !runtimeDir.startsWith('/')) return DEFAULT_ROOT;
  const privileged =
    effectiveUid === 0 && (envValue(env, 'USER') === 'root' || !insideUserNamespace());
  return privileged ? DEFAULT_ROOT : absolutePath(`${runtimeDir}/runcell`, '/');
}

function refuseUnsupported(globals: Values): void {
  const rootless = globals.text('rootless');
  if (rootless === 'true') throw unsupported('--rootless true');
  if (rootless !== undefined && rootless !== 'false' && rootless !== 'auto') {
    throw invalid('--rootless', rootless, 'true, false or auto');
  }
}

/** runc's flag and crun's, which may be given together: podman sends the latter, CRI-O the former. */
function cgroupManager(globals: Values): CgroupManager {
  const fallback = globals.on('systemd-cgroup') ? 'systemd' : 'cgroupfs';
  const manager = globals.text('cgroup-manager') ?? fallback;
  if (manager === 'cgroupfs' || manager === 'systemd' || manager === 'disabled') return manager;
  throw invalid('--cgroup-manager', manager, 'cgroupfs, systemd or disabled');
}

function unsupported(target: string): RuncellError {
  return new RuncellError({
    code: 'usage.unsupported',
    target,
    reason: 'not supported yet',
  });
}

function invalid(flag: string, value: string, allowed: string): RuncellError {
  return new RuncellError({
    code: 'usage',
    target: flag,
    reason: `invalid value ${JSON.stringify(value)}, it may be ${allowed}`,
  });
}
