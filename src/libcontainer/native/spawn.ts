/**
 * Starting a process by posix_spawn(3), without child_process (10 ms of loading).
 *
 * glibc makes the child by clone(CLONE_VM | CLONE_VFORK): nothing of Node is copied, and Node
 * waits until the execve. The child begins with every signal at its default, none blocked, and
 * with the descriptors asked for alone. glibc's own two signals (32 and 33) would be left ignored
 * in the child if they were not in the default set (sysdeps/unix/sysv/linux/spawni.c), hence all
 * 64 bits. posix_spawn_file_actions_adddup2(3) with equal numbers clears close-on-exec (2.29+).
 */

import { closeSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { Block, keep, vectorSize } from './block.ts';
import { type AsyncNativeFunction, openKoffi } from './koffi.ts';
import { closeOnExecFrom, cString, duplicateAbove } from './libc.ts';

export interface Descriptor {
  /** Our number. */
  readonly from: number;
  /** The child's number. */
  readonly to: number;
}

export interface SpawnRequest {
  readonly path: string;
  readonly args: readonly string[];
  /** NAME=value each, or the same as bytes with their NULs (what UTF-8 cannot express). */
  readonly env: readonly string[] | Uint8Array;
  /** What the child has; everything else is closed. No two have the same `to`. */
  readonly descriptors: readonly Descriptor[];
  /** Absent: ours. */
  readonly directory?: string | undefined;
  /** Whether the child leads a session and process group of its own. */
  readonly newSession?: boolean;
}

/**
 * posix_spawnattr_t: i16 flags at 0, i32 process group at 4, the signals to reset at 8 and those
 * to block at 136 (1024 bits each). Written by hand, since each accessor would have to be declared;
 * a unit test compares with what the accessors write.
 */
export const SPAWN_ATTRIBUTES = { size: 336, flags: 0, defaults: 8, mask: 136 } as const;
/** posix_spawn_file_actions_t; all zero is its initial state. */
const FILE_ACTIONS_SIZE = 80;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

const functions: Record<string, AsyncNativeFunction> = {};

function libcFunction(name: string, args: readonly string[]): AsyncNativeFunction {
  let found = functions[name];
  if (found === undefined) {
    found = openKoffi().load(null).func(name, 'int', args);
    functions[name] = found;
  }
  return found;
}

/** Starts the program and gives its pid; an error of the execve is thrown here, not lost. */
export function spawnProcess(request: SpawnRequest): number {
  const args = request.args.map(cString);
  const env = encodeEnv(request.env);
  const block = keep(new Block(vectorSize(args) + vectorSize(env) + 1024));
  const attributes = writeAttributes(block, request.newSession === true);
  const actions = block.take(FILE_ACTIONS_SIZE);
  const argv = block.putVector(args);
  const envp = block.putVector(env);
  const path = cString(request.path);
  const pid = new Int32Array(1);
  closeOnExecFrom(3);
  const moved = addDescriptors(block.address(actions), request.descriptors);
  try {
    if (request.directory !== undefined) addDirectory(block.address(actions), request.directory);
    const spawn = libcFunction('posix_spawn', POINTERS);
    const [a, b, c, d] = [actions, attributes, argv, envp].map((at) => block.address(at));
    const errno = spawn(pid, path, a!, b!, c!, d!);
    if (errno !== 0) {
      const target = request.path;
      throw new RuncellError({ code: 'kernel.operation', operation: 'execve', target, errno });
    }
  } finally {
    for (const fd of moved) closeSync(fd);
  }
  return pid[0]!;
}

const POINTERS = ['void *', 'void *', 'void *', 'void *', 'void *', 'void *'] as const;

function encodeEnv(env: readonly string[] | Uint8Array): Uint8Array[] {
  if (!(env instanceof Uint8Array)) return env.map(cString);
  const strings: Uint8Array[] = [];
  for (let start = 0; start < env.length; ) {
    const end = env.indexOf(0, start);
    if (end === -1) break;
    strings.push(env.subarray(start, end + 1));
    start = end + 1;
  }
  return strings;
}

function writeAttributes(block: Block, newSession: boolean): number {
  const at = block.take(SPAWN_ATTRIBUTES.size);
  const session = newSession ? POSIX_SPAWN_SETSID : 0;
  const flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | session;
  block.view.setInt16(at + SPAWN_ATTRIBUTES.flags, flags, true);
  block.view.setUint32(at + SPAWN_ATTRIBUTES.defaults, 0xffffffff, true);
  block.view.setUint32(at + SPAWN_ATTRIBUTES.defaults + 4, 0xffffffff, true);
  return at;
}

/**
 * Adds a dup2 a descriptor. A source whose number another descriptor is to get is moved out of the
 * way first; the numbers so made are returned and closed after the spawn.
 */
function addDescriptors(actions: bigint, descriptors: readonly Descriptor[]): number[] {
  const addDup2 = libcFunction('posix_spawn_file_actions_adddup2', ['void *', 'int', 'int']);
  const highest = descriptors.reduce((max, { to }) => Math.max(max, to), 2);
  const moved: number[] = [];
  for (const { from, to } of descriptors) {
    const taken = from !== to && descriptors.some((other) => other.to === from);
    const source = taken ? duplicateAbove(from, highest + 1) : from;
    if (taken) moved.push(source);
    addDup2(actions, source, to);
  }
  return moved;
}

function addDirectory(actions: bigint, directory: string): void {
  const name = 'posix_spawn_file_actions_addchdir_np';
  libcFunction(name, ['void *', 'void *'])(actions, cString(directory));
}
