/**
 * Device filters of a cgroup from the compiler's side: loaded, attached, replaced in one step, and why
 * the kernel refused one (bpf(2); cgroups(7)). Loaded late: the stage of a create attaches by itself.
 *
 * A group can have many filters, and all have to allow. Ours is the one of the name that we load with;
 * those of others (systemd's DeviceAllow=, an engine's) stay, for they only take away.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { RuncellError, toRuncellError } from '../../error.ts';
import {
  BPF_ATTR_ATTACH_BPF_FD,
  BPF_ATTR_ATTACH_FLAGS,
  BPF_ATTR_ATTACH_TYPE,
  BPF_ATTR_INFO,
  BPF_ATTR_INFO_BPF_FD,
  BPF_ATTR_INFO_LEN,
  BPF_ATTR_INSN_CNT,
  BPF_ATTR_INSNS,
  BPF_ATTR_LICENSE,
  BPF_ATTR_LOG_BUF,
  BPF_ATTR_LOG_LEVEL,
  BPF_ATTR_LOG_SIZE,
  BPF_ATTR_PROG_ID,
  BPF_ATTR_PROG_NAME,
  BPF_ATTR_PROG_TYPE,
  BPF_ATTR_QUERY_PROG_CNT,
  BPF_ATTR_QUERY_PROG_IDS,
  BPF_ATTR_QUERY_TARGET_FD,
  BPF_ATTR_QUERY_TYPE,
  BPF_ATTR_REPLACE_BPF_FD,
  BPF_ATTR_SIZE,
  BPF_ATTR_TARGET_FD,
  BPF_CGROUP_DEVICE,
  BPF_CGROUP_MAX_PROGS,
  BPF_F_ALLOW_MULTI,
  BPF_F_REPLACE,
  BPF_INSN_SIZE,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_ATTACH,
  BPF_PROG_DETACH,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_LOAD,
  BPF_PROG_QUERY,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  DEVICE_FILTER_LICENSE,
  DEVICE_FILTER_NAME,
  PROG_INFO_NAME,
  PROG_INFO_SIZE,
} from '../linux/bpf.ts';
import { ERRNO } from '../linux/errno.ts';
import { Block, keep } from '../native/block.ts';
import { cString, syscall } from '../native/libc.ts';

const AT = 'linux.resources.devices';
/** As much as the verifier may say; it keeps the end where that is not enough (Linux 6.4). */
const LOG_SIZE = 1 << 16;

/** What a group has: ids of the kernel, ours apart. */
export interface AttachedFilters {
  readonly ours: readonly number[];
  readonly others: readonly number[];
}

/**
 * Makes `filter` the container's one filter. There is no moment without one: the old one is replaced
 * by its descriptor (BPF_F_REPLACE), and what else of ours a killed verb left is detached after it.
 */
export function replaceDeviceFilter(directory: string, filter: Uint8Array): void {
  withDescriptor(openGroup(directory), (group) => {
    const [old, ...left] = query(group).ours;
    withDescriptor(load(filter), (fresh) => {
      if (old === undefined) attach(group, fresh);
      else withDescriptor(byId(old), (stale) => attach(group, fresh, stale));
    });
    for (const id of left) withDescriptor(byId(id), (stale) => detach(group, stale));
  });
}

/** The filters that are attached to the group itself. */
export function attachedFilters(directory: string): AttachedFilters {
  return withDescriptor(openGroup(directory), query);
}

/** The last words of the verifier about a filter that it does not take; nothing when it does. */
export function verifierReason(filter: Uint8Array): string | undefined {
  const { fd, log } = tryLoad(filter, true);
  if (fd >= 0) closeSync(fd);
  const lines = log.split('\n').filter((line) => line !== '' && !line.startsWith('processed '));
  return fd >= 0 ? undefined : lines.at(-1);
}

