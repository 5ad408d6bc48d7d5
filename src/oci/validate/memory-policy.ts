/**
 * linux.memoryPolicy (runtime-spec 1.3 config-linux.md#memory-policy; set_mempolicy(2)). Rules of the
 * kernel are checked here because its one answer is EINVAL. Loaded late.
 */

import type { LinuxMemoryPolicy } from '@opencontainers-ts/spec';
import { parseCpuList } from '../../libcontainer/linux/cpu-list.ts';
import { type Findings, problem } from './findings.ts';

const AT = 'linux.memoryPolicy';
/** NODES_SHIFT is 10 at most, on every architecture. */
const NODE_MAX = 1023;
const WITHOUT_NODES = ['MPOL_DEFAULT', 'MPOL_LOCAL'];
const BALANCED = ['MPOL_BIND', 'MPOL_PREFERRED_MANY'];

export function checkMemoryPolicy(policy: LinuxMemoryPolicy, findings: Findings): void {
  const { mode, nodes = '' } = policy;
  const ranges = parseCpuList(nodes);
  if (mode === undefined) problem(findings, `${AT}.mode`, 'is required');
  if (ranges === undefined || ranges.some(([, last]) => last > NODE_MAX)) {
    problem(findings, `${AT}.nodes`, `must be a list of nodes up to ${NODE_MAX} as 0-3,7`, {
      target: nodes,
    });
  }
  if (mode === undefined || ranges === undefined) return;
  if (WITHOUT_NODES.includes(mode)) {
    if (ranges.length > 0) problem(findings, `${AT}.nodes`, `must be empty with ${mode}`);
  } else if (ranges.length === 0 && mode !== 'MPOL_PREFERRED') {
    problem(findings, `${AT}.nodes`, `must name a node with ${mode}`);
  }
  checkFlags(policy, ranges.length > 0, findings);
}

function checkFlags(
  { mode, flags = [] }: LinuxMemoryPolicy,
  hasNodes: boolean,
  findings: Findings,
): void {
  const refuse = (reason: string): void => problem(findings, `${AT}.flags`, reason);
  const ofNodes = flags.filter((flag) => flag !== 'MPOL_F_NUMA_BALANCING');
  if (new Set(ofNodes).size > 1) refuse(`${ofNodes.join(' and ')} exclude one another`);
  if (flags.includes('MPOL_F_NUMA_BALANCING') && !BALANCED.includes(mode!)) {
    refuse(`MPOL_F_NUMA_BALANCING is for ${BALANCED.join(' and ')}`);
  }
  if (ofNodes.length > 0 && !hasNodes) refuse(`${ofNodes[0]} is about nodes, and there are none`);
}
