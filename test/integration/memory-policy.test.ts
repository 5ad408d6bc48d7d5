/**
 * linux.memoryPolicy in real containers: what the kernel says of a process's memory in numa_maps
 * (set_mempolicy(2), proc(5)). One node is enough, and every machine has node 0.
 */

import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import type { Spec } from '../helpers/spec.ts';

const own = { notRunc: 'has it from 1.4 on', path: '/proc/self/numa_maps' } as const;

const policy = (memoryPolicy: Record<string, unknown>) => (spec: Spec) => {
  Object.assign(spec.linux, { memoryPolicy });
};

/** The policy of the stack: that of the process. */
const SHOW = ['sh', '-c', "sed -n 's/^[0-9a-f]* \\(.*\\) stack.*/\\1/p' /proc/self/numa_maps"];

const SHOWN: readonly [string, Record<string, unknown>][] = [
  ['default', { mode: 'MPOL_DEFAULT' }],
  ['local', { mode: 'MPOL_LOCAL' }],
  ['local', { mode: 'MPOL_PREFERRED' }],
  ['prefer:0', { mode: 'MPOL_PREFERRED', nodes: '0' }],
  ['bind:0', { mode: 'MPOL_BIND', nodes: '0' }],
  ['interleave:0', { mode: 'MPOL_INTERLEAVE', nodes: '0' }],
  ['interleave=static:0', { mode: 'MPOL_INTERLEAVE', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] }],
  ['bind=relative:0', { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_RELATIVE_NODES'] }],
];

describe('linux.memoryPolicy', () => {
  for (const [shown, value] of SHOWN) {
    check(`${JSON.stringify(value)} is ${shown} to the kernel`, own, async (box) => {
      expect(await box.printed(box.bundle(SHOW, policy(value)))).toBe(shown);
    });
  }

  const newer = { ...own, kernel: '6.10' } as const;
  check('of newer kernels', newer, async (box) => {
    const flags = ['MPOL_F_NUMA_BALANCING'];
    const weighted = { mode: 'MPOL_WEIGHTED_INTERLEAVE', nodes: '0' };
    expect(await box.printed(box.bundle(SHOW, policy(weighted)))).toBe('weighted interleave:0');
    const many = { mode: 'MPOL_PREFERRED_MANY', nodes: '0', flags };
    expect(await box.printed(box.bundle(SHOW, policy(many)))).toMatch(/^prefer \(many\).*:0$/);
  });

  check('is that of an exec too', own, async (box) => {
    const bundle = box.bundle(['sleep', '1000'], policy({ mode: 'MPOL_BIND', nodes: '0' }));
    const container = await box.start(bundle);
    expect(await box.exec(container, SHOW)).toBe('bind:0');
  });

  check('is the default where there is none', own, async (box) => {
    expect(await box.printed(box.bundle(SHOW))).toBe('default');
  });

  check('of a node that is not there is refused in the kernel’s words', own, async (box) => {
    const line = refusal(
      await box.run(box.bundle(['true'], policy({ mode: 'MPOL_BIND', nodes: '63' }))),
    );
    expect(line).toMatch(
      /linux\.memoryPolicy: set MPOL_BIND 63: set_mempolicy.*EINVAL.*cpuset\.mems/,
    );
  });

  check('that the specification forbids is refused by its field', own, async (box) => {
    const line = refusal(await box.run(box.bundle(['true'], policy({ mode: 'MPOL_BIND' }))));
    expect(line).toContain('linux.memoryPolicy.nodes: must name a node with MPOL_BIND');
  });
});
