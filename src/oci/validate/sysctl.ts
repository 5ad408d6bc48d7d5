/**
 * linux.sysctl (runtime-spec 1.3 config-linux.md#configLinuxSysctl; sysctl.d(5) for the two
 * separators). An allow list: a parameter passes only when it belongs to a namespace that the
 * container has of its own; everything else is the host's (CVE-2022-0811). Whether a network
 * namespace joined by its path is the host's after all is compared where it is opened.
 */

import type { LinuxNamespaceType } from '@opencontainers-ts/spec';
import { sysctlSteps } from '../../libcontainer/linux/sysctl.ts';
import { problem } from './findings.ts';
import { hasNamespace, type Subject } from './subject.ts';

export function checkSysctl(subject: Subject): void {
  const { linux, findings } = subject;
  for (const [key, value] of Object.entries(linux.sysctl ?? {})) {
    const at = `linux.sysctl[${JSON.stringify(key)}]`;
    const reason = refusal(subject, key);
    if (reason !== undefined) problem(findings, at, reason);
    if (/[\n\0]/.test(value)) problem(findings, at, 'must be one line', { target: value });
  }
}

/** Why the key may not be set, or undefined. */
function refusal(subject: Subject, key: string): string | undefined {
  const steps = sysctlSteps(key);
  if (steps === undefined) return 'is no name of a kernel parameter';
  const name = steps.join('.');
  if (name === 'kernel.hostname') return 'is not allowed: it is what hostname is for';
  if (name === 'kernel.domainname' && subject.config.domainname) {
    return 'is not allowed beside domainname';
  }
  const owner = namespaceOf(steps);
  if (owner === undefined) return 'is not allowed: it belongs to no namespace';
  if (hasNamespace(subject, owner)) return undefined;
  return `is not allowed in the host's ${owner} namespace`;
}

/** The namespace a parameter belongs to; undefined for those of the whole machine. */
function namespaceOf(steps: readonly string[]): LinuxNamespaceType | undefined {
  const [top, second = ''] = steps;
  if (top === 'net' && steps.length > 1) return 'network';
  if (top === 'user' && steps.length === 2) return 'user';
  if (top === 'fs' && second === 'mqueue' && steps.length === 3) return 'ipc';
  if (top !== 'kernel' || steps.length !== 2) return undefined;
  if (second === 'domainname') return 'uts';
  return second === 'sem' || second.startsWith('msg') || second.startsWith('shm')
    ? 'ipc'
    : undefined;
}
