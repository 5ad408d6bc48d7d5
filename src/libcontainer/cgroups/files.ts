/**
 * Reads and writes of files of a cgroup2 group, each write one write(2) into a file that exists
 * (cgroups(7)). A group's directory is opened once and its filesystem compared, and files are opened
 * below that descriptor by a name of one component, never created (security.md H22).
 */

import { closeSync, constants, openSync, readFileSync, statfsSync, writeSync } from 'node:fs';
import { RuncellError, toRuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import { O_PATH } from '../linux/fcntl.ts';
import { CGROUP2_SUPER_MAGIC } from '../linux/stat.ts';

/** Content of a file of a group, '' when the group is gone or the file is not readable as such. */
export function readGroupFile(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (thrown) {
    const { errno } = thrown as NodeJS.ErrnoException;
    const expected: number[] = [ERRNO.ENOENT, ERRNO.ENODEV, ERRNO.EOPNOTSUPP];
    if (expected.includes(Math.abs(errno ?? 0))) return '';
    throw thrown;
  }
}

/** Writes the whole value at once; the errno of a failure, 0 for success. */
export function writeGroupFile(path: string, value: string): number {
  const { O_WRONLY, O_NOFOLLOW } = constants;
  let fd: number | undefined;
  try {
    fd = openSync(path, O_WRONLY | O_NOFOLLOW);
    writeSync(fd, value);
    return 0;
  } catch (thrown) {
    const { errno } = thrown as NodeJS.ErrnoException;
    if (errno === undefined) throw thrown;
    return Math.abs(errno);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** A group held by its directory: whatever is moved or mounted over its path, it stays this one. */
export class GroupDirectory {
  readonly path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.path = path;
    const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
    try {
      this.#fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    } catch (thrown) {
      throw toRuncellError(thrown, { operation: 'open the cgroup', target: path });
    }
    if (statfsSync(this.#place('.')).type === CGROUP2_SUPER_MAGIC) return;
    this.close();
    const reason = 'is not on a cgroup2 filesystem';
    throw new RuncellError({ code: 'kernel.unsupported', target: path, reason });
  }

  #place(file: string): string {
    return `/proc/self/fd/${this.#fd}/${file}`;
  }

  /** '' where the file is not. */
  read(file: string): string {
    return readGroupFile(this.#place(file));
  }

  has(file: string): boolean {
    try {
      closeSync(openSync(this.#place(file), O_PATH | constants.O_NOFOLLOW));
      return true;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw thrown;
    }
  }

  /** The errno, 0 for success. */
  write(file: string, value: string): number {
    return writeGroupFile(this.#place(file), value);
  }

  close(): void {
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
