/**
 * What a container is doing now. Status is derived, never believed: from the pid with its start time
 * and boot, the exec FIFO, and the cgroup's freezer (runtime-cli.md §3.1).
 */

import { statSync } from 'node:fs';
import { isFrozen } from '../cgroups/v2.ts';
import { initWaits } from '../store/exec-fifo.ts';
import { isSameProcess } from '../store/process.ts';
import { loadState, type StateFile } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { locateState } from './locate.ts';

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

export interface ContainerView {
  readonly id: string;
  /** 0 when stopped. */
  readonly pid: number;
  readonly status: Status;
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339, UTC, nanoseconds. */
  readonly createdAt: string;
  readonly ociVersion: string;
  readonly annotations?: Record<string, string>;
  readonly owner: string;
}

export function statusOf(directory: string, state: StateFile): Status {
  if (!initAlive(state)) return 'stopped';
  if (state.status === 'Creating') return 'creating';
  if (state.cgroup_path !== '' && isFrozen(state.cgroup_path)) return 'paused';
  return initWaits(directory) ? 'created' : 'running';
}

/** Whether the recorded init still lives: number, start time and boot must agree. */
export function initAlive(state: StateFile): boolean {
  if (state.init_process_pid === 0) return false;
  return isSameProcess({
    pid: state.init_process_pid,
    startTicks: state.init_start_ticks,
    bootId: state.boot_id,
  });
}

export function viewContainer(context: Context, id: string): ContainerView {
  const directory = locateState(context, id);
  return viewOf(directory, loadState(directory), '');
}

export function viewOf(directory: string, state: StateFile, owner: string): ContainerView {
  const status = statusOf(directory, state);
  return {
    id: state.id,
    pid: status === 'stopped' ? 0 : state.init_process_pid,
    status,
    bundle: state.bundle,
    rootfs: state.rootfs,
    createdAt: state.created_at,
    ociVersion: state.oci_version,
    ...(state.annotations === undefined ? {} : { annotations: { ...state.annotations } }),
    owner,
  };
}

/** Owner of the state directory, for `list`. */
export function ownerUid(directory: string): number {
  return statSync(directory).uid;
}
