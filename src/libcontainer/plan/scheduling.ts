/**
 * process.rlimits, scheduler, ioPriority, oomScoreAdj, and linux.personality: attributes that
 * survive execve, set while init is still privileged (security.md H29). Values are validated before.
 * Sources: prlimit(2), sched_setattr(2), ioprio_set(2), personality(2), proc(5). Pure.
 */

import type { Process } from '@opencontainers-ts/spec';
import { parseCpuList } from '../linux/cpu-list.ts';
import { AT_FDCWD, O_CLOEXEC, O_WRONLY } from '../linux/fcntl.ts';
import {
  IOPRIO_CLASS_SHIFT,
  IOPRIO_CLASSES,
  IOPRIO_WHO_PGRP,
  PERSONALITIES,
  RLIMITS,
  SCHED_ATTR_SIZE,
  SCHED_FLAGS,
  SCHED_NAMES,
} from '../linux/sched.ts';
import type { ProgramBuilder } from '../program/builder.ts';
import type { Draft } from './draft.ts';

/** Stage: written before any namespace is entered, inherited by init. */
export function planOomScore(b: ProgramBuilder, process: Process): void {
  if (process.oomScoreAdj === undefined) return;
  const value = String(process.oomScoreAdj);
  b.section('process.oomScoreAdj', `write ${value}`, '/proc/self/oom_score_adj');
  const file = b.slot('oom_score_adj');
  const path = b.string('/proc/self/oom_score_adj');
  b.call('openat', [AT_FDCWD, path, O_WRONLY | O_CLOEXEC], { into: file });
  b.call('write', [file, b.string(value), value.length]);
  b.call('close', [file]);
}

/**
 * The configured limits; RLIMIT_NOFILE otherwise goes back to the caller's, because Node raised the
 * soft limit of everything it starts.
 */
export function planRlimits(draft: Draft, process: Process): void {
  const b = draft.builder;
  const limits = process.rlimits ?? [];
  limits.forEach((limit, i) => {
    const resource = RLIMITS[limit.type as keyof typeof RLIMITS];
    b.section(`process.rlimits[${i}]`, `set ${limit.type}`, `${limit.soft}:${limit.hard}`);
    b.call('prlimit64', [0, resource, b.words([limit.soft, limit.hard]), 0]);
  });
  if (limits.some((limit) => limit.type === 'RLIMIT_NOFILE')) return;
  const { soft, hard } = draft.options.nofile;
  b.section('process.rlimits', "restore the caller's RLIMIT_NOFILE", `${soft}:${hard}`);
  b.call('prlimit64', [0, RLIMITS.RLIMIT_NOFILE, b.words([soft, hard]), 0]);
}

export function planScheduling(draft: Draft, process: Process): void {
  const b = draft.builder;
  const { scheduler, ioPriority } = process;
  if (scheduler !== undefined) {
    b.section('process.scheduler', `set ${scheduler.policy}`, scheduler.policy);
    const attr = b.space(SCHED_ATTR_SIZE);
    b.setU32(attr, SCHED_ATTR_SIZE);
    b.setU32(attr.plus(4), SCHED_NAMES[scheduler.policy]);
    let flags = 0;
    for (const flag of scheduler.flags ?? [])
      flags |= SCHED_FLAGS[flag as keyof typeof SCHED_FLAGS];
    b.setU64(attr.plus(8), flags);
    b.setU32(attr.plus(16), scheduler.nice ?? 0);
    b.setU32(attr.plus(20), scheduler.priority ?? 0);
    b.setU64(attr.plus(24), scheduler.runtime ?? 0);
    b.setU64(attr.plus(32), scheduler.deadline ?? 0);
    b.setU64(attr.plus(40), scheduler.period ?? 0);
    b.call('sched_setattr', [0, attr, 0]);
  }
  if (ioPriority !== undefined) {
    const level = ioPriority.priority ?? 0;
    b.section('process.ioPriority', `set ${ioPriority.class}`, `priority ${level}`);
    const value = (IOPRIO_CLASSES[ioPriority.class] << IOPRIO_CLASS_SHIFT) | level;
    b.call('ioprio_set', [IOPRIO_WHO_PGRP, 0, value]);
  }
}

export function planPersonality(draft: Draft): void {
  const domain = draft.config.linux?.personality?.domain;
  if (domain === undefined) return;
  const b = draft.builder;
  b.section('linux.personality', `set ${domain}`, domain);
  b.call('personality', [PERSONALITIES[domain as keyof typeof PERSONALITIES]]);
}

/**
 * process.execCPUAffinity: `initial` before the cgroup is entered, `final` in it
 * (sched_setaffinity(2); the list's syntax was validated).
 */
export function planAffinity(b: ProgramBuilder, when: 'initial' | 'final', list?: string): void {
  const mask = affinityMask(list ?? '');
  if (mask === undefined) return;
  b.section(`process.execCPUAffinity.${when}`, `set the affinity to ${list}`, list);
  b.call('sched_setaffinity', [0, mask.length, b.bytes(mask)]);
}

/** `0-3,7` as the kernel's bit mask, a multiple of 8 bytes; undefined when it names no CPU. */
export function affinityMask(list: string): Uint8Array | undefined {
  const ranges = parseCpuList(list) ?? [];
  if (ranges.length === 0) return undefined;
  const highest = Math.max(...ranges.map(([, last]) => last));
  const mask = new Uint8Array(8 * (Math.floor(highest / 64) + 1));
  for (const [first, last] of ranges) {
    for (let cpu = first; cpu <= last; cpu++) mask[cpu >> 3]! |= 1 << (cpu & 7);
  }
  return mask;
}
