/**
 * linux.intelRdt: what can be told without a machine that has it (runtime-spec 1.3
 * config-linux.md#intelrdt). Loaded late.
 */

import { problem } from './findings.ts';
import type { Subject } from './subject.ts';

/** Directories that every class of service, or the root alone, has already. */
const RESERVED = ['info', 'mon_data', 'mon_groups', '.', '..'];
/** Before 1.3; they asked for counters, which are told wherever there are any. */
const REPLACED = ['enableCMT', 'enableMBM'];

export function checkIntelRdt({ linux, findings }: Subject, id: string): void {
  const rdt = linux.intelRdt;
  if (rdt === undefined) return;
  const { closID } = rdt;
  if (closID !== undefined && closID !== '' && closID !== '/' && !isGroupName(closID)) {
    problem(findings, 'linux.intelRdt.closID', 'is no name of a group', { target: closID });
  }
  if (!closID && !isGroupName(id)) {
    const reason = `the container's id ${id} is no name of a group`;
    problem(findings, 'linux.intelRdt.closID', reason);
  }
  rdt.schemata?.forEach((line, index) => {
    if (!line.includes('\n')) return;
    problem(findings, `linux.intelRdt.schemata[${index}]`, 'must be one line');
  });
  if (rdt.memBwSchema?.trim().includes('\n')) {
    problem(findings, 'linux.intelRdt.memBwSchema', 'must be one line');
  }
  for (const name of REPLACED) {
    if ((rdt as Record<string, unknown>)[name] !== true) continue;
    findings.warnings.push(`linux.intelRdt.${name}: enableMonitoring has taken its place`);
  }
}

function isGroupName(name: string): boolean {
  return !RESERVED.includes(name) && !/[/\n]/.test(name);
}
