/**
 * Values of `linux.seccomp` (runtime-spec 1.3 config-linux.md#seccomp), beyond what the schema says.
 * Loaded only with a filter that is not in the cache: one that is, has been through here.
 *
 * Names of calls that nobody knows are no problem: a profile is written for more than one kernel.
 */

import type { LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg } from '@opencontainers-ts/spec';
import { type Findings, noFindings, problem, throwProblems } from './findings.ts';

const AT = 'linux.seccomp';

/** MAX_ERRNO, include/linux/err.h; SECCOMP_RET_DATA. */
const ERRNO_MAX = 4095;
const MESSAGE_MAX = 0xffff;
const ARGUMENTS = 6;
const U64_MAX = (1n << 64n) - 1n;

export function checkSeccomp(seccomp: LinuxSeccomp): Findings {
  const findings = noFindings();
  checkNames(seccomp, findings);
  const { defaultAction, defaultErrnoRet } = seccomp;
  checkErrno(findings, `${AT}.defaultErrnoRet`, defaultAction, defaultErrnoRet);
  checkArchitectures(seccomp, findings);
  seccomp.syscalls?.forEach(({ names, action, errnoRet, args }, i) => {
    const at = `${AT}.syscalls[${i}]`;
    checkErrno(findings, `${at}.errnoRet`, action, errnoRet);
    names.forEach((name, index) => {
      if (name === '') problem(findings, `${at}.names[${index}]`, 'must not be empty');
    });
    args?.forEach((arg, index) => {
      checkArg(findings, `${at}.args[${index}]`, arg);
    });
  });
  checkListener(seccomp, findings);
  throwProblems(findings);
  return findings;
}

function checkErrno(
  findings: Findings,
  path: string,
  action: LinuxSeccompAction,
  value: number | undefined,
): void {
  if (value === undefined) return;
  const target = String(value);
  const max = { SCMP_ACT_ERRNO: ERRNO_MAX, SCMP_ACT_TRACE: MESSAGE_MAX }[action as string];
  if (max === undefined) problem(findings, path, `has no meaning with ${action}`, { target });
  else if (value > max) problem(findings, path, `must be at most ${max}`, { target });
}

/** Both machines that runcell runs on are little-endian: the others' calls never reach this filter. */
const BIG_ENDIAN = 'M68K MIPS MIPS64 MIPS64N32 PPC PPC64 S390 S390X SHEB PARISC PARISC64'.split(
  ' ',
);

function checkArchitectures({ architectures }: LinuxSeccomp, findings: Findings): void {
  architectures?.forEach((arch, i) => {
    if (!BIG_ENDIAN.includes(arch.slice('SCMP_ARCH_'.length))) return;
    const reason = 'is big-endian, and this machine is not';
    problem(findings, `${AT}.architectures[${i}]`, reason, { target: arch });
  });
}

function checkArg(findings: Findings, at: string, arg: LinuxSeccompArg): void {
  if (arg.index >= ARGUMENTS) {
    problem(findings, `${at}.index`, 'must be from 0 to 5', { target: String(arg.index) });
  }
  for (const field of ['value', 'valueTwo'] as const) {
    const value = arg[field];
    if (value === undefined || (BigInt(value) >= 0n && BigInt(value) <= U64_MAX)) continue;
    problem(findings, `${at}.${field}`, 'must fit into 64 bits', { target: String(value) });
  }
}

/**
 * Init tells the compiler of the listener by write(2): if that waited for the agent, the agent would
 * wait for the listener. It is the one call that must not be an agent's, as in runc.
 */
function checkListener(seccomp: LinuxSeccomp, findings: Findings): void {
  const { defaultAction, listenerPath, listenerMetadata, syscalls = [] } = seccomp;
  const noPath = listenerPath === undefined || listenerPath === '';
  if (noPath && listenerMetadata) {
    problem(findings, `${AT}.listenerMetadata`, 'needs listenerPath');
  }
  if (!noPath && !listenerPath.startsWith('/')) {
    problem(findings, `${AT}.listenerPath`, 'must be absolute', { target: listenerPath });
  }
  if (defaultAction === 'SCMP_ACT_NOTIFY') {
    const reason = 'SCMP_ACT_NOTIFY cannot be used as default action';
    problem(findings, `${AT}.defaultAction`, reason);
  }
  syscalls.forEach(({ names, action }, i) => {
    if (action !== 'SCMP_ACT_NOTIFY') return;
    const at = `${AT}.syscalls[${i}]`;
    if (noPath) problem(findings, `${at}.action`, 'SCMP_ACT_NOTIFY needs listenerPath');
    if (!names.includes('write')) return;
    problem(findings, `${at}.names`, 'SCMP_ACT_NOTIFY cannot be used for the write syscall');
  });
}

/** By object, what is known in it. */
const NAMES = {
  seccomp: [
    ...['defaultAction', 'defaultErrnoRet', 'architectures', 'flags', 'listenerPath'],
    ...['listenerMetadata', 'syscalls'],
  ],
  syscall: ['names', 'action', 'errnoRet', 'args'],
  arg: ['index', 'value', 'valueTwo', 'op'],
} as const;

/** Engines written in Go take names whatever their case (security.md §5.2). */
function checkNames(seccomp: LinuxSeccomp, findings: Findings): void {
  const look = (at: string, names: readonly string[], value: object): void => {
    for (const key in value) {
      if (names.includes(key)) continue;
      const meant = names.find((name) => name.toLowerCase() === key.toLowerCase());
      if (meant === undefined) findings.debug.push(`${at}.${key}: is not known`);
      else problem(findings, `${at}.${key}`, `is spelt ${meant}`);
    }
  };
  look(AT, NAMES.seccomp, seccomp);
  seccomp.syscalls?.forEach((entry, i) => {
    look(`${AT}.syscalls[${i}]`, NAMES.syscall, entry);
    entry.args?.forEach((arg, k) => {
      look(`${AT}.syscalls[${i}].args[${k}]`, NAMES.arg, arg);
    });
  });
}
