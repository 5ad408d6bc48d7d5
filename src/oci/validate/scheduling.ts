/**
 * process.scheduler, ioPriority and execCPUAffinity (runtime-spec 1.3 config.md#configLinuxProcess;
 * sched_setattr(2), sched(7), ioprio_set(2), cpuset(7)). Rules of the kernel are checked here because
 * its one answer is EINVAL.
 */

import type { Process, Scheduler } from '@opencontainers-ts/spec';
import { parseCpuList } from '../../libcontainer/linux/cpu-list.ts';
import { type Findings, problem } from './findings.ts';

export function checkScheduler({ scheduler }: Process, at: string, findings: Findings): void {
  if (scheduler === undefined) return;
  const path = `${at}.scheduler`;
  const { policy, nice = 0 } = scheduler;
  if (policy === 'SCHED_ISO') {
    problem(findings, `${path}.policy`, 'Linux reserves the name and has no such policy', {
      target: policy,
    });
  }
  if (nice < -20 || nice > 19) {
    problem(findings, `${path}.nice`, 'must be from -20 to 19', { target: String(nice) });
  }
  if (nice !== 0 && policy !== 'SCHED_OTHER' && policy !== 'SCHED_BATCH') {
    findings.warnings.push(`${path}.nice: has no effect with ${policy}`);
  }
  checkPriority(scheduler, path, findings);
  checkDeadline(scheduler, path, findings);
}

function checkPriority(scheduler: Scheduler, path: string, findings: Findings): void {
  const { policy, priority = 0 } = scheduler;
  const target = { target: String(priority) };
  if (policy === 'SCHED_FIFO' || policy === 'SCHED_RR') {
    if (priority < 1 || priority > 99) {
      problem(findings, `${path}.priority`, `must be from 1 to 99 with ${policy}`, target);
    }
  } else if (priority !== 0) {
    problem(findings, `${path}.priority`, 'is only for SCHED_FIFO and SCHED_RR', target);
  }
}

function checkDeadline(scheduler: Scheduler, path: string, findings: Findings): void {
  const { runtime = 0, deadline = 0, period = 0 } = scheduler;
  if (scheduler.policy !== 'SCHED_DEADLINE') {
    for (const [name, value] of Object.entries({ runtime, deadline, period })) {
      if (Number(value) !== 0) problem(findings, `${path}.${name}`, 'is only for SCHED_DEADLINE');
    }
    return;
  }
  if (runtime < 1024) problem(findings, `${path}.runtime`, 'must be 1024 nanoseconds or more');
  if (deadline < runtime) problem(findings, `${path}.deadline`, 'must not be below runtime');
  if (Number(period) !== 0 && period < deadline) {
    problem(findings, `${path}.period`, 'must not be below deadline');
  }
}

export function checkIoPriority({ ioPriority }: Process, at: string, findings: Findings): void {
  const priority = ioPriority?.priority ?? 0;
  if (priority >= 0 && priority <= 7) return;
  problem(findings, `${at}.ioPriority.priority`, 'must be from 0 to 7', {
    target: String(priority),
  });
}

export function checkAffinity({ execCPUAffinity }: Process, at: string, findings: Findings): void {
  for (const when of ['initial', 'final'] as const) {
    const list = execCPUAffinity?.[when];
    if (list === undefined || parseCpuList(list) !== undefined) continue;
    problem(findings, `${at}.execCPUAffinity.${when}`, 'must be a list of CPUs as 0-3,7', {
      target: list,
    });
  }
}
