/**
 * P4: every descriptor is born close-on-exec and has one owner, the slot it was stored in.
 *
 * A slot that is closed is not used or closed again; one that holds an open descriptor is not
 * overwritten. The exceptions are declared by number: dup3(2) onto 0, 1 and 2. Before execve
 * everything else is closed by close_range(2), whatever the process inherited (CVE-2024-21626). A
 * supervisor, which becomes the compiler again, may hand it another number and ends with the rest.
 */

import * as fcntl from '../../linux/fcntl.ts';
import * as mount from '../../linux/mount.ts';
import { CLONE_ARGS, CLONE_PIDFD } from '../../linux/sched.ts';
import { SECCOMP_FILTER_FLAG_NEW_LISTENER } from '../../linux/seccomp.ts';
import { SOCK_CLOEXEC, TIOCGPTPEER } from '../../linux/socket.ts';
import { JUMP_IF_ZERO, SUM } from '../op.ts';
import type { DecodedOp, Image, Word } from '../print/image.ts';
import { EXTRA } from '../print/names.ts';
import { type AnySyscall, signatureOf } from '../print/signatures.ts';
import { analyse, type Edge, type Facts } from './flow.ts';

type Add = (op: DecodedOp, text: string) => void;

interface Birth {
  /** The argument with the flag that makes the result close-on-exec. */
  readonly argument: number;
  readonly flag: number;
}

const O_CLOEXEC = fcntl.O_CLOEXEC;

/** Calls whose result is a new descriptor; `undefined`: always close-on-exec. */
const BIRTHS: Readonly<Record<string, Birth | undefined>> = {
  openat: { argument: 2, flag: O_CLOEXEC },
  openat2: undefined, // its flags are in the struct
  memfd_create: { argument: 1, flag: fcntl.MFD_CLOEXEC },
  socket: { argument: 1, flag: SOCK_CLOEXEC },
  accept4: { argument: 3, flag: SOCK_CLOEXEC },
  fsopen: { argument: 1, flag: mount.FSOPEN_CLOEXEC },
  fsmount: { argument: 1, flag: mount.FSMOUNT_CLOEXEC },
  fspick: { argument: 2, flag: EXTRA['FSPICK_CLOEXEC']! },
  open_tree: { argument: 2, flag: mount.OPEN_TREE_CLOEXEC },
  eventfd2: { argument: 1, flag: O_CLOEXEC },
  epoll_create1: { argument: 0, flag: O_CLOEXEC },
  inotify_init1: { argument: 0, flag: O_CLOEXEC },
  signalfd4: { argument: 3, flag: O_CLOEXEC },
  bpf: undefined,
  pidfd_open: undefined,
  pidfd_getfd: undefined,
};

const SWEPT = 'swept';

export function descriptorProblems(
  image: Image,
  rules: { readonly isSupervisor: boolean },
  add: Add,
): void {
  for (const op of image.ops) {
    const problem = birthProblem(image, op, rules);
    if (problem !== undefined) add(op, `P4: ${problem}`);
  }
  const before = analyse(image, new Map(), (facts, op, edge) => after(image, facts, op, edge));
  for (const op of image.ops) {
    const facts = before[op.index];
    if (facts === undefined) continue;
    for (const problem of useProblems(image, op, facts)) add(op, `P4: ${problem}`);
    if (rules.isSupervisor) continue;
    for (const problem of endProblems(image, op, facts)) add(op, `P4: ${problem}`);
  }
}

function birthProblem(
  image: Image,
  op: DecodedOp,
  rules: { readonly isSupervisor: boolean },
): string | undefined {
  const name = image.syscall(op.nr);
  if (name === undefined) return undefined;
  if (name === 'dup') return 'dup makes a descriptor that survives execve';
  if (name === 'fcntl') return fcntlProblem(op);
  if (name === 'dup3') {
    const [, to, flags] = op.args as [Word, Word, Word];
    const isDeclared = !to.loaded && (to.value <= 2n || rules.isSupervisor);
    return isDeclared || has(flags, O_CLOEXEC) ? undefined : 'dup3 is not close-on-exec';
  }
  if (name === 'pipe2')
    return has(op.args[1]!, O_CLOEXEC) ? undefined : 'pipe2 is not close-on-exec';
  if (name === 'openat2') {
    const flags = image.read(op.args[2]!.value, 8) ?? 0n;
    return (flags & BigInt(O_CLOEXEC)) === 0n ? 'openat2 is not close-on-exec' : undefined;
  }
  if (name === 'ioctl' && op.args[1]!.value === BigInt(TIOCGPTPEER)) {
    return has(op.args[2]!, O_CLOEXEC) ? undefined : 'TIOCGPTPEER is not close-on-exec';
  }
  const birth = BIRTHS[name];
  if (birth === undefined || has(op.args[birth.argument]!, birth.flag)) return undefined;
  return `${name} is not close-on-exec`;
}

