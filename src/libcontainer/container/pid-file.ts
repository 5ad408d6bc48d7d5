/**
 * `--pid-file`: digits and nothing else, whole when it appears, replacing what is there
 * (runtime-cli.md §4.1: readers neither trim nor retry).
 */

import { closeSync, constants, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { toRuncellError } from '../../error.ts';

export function writePidFile(path: string, pid: number): void {
  const slash = path.lastIndexOf('/');
  const temporary = `${path.slice(0, slash + 1)}.${path.slice(slash + 1)}.${process.pid}`;
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
    try {
      writeSync(fd, String(pid));
      renameSync(temporary, path);
    } catch (thrown) {
      unlinkSync(temporary);
      throw thrown;
    } finally {
      closeSync(fd);
    }
  } catch (thrown) {
    throw toRuncellError(thrown, { operation: 'write the pid file', target: path });
  }
}
