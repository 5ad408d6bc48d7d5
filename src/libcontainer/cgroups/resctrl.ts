/**
 * The resctrl filesystem: classes of service for caches and memory bandwidth, and their counters
 * (Documentation/filesystems/resctrl.rst). Loaded late: few machines have it.
 *
 *     ROOT/                    the default class        ROOT/CLASS/     made by mkdir(2)
 *       schemata                 L3:0=fffff;1=fffff      MB:0=100;1=100
 *       tasks                    thread ids; a write moves one, clones are where their parent is
 *       mon_groups/NAME/tasks    counts some of the class's tasks apart
 *       mon_data/mon_L3_00/      llc_occupancy, mbm_total_bytes, mbm_local_bytes
 *     ROOT/info/               L3 MB L3_MON: what the machine has; last_cmd_status: why a write failed
 */

import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import { RuncellError, toRuncellError } from '../../error.ts';
import { unescapeMountinfo } from '../host/cgroup-mode.ts';
import { ERRNO } from '../linux/errno.ts';

/** Without O_CREAT: a file that the kernel did not make is none. */
const EXISTING = constants.O_WRONLY | constants.O_TRUNC;

/** Where resctrl is mounted, by the lines of /proc/self/mountinfo; undefined: nowhere. */
export function resctrlMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    if (line.includes(' - resctrl ')) return unescapeMountinfo(line.split(' ')[4]!);
  }
  return undefined;
}

/** The mount of this machine; `specPath` is who needs it. */
export function findResctrl(specPath: string): Resctrl {
  const root = resctrlMount(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (root !== undefined) return new Resctrl(root);
  throw new RuncellError({
    code: 'kernel.unsupported',
    specPath,
    reason: 'the resctrl filesystem is not mounted',
    hint: 'on a machine that has it: mount -t resctrl resctrl /sys/fs/resctrl',
  });
}

/** The filesystem, by its mount point. Groups are named relative to it, '' is the default class. */
export class Resctrl {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  path(group: string): string {
    return group === '' ? this.root : `${this.root}/${group}`;
  }

  has(group: string): boolean {
    return existsSync(this.path(group));
  }

  /** Whether the machine has the resource: L3, MB, L3_MON. */
  supports(resource: string): boolean {
    return existsSync(`${this.root}/info/${resource}`);
  }

  read(group: string, file: string): string {
    try {
      return readFileSync(`${this.path(group)}/${file}`, 'latin1');
    } catch (thrown) {
      throw this.#told(thrown, 'read', `${this.path(group)}/${file}`);
    }
  }

  /** One write(2), as the kernel takes a file's lines. */
  write(group: string, file: string, text: string): void {
    try {
      const fd = openSync(`${this.path(group)}/${file}`, EXISTING);
      try {
        writeSync(fd, text);
      } finally {
        closeSync(fd);
      }
    } catch (thrown) {
      throw this.#told(thrown, 'write', `${this.path(group)}/${file}`);
    }
  }

  make(group: string): void {
    try {
      this.makeDirectory(this.path(group));
    } catch (thrown) {
      throw this.#told(thrown, 'make the group', this.path(group));
    }
  }

  /** Tasks of a group that is removed are of the class above. */
  remove(group: string): void {
    try {
      this.removeDirectory(this.path(group));
    } catch (thrown) {
      if (errnoOf(thrown) !== ERRNO.ENOENT) {
        throw this.#told(thrown, 'remove the group', this.path(group));
      }
    }
  }

  /** The kernel fills the directory. */
  protected makeDirectory(path: string): void {
    mkdirSync(path, 0o755);
  }

  /** The kernel empties it. */
  protected removeDirectory(path: string): void {
    rmdirSync(path);
  }

  /** Directories of counters, one a cache: `mon_L3_00`. */
  domains(group: string): string[] {
    try {
      return readdirSync(`${this.path(group)}/mon_data`).sort();
    } catch (thrown) {
      if (errnoOf(thrown) === ERRNO.ENOENT) return [];
      throw toRuncellError(thrown);
    }
  }

  /** The kernel's words for what was wrong, where it has any. */
  #told(thrown: unknown, operation: string, target: string): RuncellError {
    const fields = { operation, target };
    const words = this.#lastStatus();
    return toRuncellError(thrown, words === undefined ? fields : { ...fields, reason: words });
  }

  #lastStatus(): string | undefined {
    try {
      const text = readFileSync(`${this.root}/info/last_cmd_status`, 'latin1').trim();
      return text === 'ok' || text === '' ? undefined : text.replaceAll('\n', '; ');
    } catch {
      // Linux 4.18+; without it the errno has to do.
      return undefined;
    }
  }
}

function errnoOf(thrown: unknown): number {
  return Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
}
