/**
 * `exec ID COMMAND…` and `exec -p FILE ID`: one more process in a container. Its exit code is the
 * verb's; 255 when it could not be run. Flags: reference/runtime-cli.md §1.7.
 */

import fs from 'node:fs';
import type { CommandLine } from '../argv.ts';
import { RuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { type ExecOptions, execContainer } from '../libcontainer/container/exec.ts';
import { parseJson } from '../oci/json.ts';
import { validateProcess } from '../oci/validate.ts';
import { absolutePath, optionalPath } from './path.ts';

export function exec(context: Context, line: CommandLine): number | Promise<number> {
  return execContainer(context, execOptions(context, line));
}

export function execOptions(context: Context, line: CommandLine): ExecOptions {
  const { flags } = line;
  const [id, ...args] = line.args;
  const file = flags.text('process');
  if (file === undefined && args.length === 0) {
    throw new RuncellError({ code: 'usage', reason: 'process args cannot be empty' });
  }
  const { cwd } = context;
  return {
    id: id!,
    args,
    env: flags.list('env'),
    tty: flags.on('tty'),
    additionalGids: flags.integers('additional-gids'),
    detach: flags.on('detach'),
    noNewPrivileges: flags.on('no-new-privs'),
    capabilities: flags.list('cap'),
    preserveFds: flags.integer('preserve-fds') ?? 0,
    ignorePaused: flags.on('ignore-paused'),
    ...given('process', file === undefined ? undefined : loadProcess(absolutePath(file, cwd))),
    ...given('cwd', flags.text('cwd')),
    ...given('user', flags.text('user')),
    ...given('pidFile', optionalPath(flags.text('pid-file'), cwd)),
    ...given('consoleSocket', optionalPath(flags.text('console-socket'), cwd)),
    ...given('pidfdSocket', optionalPath(flags.text('pidfd-socket'), cwd)),
    ...given('cgroup', oneCgroup(flags.list('cgroup'))),
    ...given('processLabel', flags.text('process-label')),
    ...given('apparmor', flags.text('apparmor')),
  };
}

/** In OCI absent is not undefined. */
function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { [key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [key in Name]?: Value });
}

function loadProcess(path: string): unknown {
  const value = parseJson(readFile(path), { source: path });
  validateProcess(value, 'process');
  return value;
}

function readFile(path: string): Uint8Array {
  try {
    return fs.readFileSync(path);
  } catch (thrown) {
    const errno = Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
    throw new RuncellError({
      code: 'usage',
      operation: 'read process file',
      target: path,
      errno,
      cause: thrown,
    });
  }
}

/** cgroup2 is one tree: one path, and no controllers before it. */
function oneCgroup(paths: readonly string[]): string | undefined {
  const path = paths[0];
  if (path === undefined) return undefined;
  if (paths.length > 1 || path.includes(':')) {
    throw new RuncellError({
      code: 'usage.unsupported',
      target: '--cgroup',
      reason: `cgroup v2 has one hierarchy, not ${JSON.stringify(paths.join(' '))}`,
      hint: 'give one path without controllers',
    });
  }
  return path;
}