/** A descriptor loses the flag only by its number: that is how the kept ones are declared. */
function fcntlProblem(op: DecodedOp): string | undefined {
  const [fd, command, argument] = op.args as [Word, Word, Word];
  if (command.value === BigInt(fcntl.F_DUPFD)) return 'F_DUPFD is not close-on-exec';
  const isKept = command.value === BigInt(fcntl.F_SETFD) && !has(argument, fcntl.FD_CLOEXEC);
  return isKept && fd.loaded ? 'F_SETFD keeps a descriptor that is not declared' : undefined;
}

function has(word: Word, flag: number): boolean {
  return !word.loaded && (word.value & BigInt(flag)) === BigInt(flag);
}

/** What is known of each place after `op` on `edge`: `open`, `closed`, or nothing. */
function after(image: Image, facts: Facts, op: DecodedOp, edge: Edge): Facts {
  const name = image.syscall(op.nr);
  const key = String(op.result);
  if (name === 'close' && op.args[0]!.loaded) {
    return new Map(facts).set(String(op.args[0]!.value), 'closed');
  }
  if (name === 'close_range') {
    const toTheEnd = BigInt.asUintN(32, op.args[1]!.value) === 0xffffffffn;
    return toTheEnd ? new Map(facts).set(SWEPT, 'yes') : facts;
  }
  if (name === 'clone3') return afterClone(image, facts, op, edge);
  if (op.result === 0n) return facts;
  const next = new Map(facts);
  next.delete(key);
  if (!makesDescriptor(image, op)) return next;
  if (edge.result === 'ok') next.set(key, 'open');
  if (edge.result === 'error') next.set(key, 'closed');
  return next;
}

/** The parent alone gets the pidfd: the kernel writes it when the child's memory is copied already. */
function afterClone(image: Image, facts: Facts, op: DecodedOp, edge: Edge): Facts {
  const next = new Map(facts);
  next.delete(String(op.result));
  const args = op.args[0]!.value;
  const flags = image.read(args + BigInt(CLONE_ARGS.flags), 8) ?? 0n;
  const isChild = (op.flags & JUMP_IF_ZERO) !== 0 && edge.to === op.target;
  if ((flags & BigInt(CLONE_PIDFD)) === 0n || isChild || edge.result !== 'ok') return next;
  const place = image.read(args + BigInt(CLONE_ARGS.pidfd), 8);
  return place === undefined ? next : next.set(String(place), 'open');
}

function makesDescriptor(image: Image, op: DecodedOp): boolean {
  const name = image.syscall(op.nr);
  if (name === 'ioctl') return op.args[1]!.value === BigInt(TIOCGPTPEER);
  if (name === 'seccomp') return has(op.args[1]!, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  return name !== undefined && name in BIRTHS;
}

function useProblems(image: Image, op: DecodedOp, facts: Facts): string[] {
  const name = image.syscall(op.nr) as AnySyscall | undefined;
  const problems: string[] = [];
  if (name === undefined) return problems;
  signatureOf(name, op.args).forEach((kind, k) => {
    const word = op.args[k]!;
    if ((kind !== 'fd' && kind !== 'dirFd') || !word.loaded) return;
    if (facts.get(String(word.value)) === 'closed') {
      problems.push(`${name} uses ${wordName(image, word.value)}, which is closed`);
    }
  });
  return problems;
}

/** What must not happen in a process that becomes the container's. */
function endProblems(image: Image, op: DecodedOp, facts: Facts): string[] {
  const problems: string[] = [];
  if (op.result !== 0n && facts.get(String(op.result)) === 'open' && isPlainStore(op)) {
    problems.push(`${wordName(image, op.result)} is overwritten while its descriptor is open`);
  }
  if (image.syscall(op.nr) === 'execve' && facts.get(SWEPT) !== 'yes') {
    problems.push('execve without close_range before it');
  }
  return problems;
}

function wordName(image: Image, address: bigint): string {
  return image.pageWord(address) ?? `word ${address}`;
}

/** A sum of the place itself does not lose what is in it. */
function isPlainStore(op: DecodedOp): boolean {
  return op.nr !== SUM || !op.args.some((word) => word.loaded && word.value === op.result);
}
