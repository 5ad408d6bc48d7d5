/** The descriptors that the parts of init's program share, each with its one owner. Pure. */

import type { ProgramBuilder, Slot } from '../program/builder.ts';
import type { Draft } from './draft.ts';

/** Opened by the stage, inherited by init through the clone. */
export interface StageFds {
  /** The rootfs: a detached tree, or a directory handle where there is no mount namespace. */
  readonly root: Slot;
  /** The cgroup to be born in, for the clone alone. */
  readonly cgroup: Slot;
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
    cgroup: b.slot('cgroup'),
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

/**
 * Init, first thing: what the stage alone needed. A host directory held by a process that others in
 * a shared pid namespace can see is a way out (CVE-2016-9962). `clonesAgain`: the pidfd that is sent
 * will be of a process that init makes itself. The pidfd of init is only in the stage (clone3(2)).
 */
export function closeStageFds(
  draft: Draft,
  stage: StageFds,
  { clonesAgain = false }: { readonly clonesAgain?: boolean } = {},
): void {
  const b = draft.builder;
  b.section('', "close the stage's descriptors", 'close');
  if (draft.facts.cgroupDir !== undefined) b.call('close', [stage.cgroup]);
  if (!clonesAgain) closePidfdSocket(draft, stage);
}

/** In the process whose pidfd the clone has sent. */
export function closePidfdSocket(draft: Draft, stage: StageFds): void {
  if (draft.options.pidfdSocket !== undefined) draft.builder.call('close', [stage.pidfdSocket]);
}

/** Before the wait for start: a process that waits for days holds nothing but its FIFOs. */
export function closeOwnFds(b: ProgramBuilder, fds: readonly Slot[]): void {
  b.section('', 'close what has served', 'close');
  for (const fd of fds) b.call('close', [fd]);
}

/** Numbers of the holders' namespace handles begin here, above everything the stage opens early. */
const HOLDER_FDS_ABOVE = 40;

/** The handle of an id-mapped mount's namespace (idmap.ts). */
export function holderFd(draft: Draft, index: number): number {
  return 3 + draft.options.keepFds + HOLDER_FDS_ABOVE + index;
}
