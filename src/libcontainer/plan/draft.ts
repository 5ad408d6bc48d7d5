/**
 * What the parts of a plan share: the builder of the program being written, the configuration, the
 * host's facts, the descriptors that live longer than one program, and a few op idioms.
 *
 * A draft writes one program at a time; `cut` ends it and begins the next in the same process, so
 * that the compiler can act between the two. Pure: opens no file.
 */

import type { Config } from '@opencontainers-ts/spec';
import type { HostFacts } from '../host/facts.ts';
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  OPEN_HOW_SIZE,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from '../linux/fcntl.ts';
import { MOUNT_ATTR_SIZE } from '../linux/mount.ts';
import type { NamespaceKind } from '../linux/namespace.ts';
import { STATX } from '../linux/stat.ts';
import {
  CTL,
  type Loaded,
  Loaded as LoadedWord,
  type Pointer,
  type Program,
  ProgramBuilder,
  type Slot,
  type Slots,
  type Value,
} from '../program/builder.ts';
import { MESSAGE_SIZE } from '../program/op.ts';
import type { copyUp as CopyUp } from './copy-up.ts';
import type { IdMaps } from './idmap.ts';
import type { planMemoryPolicy as PlanMemoryPolicy } from './memory-policy.ts';
import { TAG } from './messages.ts';
import type { SeccompPlan } from './seccomp.ts';

/** What the caller of a lifecycle step asks for besides the configuration. */
export interface PlanOptions {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** Directory of state.json and the exec FIFOs. */
  readonly stateDir: string;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  /** Descriptors from 3 up that the container keeps. */
  readonly keepFds: number;
  /** How many of them are LISTEN_FDS. */
  readonly listenFds: number;
  readonly consoleSocket: string | undefined;
  readonly pidfdSocket: string | undefined;
  /** `terminal: true` without a console socket: the compiler itself takes the master. */
  readonly foregroundTerminal: boolean;
  /** NOTIFY_SOCKET: host directory that is bound to /run/notify. */
  readonly notifyDir: string | undefined;
  /** The device filter that the stage attaches; none where the compiler does it, or nobody. */
  readonly deviceFilter?: Uint8Array | undefined;
  /** RLIMIT_NOFILE of the caller; Node raised the soft limit of everything below it. */
  readonly nofile: { readonly soft: bigint; readonly hard: bigint };
}

export interface DraftInput {
  readonly config: Config;
  readonly facts: HostFacts;
  readonly options: PlanOptions;
}

const PIECE_OPS = 0x8000;

export class Draft {
  readonly config: Config;
  readonly facts: HostFacts;
  readonly options: PlanOptions;
  builder: ProgramBuilder;
  /** Written at the head of every further program: a trap is gone when its program is. */
  prologue: (() => void) | undefined;
  /** How a tmpfs is filled: set where one is, few containers load it. */
  copyUp: typeof CopyUp | undefined;
  /** Set where there is a memory policy, few containers load it. */
  planMemoryPolicy: typeof PlanMemoryPolicy | undefined;
  readonly #named = new Map<string, Slot>();
  /** A program that goes before the one that is being written. */
  #before: Program | undefined;
  /** Set where there is a profile: few containers load what is behind it. */
  seccomp: SeccompPlan | undefined;
  /** The mappings of id-mapped mounts, in the order of their holders. */
  idMaps: readonly IdMaps[] = [];
  /** How they are made and used: set where there are any. */
  idmap: typeof import('./idmap.ts') | undefined;
  /** How a pty is made and used: set where `process.terminal` is true, few containers load it. */
  console: typeof import('./console.ts') | undefined;

  constructor(input: DraftInput, slots?: Slots) {
    this.config = input.config;
    this.facts = input.facts;
    this.options = input.options;
    this.builder = new ProgramBuilder(input.facts.arch, slots);
  }

  /** Ends the program and begins the next, whose slots go on where this one's were. */
  cut(): Program {
    this.builder.end();
    return this.finish();
  }

  /** Between two things of a list that may be long: a program holds 65534 ops, half of that is enough. */
  breathe(): void {
    if (this.builder.count < PIECE_OPS) return;
    sendMessage(this.builder, 'PIECE');
    this.#before = this.cut();
  }

