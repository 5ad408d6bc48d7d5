/**
 * mounts: destination, type and id mappings (runtime-spec 1.3 config.md#configMounts,
 * #configPOSIXMounts, #configLinuxMountOptions). What a word of `options` means, and that a bind mount
 * takes no data for a filesystem, is the planner's: it has the table (plan/mount-options.ts).
 */

import type { Mount } from '@opencontainers-ts/spec';
import { problem } from './findings.ts';
import { checkExtents } from './id-mappings.ts';
import { hasNamespace, isAbsolute, type Subject } from './subject.ts';

export function checkMounts(subject: Subject): void {
  subject.config.mounts?.forEach((mount, index) => {
    const path = `mounts[${index}]`;
    checkDestination(subject, mount, path);
    checkType(subject, mount, path);
    checkIdMap(subject, mount, path);
  });
}

function checkDestination({ findings }: Subject, { destination }: Mount, path: string): void {
  if (destination === '') problem(findings, `${path}.destination`, 'must not be empty');
  else if (!isAbsolute(destination)) {
    const meant = JSON.stringify(`/${destination}`);
    findings.warnings.push(
      `${path}.destination: relative paths are deprecated, ${JSON.stringify(destination)} means ${meant}`,
    );
  }
}

/** Only a mount that exists already, or that comes from elsewhere, has no type of its own. */
function checkType({ findings }: Subject, mount: Mount, path: string): void {
  if (mount.type || isBind(mount) || mount.options?.includes('remount')) return;
  problem(findings, `${path}.type`, 'is required for anything but a bind mount', {
    target: mount.destination,
  });
}

function isBind({ type, options }: Mount): boolean {
  if (type === 'bind' || type === 'rbind') return true;
  return options !== undefined && (options.includes('bind') || options.includes('rbind'));
}

function checkIdMap(subject: Subject, mount: Mount, path: string): void {
  const { findings } = subject;
  const uids = mount.uidMappings ?? [];
  const gids = mount.gidMappings ?? [];
  const option = mount.options?.find((word) => word === 'idmap' || word === 'ridmap');
  if (uids.length === 0 && gids.length === 0) {
    if (option !== undefined && !containerMaps(subject)) {
      problem(findings, `${path}.options`, 'needs uidMappings and gidMappings', {
        target: option,
        hint: 'the container has no user namespace whose mappings could be used',
      });
    }
  } else if (uids.length === 0 || gids.length === 0) {
    const missing = uids.length === 0 ? 'uidMappings' : 'gidMappings';
    problem(findings, `${path}.${missing}`, 'uidMappings and gidMappings must be given together');
  }
  if (option === undefined && uids.length + gids.length === 0) return;
  if (!isBind(mount)) {
    problem(findings, `${path}.type`, 'only a bind mount can have id mappings', {
      target: mount.type ?? '',
    });
  }
  checkExtents(findings, `${path}.uidMappings`, uids);
  checkExtents(findings, `${path}.gidMappings`, gids);
}

/** Whether the document itself says how the container's user namespace maps both kinds of id. */
function containerMaps(subject: Subject): boolean {
  const { uidMappings, gidMappings } = subject.linux;
  if (!hasNamespace(subject, 'user')) return false;
  return (uidMappings?.length ?? 0) > 0 && (gidMappings?.length ?? 0) > 0;
}
