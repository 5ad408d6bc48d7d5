/**
 * The descriptor table of a container's process while its programs run: a small model of the kernel
 * in which every call succeeds, or every mount point is missing. It follows init through its clones
 * and answers what is open when a section begins, when init waits for start, and at execve.
 *
 * It shares no code with the planners: it runs the encoded bytes (security.md P12).
 */

import type { Program } from '../../src/libcontainer/program/builder.ts';
import {
  CMP,
  DATA,
  DATA_BASE,
  END,
  JUMP_IF_ZERO,
  JUMP_ON_ERROR,
  SUM,
} from '../../src/libcontainer/program/op.ts';
import { type DecodedOp, Image } from '../../src/libcontainer/program/print/image.ts';

const CLONE_PARENT = 0x8000n;
const CLONE_FILES = 0x400n;
const CLONE_PIDFD = 0x1000n;
const BPF_PROG_LOAD = 5n;
const F_DUPFD_CLOEXEC = 1030n;
const TIOCGPTPEER = 0x5441n;
const ENOENT = 2;
/** Numbers that open(2) gives begin here, above those the caller left and the control socket. */
const FIRST = 200;
const CTL_FD = 100;

const OPENS = new Set([
  'openat',
  'openat2',
  'memfd_create',
  'socket',
  'fsopen',
  'fsmount',
  'open_tree',
]);

/** What was open when a section began, by what it is: a slot's name, or a number. */
export interface Moment {
  readonly section: string;
  readonly open: readonly string[];
}

export interface TraceOptions {
  /** Descriptors that are there at the beginning besides 0, 1, 2. */
  readonly initial?: Readonly<Record<number, string>>;
  /** Every path that may be missing is, so that mount points are made. */
  readonly missing?: boolean;
}

export interface Trace {
  readonly moments: readonly Moment[];
  /** At the execve of the container's program. */
  readonly executed: readonly string[];
  /** Calls on descriptors that are not open, closes of what is closed. */
  readonly misuses: readonly string[];
}

/** Runs the programs of one process after another, following the child of every CLONE_PARENT. */
export function traceDescriptors(
  programs: readonly { readonly program: Program }[],
  options: TraceOptions = {},
): Trace {
  const machine = new Machine(options);
  for (const { program } of programs) machine.run(new Image(program));
  return machine;
}

class Machine implements Trace {
  readonly moments: Moment[] = [];
  executed: string[] = [];
  readonly misuses: string[] = [];
  readonly #table = new Map<number, string>();
  readonly #page = new Map<bigint, bigint>();
  readonly #missing: boolean;
  #words = new Map<bigint, bigint>();
  #image!: Image;

  constructor({ initial = {}, missing = false }: TraceOptions) {
    this.#missing = missing;
    for (const fd of [0, 1, 2]) this.#table.set(fd, String(fd));
    for (const [fd, name] of Object.entries(initial)) this.#table.set(Number(fd), name);
    this.#table.set(CTL_FD, 'ctl');
    for (const word of [DATA.ctl, DATA.err]) {
      this.#page.set(BigInt(DATA_BASE + word), BigInt(CTL_FD));
    }
  }

  run(image: Image): void {
    this.#image = image;
    this.#words = new Map();
    let section = -1;
    for (let at = 0; ; ) {
      const op = image.ops[at];
      if (op === undefined || op.nr === END) return;
      if (image.program.sectionOf[at] !== section) {
        section = image.program.sectionOf[at]!;
        this.#begin(section);
      }
      if (image.syscall(op.nr) === 'execve') {
        this.executed = this.#open();
        return;
      }
      at = this.#step(op);
    }
  }

  #begin(section: number): void {
    const { specPath, reason } = this.#image.program.sections[section]!;
    const name = specPath === '' ? reason : `${specPath}: ${reason}`;
    this.moments.push({ section: name, open: this.#open() });
  }

  #open(): string[] {
    return [...this.#table.values()].sort();
  }

  /** The index of the next op. */
  #step(op: DecodedOp): number {
    if (this.#isMissing(op)) {
      this.#set(op.result, -2n);
      return (op.flags & JUMP_ON_ERROR) !== 0 ? op.target : op.index + 1;
    }
    const result = this.#result(op);
    this.#set(op.result, result);
    const jumps = (op.flags & JUMP_IF_ZERO) !== 0 && result === 0n;
    return jumps ? op.target : op.index + 1;
  }