  /** Ends the program without END: its last op leaves the process or the image. */
  finish(): Program {
    const program = this.builder.finish(this.#before);
    this.#before = undefined;
    this.builder = new ProgramBuilder(this.facts.arch, this.builder.slots);
    this.prologue?.();
    return program;
  }

  /** The slot of this name, the same one each time: for what is made anew again and again. */
  slot(name: string): Slot {
    let slot = this.#named.get(name);
    if (slot === undefined) {
      slot = this.builder.slot(name);
      this.#named.set(name, slot);
    }
    return slot;
  }

  /** Whether the namespace is one that the container does not share with the caller. */
  hasNamespace(kind: NamespaceKind): boolean {
    return this.namespacePath(kind) !== undefined && !this.facts.sameNamespaces.has(kind);
  }

  /** Without a mount namespace nothing is mounted; the root is entered by chroot(2). */
  get hasMountNamespace(): boolean {
    return this.hasNamespace('mount');
  }

  /** '' for a new namespace, the path of one to join, undefined to stay in the caller's. */
  namespacePath(kind: NamespaceKind): string | undefined {
    for (const namespace of this.config.linux?.namespaces ?? []) {
      if (namespace.type === kind) return namespace.path ?? '';
    }
    return undefined;
  }

  isNewNamespace(kind: NamespaceKind): boolean {
    return this.namespacePath(kind) === '';
  }
}

/** struct open_how. */
export function openHow(b: ProgramBuilder, flags: number, resolve: number, mode = 0): Pointer {
  return b.words([flags, mode, resolve]);
}

/** Resolution of a path of the container: below the root fd, through links but no magic ones. */
export const IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/** openat2(2) of a container path on the root descriptor, O_PATH unless said otherwise. */
export function openInRoot(
  b: ProgramBuilder,
  root: Value,
  path: string,
  into: Slot,
  options: { flags?: number; resolve?: number } & Parameters<ProgramBuilder['call']>[2] = {},
): void {
  const { flags = O_PATH | O_CLOEXEC, resolve = IN_ROOT, ...rest } = options;
  const how = openHow(b, flags, resolve);
  const name = b.string(relativePath(path));
  b.call('openat2', [root, name, how, OPEN_HOW_SIZE], { into, retry: true, ...rest });
}

/** `/a//b/../c/` as `a/c`; the root itself as `.`. Lexical: the kernel resolves links in the root. */
export function relativePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.length === 0 ? '.' : parts.join('/');
}

/** struct mount_attr {attr_set, attr_clr, propagation, userns_fd}. */
export function mountAttr(
  b: ProgramBuilder,
  attr: { set?: number; clear?: number; propagation?: number },
): { pointer: Pointer; size: number } {
  const pointer = b.words([attr.set ?? 0, attr.clear ?? 0, attr.propagation ?? 0, 0]);
  return { pointer, size: MOUNT_ATTR_SIZE };
}

/** A host path opened as a directory handle. */
export function openHostDirectory(b: ProgramBuilder, path: string, into: Slot | Pointer): void {
  const flags = O_PATH | O_DIRECTORY(b.arch) | O_CLOEXEC;
  b.call('openat', [AT_FDCWD, b.string(path), flags], { into });
}

/** A message without payload to the compiler; `a` may be a slot whose value is sent. */
export function sendMessage(
  b: ProgramBuilder,
  tag: keyof typeof TAG,
  a: Value = 0,
  options: { b?: Value; length?: Value } = {},
): void {
  const message = b.words([TAG[tag], 0, 0, 0]);
  if (a !== 0) b.sum(message.plus(8), a);
  if (options.b !== undefined) b.sum(message.plus(16), options.b);
  if (options.length !== undefined) b.sum(message.plus(24), options.length);
  b.call('write', [CTL, message, MESSAGE_SIZE], { note: `message ${tag}` });
}

export function load(pointer: Pointer): Loaded {
  return new LoadedWord(pointer);
}

/** A struct statx buffer and the words in it that programs look at. */
export function statxBuffer(b: ProgramBuilder): { buffer: Pointer; mode: Pointer; rdev: Pointer } {
  const buffer = b.scratch();
  return { buffer, mode: buffer.plus(STATX.mode), rdev: buffer.plus(STATX.rdevMajor) };
}
