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
  /** Its unit, where it is one of systemd's. */
  readonly scope: { readonly unit: string; readonly user: boolean } | undefined;
  readonly noNewKeyring: boolean;
  readonly intel_rdt?: StateFile['intel_rdt'];
}

/** Before there is a process: enough for `delete --force` to find everything. */
export function initialState(initial: InitialState): StateFile {
  const { id, bundle, owned, cgroup, cgroupMade, scope, noNewKeyring, intel_rdt } = initial;
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
    created_at: rfc3339(now),
    init_start_ticks: 0,
    boot_id: readBootId(),
    namespaces: (linux.namespaces ?? []).map(({ type }) => type),
    cgroup_path: cgroup,
    cgroup_made: cgroupMade,
    ...(intel_rdt === undefined ? {} : { intel_rdt }),
    ...(annotations === undefined ? {} : { annotations }),
    owned: owned ?? {},
    rootless: false,
    systemd_cgroup: scope !== undefined,
    ...(scope === undefined ? {} : { systemd_unit: scope.unit, systemd_user: scope.user }),
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

const DAY_MS = 86_400_000;

/**
 * RFC 3339 in UTC with nanoseconds. Not by Date: its first use reads the time zone, 0.25 ms. The days
 * are counted in eras of 400 years from 0000-03-01, so that a leap day is the last of its year.
 */
export function rfc3339(epochMs: number): string {
  const days = Math.floor(epochMs / DAY_MS) + 719_468;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const leaps =
    Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leaps) / 365);
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  const ms = epochMs - Math.floor(epochMs / DAY_MS) * DAY_MS;
  const digits = (value: number, width: number): string => String(value).padStart(width, '0');
  const seconds = Math.floor(ms / 1000);
  const time = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const clock = time.map((part) => digits(part, 2)).join(':');
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}T${clock}.${digits(ms % 1000, 3)}000000Z`;
}
