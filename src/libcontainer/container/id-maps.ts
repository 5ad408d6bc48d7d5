/** Ids of a new user namespace, written for its first process (user_namespaces(7)). */

import { writeFileSync } from 'node:fs';
import { toRuncellError } from '../../error.ts';
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
