/**
 * Deletes directories that a container wrote, whose content is hostile: symbolic links are removed
 * and never followed, other filesystems are never entered, and names need not be UTF-8.
 *
 * A tree is first renamed into a trash directory of our own. From there every directory that is
 * found is moved up beside it before its parent is removed, so that nothing nests: depth costs
 * neither stack nor descriptors, and a path longer than PATH_MAX is no obstacle. Each name is used
 * relative to a descriptor that was opened O_NOFOLLOW (`/proc/self/fd/N/name`, proc_pid_fd(5)), so a
 * directory that is swapped for a link meanwhile leads nowhere (CVE-2022-21658). rename(2) of a
 * mount point says EBUSY and out of another filesystem EXDEV: both end the removal.
 */

import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs';
import { type RuncellError, toRuncellError } from '../error.ts';

/** Where trees wait for their removal: a directory of our own, beside them. */
export const TRASH = 'trash';

/** A directory by descriptor; whoever opens it closes it, `using` does. */
export class OpenDirectory {
  readonly fd: number;
  /** For messages only. */
  readonly path: string;

  constructor(path: string | Buffer, shown: string = path.toString()) {
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
    this.fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.path = shown;
  }

  /** The path of the entry `name`, which must be one component. */
  at(name: string | Buffer): Buffer {
    return Buffer.concat([Buffer.from(`/proc/self/fd/${this.fd}/`), Buffer.from(name)]);
  }

  open(name: string | Buffer): OpenDirectory {
    return new OpenDirectory(this.at(name), `${this.path}/${name.toString()}`);
  }

  entries(): { name: Buffer; directory: boolean }[] {
    const found = readdirSync(`/proc/self/fd/${this.fd}`, {
      withFileTypes: true,
      encoding: 'buffer',
    });
    return found.map((entry) => ({ name: entry.name, directory: entry.isDirectory() }));
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Removes the entries `names` of `parent`, each with everything in it; missing ones are none. */
export function removeTrees(parent: OpenDirectory, names: readonly string[]): void {
  try {
    mkdirTolerant(parent.at(TRASH));
    using trash = new Trash(parent.open(TRASH));
    for (const name of names) trash.take(parent, name);
    trash.empty();
  } catch (thrown) {
    throw failed(thrown, parent);
  }
  rmdirSync(parent.at(TRASH));
}

/** Removes files and links of `parent`; missing ones are none. */
export function removeFiles(parent: OpenDirectory, names: readonly string[]): void {
  for (const name of names) {
    try {
      unlinkSync(parent.at(name));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw failed(thrown, parent);
    }
  }
}

function failed(thrown: unknown, parent: OpenDirectory): RuncellError {
  // The paths in Node's error are of descriptors, and mean nothing to a reader.
  const fields = { operation: 'remove', target: parent.path } as const;
  return toRuncellError(thrown, { code: 'storage.operation', ...fields });
}

class Trash {
  readonly #directory: OpenDirectory;
  #next = 0;
  readonly #taken: Set<string>;

  constructor(directory: OpenDirectory) {
    this.#directory = directory;
    // Names left by a removal that was killed are taken; it goes on where it was.
    this.#taken = new Set(directory.entries().map(({ name }) => name.toString()));
  }

  take(parent: OpenDirectory, name: string | Buffer): void {
    while (this.#taken.has(String(this.#next))) this.#next++;
    try {
      renameSync(parent.at(name), this.#directory.at(String(this.#next)));
      this.#next++;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    }
  }

  empty(): void {
    for (;;) {
      const waiting = this.#directory.entries();
      if (waiting.length === 0) return;
      for (const entry of waiting) {
        if (entry.directory) this.#removeDirectory(entry.name);
        else unlinkSync(this.#directory.at(entry.name));
      }
    }
  }

  #removeDirectory(name: Buffer): void {
    {
      using directory = this.#directory.open(name);
      for (const entry of directory.entries()) {
        if (entry.directory) this.take(directory, entry.name);
        else unlinkSync(directory.at(entry.name));
      }
    }
    rmdirSync(this.#directory.at(name));
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

function mkdirTolerant(path: Buffer): void {
  try {
    mkdirSync(path, 0o700);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  }
}
