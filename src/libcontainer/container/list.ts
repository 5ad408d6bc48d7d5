/** Every container below the root; entries that do not load are problems, not failures. */

import { readFileSync } from 'node:fs';
import { type RuncellError, toRuncellError } from '../../error.ts';
import { checkRoot, listIds, stateDirOf } from '../store/state-dir.ts';
import { loadState } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { type ContainerView, ownerUid, viewOf } from './status.ts';

export function listContainers(context: Context): {
  containers: ContainerView[];
  problems: RuncellError[];
} {
  const containers: ContainerView[] = [];
  const problems: RuncellError[] = [];
  if (!checkRoot(context.root)) return { containers, problems };
  const names = new Map<number, string>();
  for (const id of (listIds(context.root) ?? []).sort()) {
    try {
      const directory = stateDirOf(context.root, id);
      const state = loadState(directory);
      containers.push(viewOf(directory, state, ownerName(ownerUid(directory), names)));
    } catch (thrown) {
      const problem = toRuncellError(thrown);
      // Gone between the listing and the reading: no problem.
      if (problem.code !== 'state.missing') problems.push(problem);
    }
  }
  return { containers, problems };
}

/** The user's name from the host's passwd, `#uid` where it has none (runc's list). */
function ownerName(uid: number, names: Map<number, string>): string {
  if (names.size === 0) readNames(names);
  return names.get(uid) ?? `#${uid}`;
}

function readNames(names: Map<number, string>): void {
  let text = '';
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    // A host without passwd: numbers are shown.
  }
  for (const line of text.split('\n').reverse()) {
    const [name, , uid] = line.split(':');
    if (name !== undefined && uid !== undefined && /^\d+$/.test(uid)) names.set(Number(uid), name);
  }
}