function openGroup(directory: string): number {
  try {
    return openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (thrown) {
    throw toRuncellError(thrown, { specPath: AT, operation: 'open the cgroup' });
  }
}

function withDescriptor<Result>(fd: number, use: (fd: number) => Result): Result {
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function load(filter: Uint8Array): number {
  const { fd } = tryLoad(filter, false);
  if (fd >= 0) return fd;
  return checked(fd, 'load the device filter', verifierReason(filter));
}

/** BPF_PROG_LOAD: a descriptor or -errno, and what the verifier said if it was to say something. */
function tryLoad(filter: Uint8Array, verbose: boolean): { fd: number; log: string } {
  const license = cString(DEVICE_FILTER_LICENSE);
  const logSize = verbose ? LOG_SIZE : 0;
  const block = keep(new Block(BPF_ATTR_SIZE + filter.length + license.length + logSize + 64));
  const attr = block.take(BPF_ATTR_SIZE);
  const { view } = block;
  view.setUint32(attr + BPF_ATTR_PROG_TYPE, BPF_PROG_TYPE_CGROUP_DEVICE, true);
  view.setUint32(attr + BPF_ATTR_INSN_CNT, filter.length / BPF_INSN_SIZE, true);
  block.setPointer(attr + BPF_ATTR_INSNS, block.put(filter));
  block.setPointer(attr + BPF_ATTR_LICENSE, block.put(license));
  view.setBigUint64(attr + BPF_ATTR_PROG_NAME, DEVICE_FILTER_NAME, true);
  if (!verbose) return { fd: bpf(BPF_PROG_LOAD, block), log: '' };
  const log = block.take(LOG_SIZE);
  view.setUint32(attr + BPF_ATTR_LOG_LEVEL, 1, true);
  view.setUint32(attr + BPF_ATTR_LOG_SIZE, LOG_SIZE, true);
  block.setPointer(attr + BPF_ATTR_LOG_BUF, log);
  const fd = bpf(BPF_PROG_LOAD, block);
  const text = Buffer.from(block.bytes.subarray(log)).toString('latin1');
  return { fd, log: text.slice(0, text.indexOf('\0')) };
}

function query(group: number): AttachedFilters {
  const block = keep(new Block(BPF_ATTR_SIZE + 4 * BPF_CGROUP_MAX_PROGS + 64));
  const attr = block.take(BPF_ATTR_SIZE);
  const ids = block.take(4 * BPF_CGROUP_MAX_PROGS);
  const { view } = block;
  view.setUint32(attr + BPF_ATTR_QUERY_TARGET_FD, group, true);
  view.setUint32(attr + BPF_ATTR_QUERY_TYPE, BPF_CGROUP_DEVICE, true);
  block.setPointer(attr + BPF_ATTR_QUERY_PROG_IDS, ids);
  view.setUint32(attr + BPF_ATTR_QUERY_PROG_CNT, BPF_CGROUP_MAX_PROGS, true);
  checked(bpf(BPF_PROG_QUERY, block), 'ask for the device filters');
  const count = view.getUint32(attr + BPF_ATTR_QUERY_PROG_CNT, true);
  const found = Array.from({ length: count }, (_, i) => view.getUint32(ids + 4 * i, true));
  const isOurs = (id: number): boolean => withDescriptor(byId(id), hasOurName);
  const ours = found.filter(isOurs);
  return { ours, others: found.filter((id) => !ours.includes(id)) };
}

function byId(id: number): number {
  const block = keep(new Block(BPF_ATTR_SIZE));
  block.view.setUint32(BPF_ATTR_PROG_ID, id, true);
  return checked(bpf(BPF_PROG_GET_FD_BY_ID, block), 'open a device filter');
}

function hasOurName(filter: number): boolean {
  const block = keep(new Block(BPF_ATTR_SIZE + PROG_INFO_SIZE + 64));
  const attr = block.take(BPF_ATTR_SIZE);
  const info = block.take(PROG_INFO_SIZE);
  block.view.setUint32(attr + BPF_ATTR_INFO_BPF_FD, filter, true);
  block.view.setUint32(attr + BPF_ATTR_INFO_LEN, PROG_INFO_SIZE, true);
  block.setPointer(attr + BPF_ATTR_INFO, info);
  checked(bpf(BPF_OBJ_GET_INFO_BY_FD, block), 'ask for the name of a device filter');
  return block.view.getBigUint64(info + PROG_INFO_NAME, true) === DEVICE_FILTER_NAME;
}

function attach(group: number, filter: number, instead?: number): void {
  const block = keep(new Block(BPF_ATTR_SIZE));
  const { view } = block;
  view.setUint32(BPF_ATTR_TARGET_FD, group, true);
  view.setUint32(BPF_ATTR_ATTACH_BPF_FD, filter, true);
  view.setUint32(BPF_ATTR_ATTACH_TYPE, BPF_CGROUP_DEVICE, true);
  const flags = instead === undefined ? BPF_F_ALLOW_MULTI : BPF_F_ALLOW_MULTI | BPF_F_REPLACE;
  view.setUint32(BPF_ATTR_ATTACH_FLAGS, flags, true);
  view.setUint32(BPF_ATTR_REPLACE_BPF_FD, instead ?? 0, true);
  checked(bpf(BPF_PROG_ATTACH, block), 'attach the device filter');
}

function detach(group: number, filter: number): void {
  const block = keep(new Block(BPF_ATTR_SIZE));
  block.view.setUint32(BPF_ATTR_TARGET_FD, group, true);
  block.view.setUint32(BPF_ATTR_ATTACH_BPF_FD, filter, true);
  block.view.setUint32(BPF_ATTR_ATTACH_TYPE, BPF_CGROUP_DEVICE, true);
  checked(bpf(BPF_PROG_DETACH, block), 'detach an old device filter');
}

/** The attr is the block's beginning. EAGAIN: the verifier was interrupted by a signal. */
function bpf(command: number, { bytes }: Block): number {
  for (;;) {
    const result = syscall('bpf', command, bytes, BPF_ATTR_SIZE);
    if (result !== -ERRNO.EAGAIN && result !== -ERRNO.EINTR) return result;
  }
}

function checked(result: number, operation: string, reason?: string): number {
  if (result >= 0) return result;
  const fields = { specPath: AT, operation, errno: -result, reason };
  throw new RuncellError({ code: 'kernel.operation', ...fields });
}
