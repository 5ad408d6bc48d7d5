/**
 * The device filter of the container's cgroup: loaded and attached by the stage, before the group has a
 * process (bpf(2), linux.resources.devices). Pure.
 *
 * The descriptor that clone3 takes serves here too; O_PATH is enough for both.
 */

import {
  BPF_ATTR_ATTACH_BPF_FD,
  BPF_ATTR_ATTACH_FLAGS,
  BPF_ATTR_INSN_CNT,
  BPF_ATTR_INSNS,
  BPF_ATTR_LICENSE,
  BPF_ATTR_PROG_NAME,
  BPF_ATTR_PROG_TYPE,
  BPF_ATTR_SIZE,
  BPF_ATTR_TARGET_FD,
  BPF_CGROUP_DEVICE,
  BPF_F_ALLOW_MULTI,
  BPF_INSN_SIZE,
  BPF_PROG_ATTACH,
  BPF_PROG_LOAD,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  DEVICE_FILTER_LICENSE,
  DEVICE_FILTER_NAME,
} from '../linux/bpf.ts';
import type { Slot } from '../program/builder.ts';
import type { Draft } from './draft.ts';

export function planDeviceFilter(draft: Draft, cgroup: Slot): void {
  const { deviceFilter } = draft.options;
  if (deviceFilter === undefined) return;
  const b = draft.builder;
  b.section('linux.resources.devices', 'attach the device filter');
  const load = b.space(BPF_ATTR_SIZE);
  b.setU32(load.plus(BPF_ATTR_PROG_TYPE), BPF_PROG_TYPE_CGROUP_DEVICE);
  b.setU32(load.plus(BPF_ATTR_INSN_CNT), deviceFilter.length / BPF_INSN_SIZE);
  b.setU64(load.plus(BPF_ATTR_INSNS), b.bytes(deviceFilter));
  b.setU64(load.plus(BPF_ATTR_LICENSE), b.string(DEVICE_FILTER_LICENSE));
  b.setU64(load.plus(BPF_ATTR_PROG_NAME), DEVICE_FILTER_NAME);
  const filter = b.slot('device filter');
  b.call('bpf', [BPF_PROG_LOAD, load, BPF_ATTR_SIZE], { into: filter, retry: true });
  const attach = b.space(BPF_ATTR_SIZE);
  b.sum(attach.plus(BPF_ATTR_TARGET_FD), cgroup);
  // A result is 64 bits: stored over attach_bpf_fd it is attach_type as well.
  b.sum(attach.plus(BPF_ATTR_ATTACH_BPF_FD), filter, BPF_CGROUP_DEVICE * 2 ** 32);
  b.setU32(attach.plus(BPF_ATTR_ATTACH_FLAGS), BPF_F_ALLOW_MULTI);
  b.call('bpf', [BPF_PROG_ATTACH, attach, BPF_ATTR_SIZE]);
  b.call('close', [filter]);
}
