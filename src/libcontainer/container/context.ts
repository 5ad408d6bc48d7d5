/**
 * What every lifecycle step is given: where state lives, where records go, who called.
 *
 * Built once by src/main.ts; nothing below it looks at argv, stdout or the environment of Node.
 */

import type { HandOver } from '../../launcher/hand-over.ts';

export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** Who makes a container's group: runcell by files, systemd, or nobody. */
export type CgroupManager = 'cgroupfs' | 'systemd' | 'disabled';

export interface Context {
  /** Absolute path of the state root, `/run/runcell` unless `--root` says otherwise. */
  readonly root: string;
  /** Whether `--root` was given: the default root has links of its own (DESIGN.md §6). */
  readonly explicitRoot: boolean;
  readonly log: Log;
  /** The caller's environment, `KEY=value` each; never Node's own. */
  readonly env: readonly string[];
  /** The caller's working directory, absolute. */
  readonly cwd: string;
  readonly handOver: HandOver;
  readonly debug: boolean;
  /** For containers that are created: one that is there has its own in its state. */
  readonly cgroupManager: CgroupManager;
  /** The log flags as they were given, for a process that goes on with this verb. */
  readonly logArguments: readonly string[];
}
