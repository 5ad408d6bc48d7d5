/**
 * `linux.seccomp` as a filter in its bytes (runtime-spec 1.3 config-linux.md#seccomp). The profile has been
 * validated.
 *
 * As in runc, a call that is newer than every call the profile names gets ENOSYS and not the default
 * errno (unless the default lets calls pass): a C library takes ENOSYS for "use the older call" and
 * EPERM for a failure, and whoever wrote the profile could not know the call. Two differences: it is
 * done for the runtime's own architecture also when the profile lists none, for that says nothing
 * about calls; and Arm's private numbers do not count as new ones.
 */

import type { LinuxSeccomp, LinuxSeccompArch } from '@opencontainers-ts/spec';
import type { Arch } from '../linux/arch.ts';
import { ERRNO } from '../linux/errno.ts';
import * as kernel from '../linux/seccomp.ts';
import { actionOf } from './actions.ts';
import { ARCHITECTURES, NATIVE, type SyscallTable, X32_BIT } from './architectures.ts';
import { encodeFilter, type Section, type Segment } from './filter.ts';
import {
  multiplexed,
  type ProfileRules,
  type Rule,
  rulesByName,
  type Verdict,
  verdictOn,
} from './rules.ts';

export interface CompiledFilter {
  /** An array of struct sock_filter. */
  readonly program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  /** Whether a call is passed to an agent. */
  readonly notifies: boolean;
  /** Lines for the debug log. */
  readonly debug: readonly string[];
}

export async function compileFilter(profile: LinuxSeccomp, host: Arch): Promise<CompiledFilter> {
  const syscalls = profile.syscalls ?? [];
  const defaultAction = actionOf(profile.defaultAction, profile.defaultErrnoRet);
  const rules = rulesByName(syscalls, defaultAction);
  const tables: Tables = new Map();
  for (const name of new Set([NATIVE[host], ...(profile.architectures ?? [])])) {
    tables.set(name, (await ARCHITECTURES[name].load()).table);
  }
  const notifies = syscalls.some(({ action }) => action === 'SCMP_ACT_NOTIFY');
  const program = encodeFilter(sectionsOf(tables, rules, defaultAction), defaultAction);
  return { program, flags: flagsOf(profile, notifies), notifies, debug: unknownNames(rules) };
}

/** As in runc, which knows them by every architecture of libseccomp. */
function unknownNames(rules: ProfileRules): string[] {
  const names: string[] = [];
  for (const [name, { found }] of rules) if (!found) names.push(name);
  if (names.length === 0) return [];
  return [`linux.seccomp.syscalls: no calls of these architectures: ${names.join(' ')}`];
}

const FLAGS = {
  SECCOMP_FILTER_FLAG_TSYNC: kernel.SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_FILTER_FLAG_LOG: kernel.SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: kernel.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: kernel.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
} as const;

/** SPEC_ALLOW when there is no word about flags, as in runc; a list without any is a word. */
function flagsOf({ flags }: LinuxSeccomp, notifies: boolean): number {
  let bits = 0;
  for (const flag of flags ?? ['SECCOMP_FILTER_FLAG_SPEC_ALLOW' as const]) bits |= FLAGS[flag];
  if (!notifies) return bits & ~kernel.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  bits |= kernel.SECCOMP_FILTER_FLAG_NEW_LISTENER;
  const synchronises = (bits & kernel.SECCOMP_FILTER_FLAG_TSYNC) !== 0;
  return synchronises ? bits | kernel.SECCOMP_FILTER_FLAG_TSYNC_ESRCH : bits;
}

type Tables = Map<LinuxSeccompArch, SyscallTable>;

/** One section for each number of an architecture; x86-64 and x32 have the same. */
function sectionsOf(tables: Tables, rules: ProfileRules, defaultAction: number): Section[] {
  const sections: Section[] = [];
  for (const name of tables.keys()) {
    const { audit } = ARCHITECTURES[name];
    if (sections.some((section) => section.audit === audit)) continue;
    const ranges = new Ranges(rules, defaultAction);
    if (audit === ARCHITECTURES.SCMP_ARCH_X32.audit) ranges.x86(tables);
    else ranges.fill(name, tables.get(name)!, 0, END);
    sections.push({ audit, segments: ranges.segments });
  }
  return sections;
}

