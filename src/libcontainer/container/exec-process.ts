/**
 * The process object of an exec: a whole one (`--process`), or the container's with the flags of the
 * command line over it (runtime-cli.md §1.7, §2 "exec -p"). Pure.
 */

import type { Capabilities, Config, Process } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { CAPABILITIES } from '../linux/capability.ts';

export interface ExecOptions {
  readonly id: string;
  /** The document of `--process`, validated. */
  readonly process?: unknown;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env: readonly string[];
  readonly tty: boolean;
  readonly user?: string;
  readonly additionalGids: readonly number[];
  readonly detach: boolean;
  readonly pidFile?: string;
  readonly consoleSocket?: string;
  readonly pidfdSocket?: string;
  readonly noNewPrivileges: boolean;
  readonly capabilities: readonly string[];
  readonly preserveFds: number;
  readonly ignorePaused: boolean;
  readonly cgroup?: string;
  readonly processLabel?: string;
  readonly apparmor?: string;
}

export function execProcess(config: Config, options: ExecOptions): Process {
  refuseLabels(options);
  const own = config.process!;
  if (options.process !== undefined) return fromDocument(own, options.process as Process);
  const user = options.user === undefined ? own.user : { ...own.user, ...parseUser(options.user) };
  const additionalGids = [...(own.user?.additionalGids ?? []), ...options.additionalGids];
  const capabilities = withCapabilities(own.capabilities, options.capabilities);
  return {
    ...own,
    args: [...options.args],
    env: [...(own.env ?? []), ...options.env],
    cwd: absoluteCwd(options.cwd ?? own.cwd),
    terminal: options.tty,
    user: { ...user, ...(additionalGids.length === 0 ? {} : { additionalGids }) },
    noNewPrivileges: options.noNewPrivileges || own.noNewPrivileges === true,
    ...(capabilities === undefined ? {} : { capabilities }),
  };
}

function refuseLabels(options: ExecOptions): void {
  const given = { '--process-label': options.processLabel, '--apparmor': options.apparmor };
  for (const [flag, value] of Object.entries(given)) {
    if (value === undefined || value === '') continue;
    const reason = 'not supported yet';
    throw new RuncellError({ code: 'usage.unsupported', operation: flag, target: value, reason });
  }
}

function absoluteCwd(cwd: string): string {
  if (cwd.startsWith('/')) return cwd;
  const reason = 'Cwd must be an absolute path';
  throw new RuncellError({ code: 'usage', specPath: 'process.cwd', target: cwd, reason });
}

/** What the document leaves out of these is the container's; rlimits absent are the caller's. */
function fromDocument(own: Process, document: Process): Process {
  const { capabilities, scheduler, ioPriority, execCPUAffinity } = own;
  const umask = own.user?.umask;
  return {
    ...definedOnly({ capabilities, scheduler, ioPriority, execCPUAffinity }),
    ...document,
    user: { ...document.user, ...(umask === undefined ? {} : { umask }) },
  };
}

function definedOnly<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> };
}

const ID_MAX = 4294967294;

/**
 * `UID[:GID]`, the container's gid without one; digits only: never a name looked up in the image (CVE-2016-3697), never -1, which
 * setresuid(2) takes for "leave it" (CVE-2026-30892).
 */
export function parseUser(text: string): { uid: number; gid?: number } {
  const match = /^([0-9]+)(?::([0-9]+))?$/.exec(text);
  const uid = Number(match?.[1] ?? Number.NaN);
  const gid = match?.[2] === undefined ? undefined : Number(match[2]);
  if (match !== null && uid <= ID_MAX && (gid ?? 0) <= ID_MAX) {
    return gid === undefined ? { uid } : { uid, gid };
  }
  throw new RuncellError({
    code: 'config.user',
    operation: '--user',
    target: text,
    reason: `not UID[:GID] with numbers up to ${ID_MAX}`,
  });
}

/** Added to bounding, effective, permitted; ambient only if inheritable has it; never inheritable. */
function withCapabilities(
  own: Capabilities | undefined,
  added: readonly string[],
): Capabilities | undefined {
  if (added.length === 0) return own;
  for (const name of added) {
    if (!Object.hasOwn(CAPABILITIES, name)) {
      const reason = `unknown capability ${JSON.stringify(name)}`;
      throw new RuncellError({ code: 'usage', operation: '--cap', reason });
    }
  }
  const plus = (set: readonly string[] | undefined): string[] => [
    ...new Set([...(set ?? []), ...added]),
  ];
  const inherited = added.filter((name) => own?.inheritable?.includes(name));
  return {
    ...own,
    bounding: plus(own?.bounding),
    effective: plus(own?.effective),
    permitted: plus(own?.permitted),
    ...(inherited.length === 0
      ? {}
      : { ambient: [...new Set([...(own?.ambient ?? []), ...inherited])] }),
  };
}
