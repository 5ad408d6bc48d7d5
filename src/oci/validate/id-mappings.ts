/**
 * linux.uidMappings, linux.gidMappings and extents in general (runtime-spec 1.3
 * config-linux.md#configLinuxUserNamespaceMappings; user_namespaces(7), kernel/user_namespace.c:
 * map_write). The kernel's answer to each of these mistakes is the same EINVAL.
 */

import type { IDMapping } from '@opencontainers-ts/spec';
import { type Findings, problem } from './findings.ts';
import { ID_MAX, namespacePath, type Subject } from './subject.ts';

/** UID_GID_MAP_MAX_EXTENTS, Linux 4.15+. */
const EXTENTS_MAX = 340;

export function checkIdMappings(subject: Subject): void {
  const { findings, linux } = subject;
  const path = namespacePath(subject, 'user');
  for (const field of ['uidMappings', 'gidMappings'] as const) {
    const extents = linux[field] ?? [];
    const at = `linux.${field}`;
    if (path === undefined && extents.length > 0) {
      problem(findings, at, 'needs a user namespace in linux.namespaces');
    } else if (path === '' && extents.length === 0) {
      problem(findings, at, 'is required for a new user namespace');
    } else if (path !== undefined && path !== '' && extents.length > 0) {
      findings.debug.push(`${at}: the user namespace ${path} has its own mappings already`);
    }
    if (extents.length > 0) checkExtents(findings, at, extents);
    const mapsRoot = extents.some(({ containerID }) => containerID === 0);
    if (path === '' && extents.length > 0 && !mapsRoot) {
      problem(findings, at, 'container id 0 is not mapped, as which the container is set up');
    }
  }
}

export function checkExtents(findings: Findings, at: string, extents: readonly IDMapping[]): void {
  if (extents.length > EXTENTS_MAX) {
    problem(findings, at, `has more than ${EXTENTS_MAX} extents`, {
      target: String(extents.length),
    });
    return;
  }
  extents.forEach((extent, index) => {
    checkExtent(findings, `${at}[${index}]`, extent);
  });
  for (const side of ['containerID', 'hostID'] as const) checkOverlap(findings, at, extents, side);
}

function checkExtent(findings: Findings, at: string, extent: IDMapping): void {
  if (extent.size === 0) {
    problem(findings, `${at}.size`, 'must not be 0');
    return;
  }
  for (const side of ['containerID', 'hostID'] as const) {
    if (extent[side] + extent.size - 1 > ID_MAX) {
      problem(findings, `${at}.${side}`, `the extent must end at ${ID_MAX} or below`, {
        target: `${extent[side]} + ${extent.size}`,
      });
    }
  }
}

function checkOverlap(
  findings: Findings,
  at: string,
  extents: readonly IDMapping[],
  side: 'containerID' | 'hostID',
): void {
  const sorted = extents
    .map((extent, index) => ({ index, first: extent[side], end: extent[side] + extent.size }))
    .sort((a, b) => a.first - b.first);
  for (let i = 1; i < sorted.length; i++) {
    const before = sorted[i - 1]!;
    const extent = sorted[i]!;
    if (extent.first >= before.end) continue;
    const [low, high] = [before.index, extent.index].sort((a, b) => a - b);
    problem(findings, `${at}[${high}].${side}`, `overlaps with ${at}[${low}]`);
  }
}