  /** A path that the program expects to be missing, the first time it asks. */
  #isMissing(op: DecodedOp): boolean {
    return this.#missing && this.#image.syscall(op.nr) === 'openat2' && op.tolerated[0] === ENOENT;
  }

  #result(op: DecodedOp): bigint {
    if (op.nr === SUM) return BigInt.asUintN(64, this.#value(op, 0) + this.#value(op, 1));
    if (op.nr === CMP) return 0n;
    const name = this.#image.syscall(op.nr)!;
    if (OPENS.has(name)) return this.#add(op);
    switch (name) {
      case 'bpf':
        return this.#value(op, 0) === BPF_PROG_LOAD ? this.#add(op) : 0n;
      case 'clone3':
        return this.#clone(op);
      case 'close':
        this.#close(this.#number(op, 0), op);
        return 0n;
      case 'close_range':
        return this.#closeRange(op);
      case 'dup3':
        this.#table.set(this.#number(op, 1), String(this.#number(op, 1)));
        return this.#value(op, 1);
      case 'fcntl':
        return this.#value(op, 1) === F_DUPFD_CLOEXEC ? this.#add(op, this.#number(op, 2)) : 0n;
      case 'ioctl':
        return this.#value(op, 1) === TIOCGPTPEER ? this.#add(op) : 0n;
      case 'ppoll':
        return 1n;
      default:
        return 0n;
    }
  }

  /** The smallest free number, as the kernel takes it; what it is called is where it is stored. */
  #add(op: DecodedOp, from = FIRST): bigint {
    let number = from;
    while (this.#table.has(number)) number++;
    const name = this.#image.pageWord(op.result);
    if (name === undefined) this.misuses.push(`op ${op.index} keeps no descriptor`);
    this.#table.set(number, name ?? `op ${op.index}`);
    return BigInt(number);
  }

  #close(number: number, op: DecodedOp): void {
    if (!this.#table.delete(number)) this.misuses.push(`op ${op.index} closes ${number}`);
  }

  #closeRange(op: DecodedOp): bigint {
    const [first, last] = [this.#number(op, 0), this.#number(op, 1)];
    const isMarked = this.#value(op, 2) !== 0n;
    for (const number of [...this.#table.keys()]) {
      if (number >= first && number <= last && !isMarked) this.#table.delete(number);
    }
    return 0n;
  }

  /** In the child that goes on as init: 0; of a hook or a holder the parent goes on. */
  #clone(op: DecodedOp): bigint {
    const args = op.args[0]!.value;
    const flags = this.#image.read(args, 8)!;
    if ((flags & CLONE_PARENT) !== 0n) return 0n;
    if ((flags & CLONE_FILES) !== 0n) this.#runHolder(op);
    if ((flags & CLONE_PIDFD) !== 0n) {
      const place = this.#image.read(args + 8n, 8)!;
      const number = this.#add({ ...op, result: place });
      this.#set(place, number);
    }
    return 4711n;
  }

  /** The child shares the table: what it does until it sleeps is done to ours. */
  #runHolder(clone: DecodedOp): void {
    for (let at = clone.target; this.#image.syscall(this.#image.ops[at]!.nr) !== 'ppoll'; ) {
      at = this.#step(this.#image.ops[at]!);
    }
  }

  #number(op: DecodedOp, k: number): number {
    return Number(BigInt.asUintN(32, this.#value(op, k)));
  }

  #value(op: DecodedOp, k: number): bigint {
    const word = op.args[k]!;
    return word.loaded ? this.#get(word.value) : word.value;
  }

  #get(address: bigint): bigint {
    const known = this.#page.get(address) ?? this.#words.get(address);
    return known ?? this.#image.read(address, 8) ?? 0n;
  }

  #set(address: bigint, value: bigint): void {
    if (address === 0n) return;
    const memory = this.#image.region(address) === 'page' ? this.#page : this.#words;
    memory.set(address, value);
  }
}
