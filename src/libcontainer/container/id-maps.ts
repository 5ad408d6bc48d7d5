/**
 * Ids of a user namespace (user_namespaces(7)): written for the first process of a new one, compared
 * with those of one that is joined. Loaded late: most containers have none.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Linux } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import type { IdMaps } from '../plan/idmap.ts';

/**
 * uid_map and gid_map of a process (user_namespaces(7)): one write each; an unprivileged writer has
 * to give up setgroups first.
 */
export function writeIdMaps(pid: number, maps: IdMaps, specPath: string): void {
  const lines = (list: IdMaps['uidMappings']): string =>
    list.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join('');
  const write = (file: string, text: string, field: string): void => {
    try {
      writeFileSync(`/proc/${pid}/${file}`, text);
    } catch (thrown) {
      throw toRuncellError(thrown, {
        specPath: `${specPath}.${field}`,
        operation: `write ${file}`,
        target: text.trim().replaceAll('\n', ', '),
      });
    }
  };
  if (process.geteuid!() !== 0) write('setgroups', 'deny', 'gidMappings');
  write('uid_map', lines(maps.uidMappings), 'uidMappings');
  write('gid_map', lines(maps.gidMappings), 'gidMappings');
}

/** Mappings beside the path of a user namespace must be its own: containerd and CRI-O send both. */
export function compareIdMaps(pid: number, linux: Linux): void {
  for (const [file, field] of [
    ['uid_map', 'uidMappings'],
    ['gid_map', 'gidMappings'],
  ] as const) {
    const wanted = linux[field] ?? [];
    if (wanted.length === 0) continue;
    const given = wanted.map((m) => `${m.containerID} ${m.hostID} ${m.size}`).sort();
    const lines = readFileSync(`/proc/${pid}/${file}`, 'latin1').trim().split('\n');
    const actual = lines.map((line) => line.trim().split(/\s+/).join(' ')).sort();
    if (given.join() === actual.join()) continue;
    throw new RuncellError({
      code: 'config.value',
      specPath: `linux.${field}`,
      target: given.join(', '),
      reason: `the user namespace that is joined has other mappings: ${actual.join(', ')}`,
    });
  }
}
