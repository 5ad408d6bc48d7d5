/** The descriptors that the parts of init's program share, each with its one owner. Pure. */

import type { ProgramBuilder, Slot } from '../program/builder.ts';

/** Opened by the stage, inherited by init through the clone. */
export interface StageFds {
  /** The rootfs: a detached tree, or a directory handle where there is no mount namespace. */
  readonly root: Slot;
  readonly go: Slot;
  readonly report: Slot;
  readonly consoleSocket: Slot;
  readonly pidfdSocket: Slot;
  readonly pidfd: Slot;
}

export interface InitFds extends StageFds {
  /** The filesystem context being configured, -1 otherwise: the trap reads its messages. */
  readonly fs: Slot;
  readonly mount: Slot;
  readonly destination: Slot;
  readonly scratch: Slot;
  readonly dev: Slot;
}

export function stageFds(b: ProgramBuilder): StageFds {
  return {
    root: b.slot('root'),
    go: b.slot('go'),
    report: b.slot('report'),
    consoleSocket: b.slot('console socket'),
    pidfdSocket: b.slot('pidfd socket'),
    pidfd: b.slot('pidfd'),
  };
}

export function initFds(b: ProgramBuilder, stage: StageFds): InitFds {
  return {
    ...stage,
    fs: b.slot('fs'),
    mount: b.slot('mount'),
    destination: b.slot('destination'),
    scratch: b.slot('scratch'),
    dev: b.slot('dev'),
  };
}
