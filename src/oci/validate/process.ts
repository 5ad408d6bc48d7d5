/**
 * process: program, user, terminal, rlimits and capabilities (runtime-spec 1.3 config.md#configProcess;
 * getrlimit(2), capabilities(7)). The four sentences on missing parts are runc's, engines know them
 * (reference/runtime-cli.md §2). For config.json and for the document of `exec --process`.
 */

import type { Process } from '@opencontainers-ts/spec';
import { CAPABILITIES } from '../../libcontainer/linux/capability.ts';
import { RLIMITS } from '../../libcontainer/linux/sched.ts';
import { type Findings, problem, unsupported } from './findings.ts';
import { checkAffinity, checkIoPriority, checkScheduler } from './scheduling.ts';
import { ID_MAX, isAbsolute } from './subject.ts';

export const CWD_EMPTY = 'Cwd property must not be empty';
export const PROCESS_EMPTY = 'process property must not be empty';

export function checkProcess(process: Process, at: string, findings: Findings): void {
  checkProgram(process, at, findings);
  checkUser(process, at, findings);
  if (process.consoleSize !== undefined) checkConsole(process, at, findings);
  if (process.rlimits !== undefined) checkRlimits(process, at, findings);
  if (process.capabilities !== undefined) warnCapabilities(process, at, findings);
  if (process.oomScoreAdj !== undefined) checkOomScore(process, at, findings);
  if (process.scheduler !== undefined) checkScheduler(process, at, findings);
  if (process.ioPriority !== undefined) checkIoPriority(process, at, findings);
  if (process.execCPUAffinity !== undefined) checkAffinity(process, at, findings);
}

/** What a process may ask for and does not get yet; after everything that is wrong for good. */
export function checkProcessSupport(process: Process, at: string, findings: Findings): void {
  if (process.apparmorProfile) {
    unsupported(findings, `${at}.apparmorProfile`, process.apparmorProfile);
  }
  if (process.selinuxLabel) unsupported(findings, `${at}.selinuxLabel`, process.selinuxLabel);
}

function checkProgram(process: Process, at: string, findings: Findings): void {
  if (process.cwd === '') problem(findings, `${at}.cwd`, CWD_EMPTY);
  else if (!isAbsolute(process.cwd)) {
    problem(findings, `${at}.cwd`, 'Cwd must be an absolute path', { target: process.cwd });
  }
  if ((process.args?.length ?? 0) === 0) problem(findings, `${at}.args`, 'args must not be empty');
  checkStrings(process.args, `${at}.args`, findings);
  checkStrings(process.env, `${at}.env`, findings);
}

/** NUL ends a string of the kernel: what follows it would be lost. */
export function checkStrings(
  strings: readonly string[] | undefined,
  at: string,
  findings: Findings,
): void {
  strings?.forEach((text, index) => {
    if (text.includes('\0')) problem(findings, `${at}[${index}]`, 'must not contain NUL');
  });
}

/** CVE-2026-30892: an id is exactly what the document says, or the container does not run. */
function checkUser({ user }: Process, at: string, findings: Findings): void {
  const check = (id: number | undefined, path: string) => {
    if (id !== undefined && id > ID_MAX) {
      problem(findings, path, `must be at most ${ID_MAX}`, { target: String(id) });
    }
  };
  check(user?.uid, `${at}.user.uid`);
  check(user?.gid, `${at}.user.gid`);
  user?.additionalGids?.forEach((gid, index) => {
    check(gid, `${at}.user.additionalGids[${index}]`);
  });
  if (user?.umask !== undefined && user.umask > 0o777) {
    problem(findings, `${at}.user.umask`, 'must be at most 511 (0777)', {
      target: String(user.umask),
    });
  }
  if (user?.username !== undefined) findings.debug.push(`${at}.user.username: is not for Linux`);
}

/** struct winsize has 16 bits for each; the size is without meaning when there is no terminal. */
function checkConsole({ terminal, consoleSize }: Process, at: string, findings: Findings): void {
  if (terminal !== true || consoleSize === undefined) return;
  for (const side of ['height', 'width'] as const) {
    if (consoleSize[side] > 65535) {
      problem(findings, `${at}.consoleSize.${side}`, 'must be at most 65535', {
        target: String(consoleSize[side]),
      });
    }
  }
}

function checkRlimits({ rlimits }: Process, at: string, findings: Findings): void {
  const seen = new Set<string>();
  rlimits?.forEach(({ type, soft, hard }, index) => {
    const path = `${at}.rlimits[${index}]`;
    if (!Object.hasOwn(RLIMITS, type)) {
      problem(findings, `${path}.type`, 'is no resource limit of Linux', { target: type });
    }
    if (seen.has(type)) problem(findings, `${path}.type`, 'is given twice', { target: type });
    seen.add(type);
    if (soft > hard) {
      problem(findings, `${path}.soft`, `must not be above the hard limit ${hard}`, {
        target: String(soft),
      });
    }
  });
}

const SETS = ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'] as const;

/** An unknown capability is a warning, not a failure (config.md#configLinuxProcess). */
function warnCapabilities({ capabilities }: Process, at: string, findings: Findings): void {
  for (const set of SETS) {
    capabilities?.[set]?.forEach((name, index) => {
      if (Object.hasOwn(CAPABILITIES, name)) return;
      const path = `${at}.capabilities.${set}[${index}]`;
      findings.warnings.push(`${path}: unknown capability ${JSON.stringify(name)} is left out`);
    });
  }
}

function checkOomScore({ oomScoreAdj }: Process, at: string, findings: Findings): void {
  if (oomScoreAdj === undefined || (oomScoreAdj >= -1000 && oomScoreAdj <= 1000)) return;
  problem(findings, `${at}.oomScoreAdj`, 'must be from -1000 to 1000', {
    target: String(oomScoreAdj),
  });
}
