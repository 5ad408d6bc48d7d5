/** linux.memoryPolicy: the kernel's rules, told by the field. */

import type { LinuxMemoryPolicy } from '@opencontainers-ts/spec';
import { expect, test } from 'vitest';
import { noFindings } from '../../../src/oci/validate/findings.ts';
import { checkMemoryPolicy } from '../../../src/oci/validate/memory-policy.ts';

function problems(policy: LinuxMemoryPolicy): string[] {
  const findings = noFindings();
  checkMemoryPolicy(policy, findings);
  return findings.problems.map(({ path, reason }) => `${path}: ${reason}`);
}

test.each<LinuxMemoryPolicy>([
  { mode: 'MPOL_DEFAULT' },
  { mode: 'MPOL_LOCAL', nodes: '' },
  { mode: 'MPOL_BIND', nodes: '0-3, 7,1023' },
  { mode: 'MPOL_PREFERRED' },
  { mode: 'MPOL_PREFERRED', nodes: '1', flags: ['MPOL_F_RELATIVE_NODES'] },
  { mode: 'MPOL_INTERLEAVE', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] },
  { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_NUMA_BALANCING', 'MPOL_F_STATIC_NODES'] },
  { mode: 'MPOL_PREFERRED_MANY', nodes: '0', flags: ['MPOL_F_NUMA_BALANCING'] },
  { mode: 'MPOL_WEIGHTED_INTERLEAVE', nodes: '0' },
])('%j is a policy', (policy) => {
  expect(problems(policy)).toEqual([]);
});

const NODES = 'linux.memoryPolicy.nodes';
const FLAGS = 'linux.memoryPolicy.flags';

test.each<[LinuxMemoryPolicy, string[]]>([
  [{ nodes: '0' }, ['linux.memoryPolicy.mode: is required']],
  [{ mode: 'MPOL_BIND' }, [`${NODES}: must name a node with MPOL_BIND`]],
  [{ mode: 'MPOL_INTERLEAVE', nodes: ' , ' }, [`${NODES}: must name a node with MPOL_INTERLEAVE`]],
  [
    { mode: 'MPOL_PREFERRED_MANY', nodes: '' },
    [`${NODES}: must name a node with MPOL_PREFERRED_MANY`],
  ],
  [{ mode: 'MPOL_DEFAULT', nodes: '0' }, [`${NODES}: must be empty with MPOL_DEFAULT`]],
  [{ mode: 'MPOL_LOCAL', nodes: '0' }, [`${NODES}: must be empty with MPOL_LOCAL`]],
  [{ mode: 'MPOL_BIND', nodes: '3-1' }, [`${NODES}: must be a list of nodes up to 1023 as 0-3,7`]],
  [{ mode: 'MPOL_BIND', nodes: 'a' }, [`${NODES}: must be a list of nodes up to 1023 as 0-3,7`]],
  [{ mode: 'MPOL_BIND', nodes: '1024' }, [`${NODES}: must be a list of nodes up to 1023 as 0-3,7`]],
  [
    { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES', 'MPOL_F_RELATIVE_NODES'] },
    [`${FLAGS}: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude one another`],
  ],
  [
    { mode: 'MPOL_INTERLEAVE', nodes: '0', flags: ['MPOL_F_NUMA_BALANCING'] },
    [`${FLAGS}: MPOL_F_NUMA_BALANCING is for MPOL_BIND and MPOL_PREFERRED_MANY`],
  ],
  [
    { mode: 'MPOL_PREFERRED', flags: ['MPOL_F_STATIC_NODES'] },
    [`${FLAGS}: MPOL_F_STATIC_NODES is about nodes, and there are none`],
  ],
])('%j is refused', (policy, expected) => {
  expect(problems(policy)).toEqual(expected);
});
