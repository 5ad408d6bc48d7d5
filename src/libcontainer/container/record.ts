/** The state file of a container at its two turns: claimed, and created. */

import type { Bundle } from '../../oci/bundle.ts';
import { OCI_VERSION } from '../../oci/validate/document.ts';
import { readBootId, readProcStat, startTimeEpoch } from '../store/process.ts';
import { namespacePathsOf, type StateFile } from '../store/state-file.ts';

export interface InitialState {
  readonly id: string;
  readonly bundle: Bundle;
  readonly owned: { readonly bundle?: string; readonly image?: string } | undefined;
  readonly cgroup: string;
  readonly cgroupMade: readonly string[];
  readonly noNewKeyring: boolean;
}

/** Before there is a process: enough for `delete --force` to find everything. */
export function initialState(initial: InitialState): StateFile {
  const { id, bundle, owned, cgroup, cgroupMade, noNewKeyring } = initial;
  const { annotations, linux, process } = bundle.config;
  const now = Date.now();
  return {
    id,
    init_process_pid: 0,
    init_process_start_time: 0,
    status: 'Creating',
    bundle: bundle.bundleDir,
    rootfs: bundle.rootfsPath,
    created: Math.floor(now / 1000),
    namespace_paths: {},
    version: 1,
    oci_version: OCI_VERSION,
    created_at: new Date(now).toISOString().replace('Z', '000000Z'),
    init_start_ticks: 0,
    boot_id: readBootId(),
    namespaces: (linux.namespaces ?? []).map(({ type }) => type),
    cgroup_path: cgroup,
    cgroup_made: cgroupMade,
    ...(annotations === undefined ? {} : { annotations }),
    owned: owned ?? {},
    rootless: false,
    systemd_cgroup: false,
    terminal: process.terminal === true,
    no_new_keyring: noNewKeyring,
  };
}

export function createdState(state: StateFile, pid: number): StateFile {
  const stat = readProcStat(pid);
  const ticks = stat?.startTicks ?? 0;
  return {
    ...state,
    init_process_pid: pid,
    init_process_start_time: startTimeEpoch(ticks),
    init_start_ticks: ticks,
    status: 'Created',
    namespace_paths: namespacePathsOf(pid),
  };
}