const END = 0x100000000;
/** Arm's own calls, arch/arm/include/uapi/asm/unistd.h: far above the others, and none is new. */
const PRIVATE_CALLS = 0x0f0000;
const NEW_CALL = kernel.SECCOMP_RET.ERRNO + ERRNO.ENOSYS;

/** Segments of one section, neighbours with one verdict joined. */
class Ranges {
  readonly segments: Segment[] = [];
  readonly #rules: ProfileRules;
  readonly #default: number;
  readonly #enosys: boolean;
  readonly #lists = new Map<string, readonly Rule[]>();
  #verdict: Verdict | undefined;

  constructor(rules: ProfileRules, defaultAction: number) {
    this.#rules = rules;
    this.#default = defaultAction;
    const { ALLOW, LOG, TRACE } = kernel.SECCOMP_RET;
    const traces = defaultAction >>> 16 === TRACE >>> 16;
    this.#enosys = defaultAction !== ALLOW && defaultAction !== LOG && !traces;
  }

  #push(start: number, verdict: Verdict): void {
    if (this.#verdict === verdict) return;
    this.#verdict = verdict;
    this.segments.push({ start, verdict });
  }

  /**
   * Numbers from `start` to before `end`: what the rules say, the default between, and above the last
   * that the profile names what new calls get, which is also returned.
   */
  fill(name: LinuxSeccompArch, table: SyscallTable, start: number, end: number): number {
    const { bits, base = 0 } = ARCHITECTURES[name];
    const rules = this.#rules;
    const privates = base + PRIVATE_CALLS;
    let [next, covered, last] = [base, start, -1];
    for (const word of table.names.split(' ')) {
      if (word.charCodeAt(0) <= 0x39) {
        next = base + Number(word);
        if (next < privates) continue;
        this.#rest(covered, next, last);
        covered = next;
        continue;
      }
      const number = next++;
      const named = rules.get(word);
      const multiplexes = word === 'socketcall' ? table.socketcall : word === 'ipc' && table.ipc;
      if (named === undefined && !multiplexes) continue;
      if (named !== undefined) {
        named.found = true;
        if (number < privates) last = number;
      }
      const verdict = multiplexes
        ? multiplexed(word as 'ipc', bits, rules)
        : verdictOn(bits, word, named!);
      if (verdict === undefined) continue;
      if (number > covered) this.#push(covered, this.#default);
      this.#push(number, typeof verdict === 'number' ? verdict : this.#shared(verdict));
      covered = number + 1;
    }
    return this.#rest(covered, end, last);
  }

  /** What is left of a range whose highest named call is `last`. */
  #rest(covered: number, end: number, last: number): number {
    const newer = this.#enosys && last >= 0 ? NEW_CALL : this.#default;
    if (covered <= last) this.#push(covered, this.#default);
    if (last < end - 1) this.#push(Math.max(covered, last + 1), newer);
    return newer;
  }

  /** Equal lists of rules are one list. */
  #shared(list: readonly Rule[]): readonly Rule[] {
    const key = JSON.stringify(list);
    const known = this.#lists.get(key);
    if (known === undefined) this.#lists.set(key, list);
    return known ?? list;
  }

  /**
   * One AUDIT_ARCH for two: bit 30 of the number tells x32. Where only one of the two is in the filter,
   * the other is a wrong architecture. -1 is what a tracer makes a call that it skips, and no call.
   */
  x86(tables: Tables): void {
    const { KILL_THREAD } = kernel.SECCOMP_RET;
    const long = tables.get('SCMP_ARCH_X86_64');
    const x32 = tables.get('SCMP_ARCH_X32');
    let [newer, newer32] = [this.#default, KILL_THREAD as number];
    if (long === undefined) this.#push(0, KILL_THREAD);
    else newer = this.fill('SCMP_ARCH_X86_64', long, 0, X32_BIT);
    if (x32 === undefined) this.#push(X32_BIT, KILL_THREAD);
    else newer32 = this.fill('SCMP_ARCH_X32', x32, X32_BIT, 2 * X32_BIT);
    // What no processor passes on as a call: as libseccomp and runc have it.
    this.#push(2 * X32_BIT, x32 === undefined && newer !== NEW_CALL ? KILL_THREAD : newer);
    this.#push(3 * X32_BIT, newer32);
    if (x32 === undefined) this.#push(END - 1, this.#default);
  }
}
