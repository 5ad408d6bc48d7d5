/**
 * What a container of the usage document's verbs gets as 0, 1 and 2.
 *
 * Detached it keeps only regular files of its caller, as nohup(1) does with terminals: holding a
 * pipe would leave `$(runcell container run -d …)` waiting for the whole life of the container.
 */

import fs from 'node:fs';
import { RuncellError } from '../../error.ts';
import { duplicateAbove } from '../../libcontainer/native/libc.ts';
import { moveOutput } from '../../output.ts';

/** Above whatever number a container is given. */
const KEPT_FROM = 64;

/** Output of the verb itself goes on to where it went before. */
export function releaseCaller(): void {
  moveOutput(duplicateAbove(1, KEPT_FROM), duplicateAbove(2, KEPT_FROM));
  for (const fd of [0, 1, 2]) {
    if (!isRegularFile(fd)) openNull(fd);
  }
}

export function closeStdin(): void {
  openNull(0);
}

function isRegularFile(fd: number): boolean {
  try {
    return fs.fstatSync(fd).isFile();
  } catch {
    // A closed descriptor is none.
    return false;
  }
}

function openNull(fd: number): void {
  try {
    fs.closeSync(fd);
  } catch {
    // It was closed already.
  }
  const opened = fs.openSync('/dev/null', fd === 0 ? 'r' : 'w');
  if (opened !== fd) {
    const reason = `descriptor ${fd} could not be replaced, a lower one is closed`;
    throw new RuncellError({ code: 'internal', operation: 'open', target: '/dev/null', reason });
  }
}
