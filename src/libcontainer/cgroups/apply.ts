/**
 * Limits put into force in a group, all of them or none.
 *
 * They are written before the group has its first process (clone3 with CLONE_INTO_CGROUP makes init
 * in it), so that they hold from the first instruction; of `update`, while processes run. What was in
 * a file is remembered and written back when a later write is refused.
 */

import type { LinuxResources } from '@opencontainers-ts/spec';
import { type ErrorFields, RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import { checkControllers, enableControllers } from './controllers.ts';
import { GroupDirectory } from './files.ts';
import { type LimitOptions, type LimitWrite, limitWrites, neededControllers } from './resources.ts';
import { rollbackValue } from './rollback.ts';

export interface LimitRequest extends LimitOptions {
  /** Where cgroup2 is mounted. */
  readonly root: string;
  /** The group, which exists. */
  readonly directory: string;
  readonly resources: LinuxResources;
}

/** What was changed. */
export interface Applied {
  /** Writes back what was in force, as far as that goes; the errors are somebody else's. */
  restore(): void;
}

/** Throws where the hierarchy has no controller for a limit; nothing is touched. */
export function checkLimits(root: string, resources: LinuxResources, options: LimitOptions): void {
  checkControllers(root, neededControllers(resources, options));
}

/** Turns controllers on and writes the limits. */
export function applyLimits(request: LimitRequest): Applied {
  const { root, directory, resources } = request;
  enableControllers(root, directory, neededControllers(resources, request));
  using group = new GroupDirectory(directory);
  checkUsage(group, resources, request.at);
  const undone: Undo[] = [];
  try {
    for (const write of limitWrites(resources, group, request)) carryOut(group, write, undone);
  } catch (thrown) {
    writeBack(group, undone);
    throw thrown;
  }
  return { restore: () => restore(directory, undone) };
}

interface Undo {
  readonly file: string;
  readonly value: string;
  /** Written where `value` is refused. */
  readonly instead?: string;
}

function restore(directory: string, undone: readonly Undo[]): void {
  using group = new GroupDirectory(directory);
  writeBack(group, undone);
}

function writeBack(group: GroupDirectory, undone: readonly Undo[]): void {
  for (const { file, value, instead } of [...undone].reverse()) {
    if (group.write(file, value) !== 0 && instead !== undefined) group.write(file, instead);
  }
}

/** What brings the file back to `before`. */
function undoOf(group: GroupDirectory, { file, value }: LimitWrite, before: string): Undo {
  const undo = { file, value: rollbackValue(file, value, before) };
  // With processes in the group its set cannot be emptied again (ENOSPC): what an empty one stands for.
  const cpuset = file === 'cpuset.cpus' || file === 'cpuset.mems';
  return cpuset ? { ...undo, instead: group.read(`${file}.effective`).trim() } : undo;
}

function carryOut(group: GroupDirectory, write: LimitWrite, undone: Undo[]): void {
  const { file, value, tolerated = [] } = write;
  const before = group.read(file);
  if (before === '' && write.lifts === true && !group.has(file)) return;
  const undo = undoOf(group, write, before);
  if (file === 'memory.max') reclaim(group, value, undone);
  const errno = group.write(file, value);
  if (errno === 0) undone.push(undo);
  else if (!tolerated.includes(errno)) throw writeError(group, write, errno);
}

/** memory.checkBeforeUpdate: a limit that what is in use already exceeds is refused. */
function checkUsage(group: GroupDirectory, { memory }: LinuxResources, at: string): void {
  if (memory?.checkBeforeUpdate !== true) return;
  const current = group.read('memory.current').trim();
  if (current === '') return;
  const prefix = at === '' ? '' : `${at}.`;
  const refuse = (field: string, what: string, limit: bigint): void => {
    if (limit <= 0n || limit > BigInt(current)) return;
    throw new RuncellError({
      code: 'state.conflict',
      specPath: `${prefix}memory.${field}`,
      reason: `rejecting ${what} limit ${limit} <= usage ${current}`,
      hint: 'memory.checkBeforeUpdate asks for this check',
    });
  };
  refuse('swap', 'memory+swap', BigInt(memory.swap ?? 0));
  refuse('limit', 'memory', BigInt(memory.limit ?? 0));
}

/**
 * A limit below what is in use makes the kernel kill as soon as it cannot reclaim fast enough. What
 * can be given back is asked for before: memory.reclaim (Linux 5.19), and on older kernels a
 * memory.high for a moment, whose writer reclaims. What is left above the limit is the kernel's to
 * decide: the specification asks for the limit.
 */
function reclaim(group: GroupDirectory, limit: string, undone: Undo[]): void {
  const current = group.read('memory.current').trim();
  if (limit === 'max' || current === '') return;
  const excess = BigInt(current) - BigInt(limit);
  if (excess <= 0n) return;
  if (group.has('memory.reclaim')) {
    // EAGAIN: less than was asked for could be had.
    group.write('memory.reclaim', String(excess));
    return;
  }
  const high = group.read('memory.high').trim();
  if (high === '' || group.write('memory.high', limit) !== 0) return;
  undone.push({ file: 'memory.high', value: high });
  group.write('memory.high', high);
}

function writeError(group: GroupDirectory, write: LimitWrite, errno: number): RuncellError {
  const { file, value, specPath } = write;
  const fields: ErrorFields = {
    code: 'kernel.operation',
    specPath,
    operation: `write ${JSON.stringify(value)} to`,
    target: `${group.path}/${file}`,
    errno,
  };
  if (errno === ERRNO.ENOENT) return new RuncellError({ ...fields, ...missingFile(write) });
  const hint = hintOf(file, errno);
  return new RuncellError(hint === undefined ? fields : { ...fields, hint });
}

function missingFile({ file, specPath }: LimitWrite): Partial<ErrorFields> {
  if (file === 'io.weight') {
    const reason = 'this kernel has neither io.bfq.weight nor io.weight';
    return { reason, hint: 'modprobe bfq, or a kernel with CONFIG_BLK_CGROUP_IOCOST' };
  }
  if (specPath.includes('hugepageLimits')) {
    return { reason: 'this kernel has no huge pages of that size' };
  }
  if (file === 'memory.swap.max') return { reason: 'this kernel does not account for swap' };
  return { reason: 'the cgroup has no such file' };
}

function hintOf(file: string, errno: number): string | undefined {
  if (file === 'cpu.weight' && errno === ERRNO.EINVAL)
    return 'an idle cgroup (cpu.idle) has no weight';
  if (file === 'cpu.max.burst' && errno === ERRNO.EINVAL)
    return 'the burst may not exceed the quota';
  if (file === 'cpuset.cpus') return 'compare /sys/devices/system/cpu/online';
  if (file === 'cpuset.mems') return 'compare /sys/devices/system/node/online';
  if (file === 'cpu.max' && errno === ERRNO.EINVAL) {
    return 'a quota is 1000 µs or more and not below the burst, a period from 1000 to 1000000 µs';
  }
  if ((file === 'io.max' || file.endsWith('.weight')) && errno === ERRNO.ENODEV) {
    return 'no whole block device has that number';
  }
  return undefined;
}
