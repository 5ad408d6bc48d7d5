/**
 * linux.resources.devices as a program of type BPF_PROG_TYPE_CGROUP_DEVICE (runtime-spec 1.3
 * config-linux.md#allowed-device-list; bpf(2)). Pure: rules in, instructions out.
 *
 * The kernel asks the program at every open and mknod in the group: 1 is yes, 0 is EPERM. What it
 * answers is what is left when nothing is allowed at first and the rules are applied in their order,
 * each to the devices and letters that it names; a rule of type `a` is about everything and nothing
 * before it counts. runc's own rules come last, as in runc: mknod of any device, the standard ones,
 * terminals, tun. One that has the path of an entry of linux.devices gives way to it, which does not
 * make that device allowed.
 *
 * runc answers the same wherever it carries a document out. It refuses a rule that takes back a part
 * of an earlier wildcard, and a wildcard leaves alone what earlier rules say about single devices: the
 * memory of cgroup v1, which could do no better. Here the last rule counts in both cases.
 *
 * The rules become a table first (for each type and major that is named, which minors may what), in
 * which rules that later ones undo are gone and equal lines are one; the instructions are its shortest
 * comparison. A document of ten rules costs about twenty instructions.
 */

import type { Linux, LinuxDeviceCgroup } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import {
  BPF_ALU_MOV_K,
  BPF_DEVCG_ACC_MKNOD,
  BPF_DEVCG_ACC_READ,
  BPF_DEVCG_ACC_SHIFT,
  BPF_DEVCG_ACC_WRITE,
  BPF_DEVCG_DEV_BLOCK,
  BPF_DEVCG_DEV_CHAR,
  BPF_EXIT,
  BPF_INSN_SIZE,
  BPF_JA,
  BPF_JMP32,
  BPF_LDX_MEM_W,
  DEVICE_CTX,
} from '../linux/bpf.ts';

/** One rule, every part of it given. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type: 'a' | 'b' | 'c';
  /** ANY for all of them. */
  readonly major: number;
  readonly minor: number;
  /** BPF_DEVCG_ACC_*. */
  readonly access: number;
}

export const ANY = -1;
const ALL = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

/** What runc appends to every document; with the path that it is the rule for. */
const DEFAULTS: readonly (readonly [path: string, type: 'b' | 'c', number, number, number])[] = [
  ['', 'c', ANY, ANY, BPF_DEVCG_ACC_MKNOD],
  ['', 'b', ANY, ANY, BPF_DEVCG_ACC_MKNOD],
  ['/dev/null', 'c', 1, 3, ALL],
  ['/dev/random', 'c', 1, 8, ALL],
  ['/dev/full', 'c', 1, 7, ALL],
  ['/dev/tty', 'c', 5, 0, ALL],
  ['/dev/zero', 'c', 1, 5, ALL],
  ['/dev/urandom', 'c', 1, 9, ALL],
  ['', 'c', 136, ANY, ALL],
  ['', 'c', 5, 2, ALL],
  ['', 'c', 10, 200, ALL],
];

/** The rules that hold for a validated configuration, in the order in which they apply. */
export function deviceRules(linux: Linux): DeviceRule[] {
  const paths = new Set(linux.devices?.map(({ path }) => path));
  const defaults = DEFAULTS.filter(([path]) => !paths.has(path));
  return [
    ...(linux.resources?.devices ?? []).map(configured),
    ...defaults.map(([, type, major, minor, access]) => ({
      allow: true,
      type,
      major,
      minor,
      access,
    })),
  ];
}

function configured(rule: LinuxDeviceCgroup): DeviceRule {
  const { allow, type, major = ANY, minor = ANY, access = '' } = rule;
  const letter = (name: string, bit: number): number => (access.includes(name) ? bit : 0);
  return {
    allow,
    type: (type || 'a') as DeviceRule['type'],
    major: Number(major),
    minor: Number(minor),
    access:
      letter('m', BPF_DEVCG_ACC_MKNOD) |
      letter('r', BPF_DEVCG_ACC_READ) |
      letter('w', BPF_DEVCG_ACC_WRITE),
  };
}

/** The filter of a validated configuration, as the kernel takes it. */
export function compileDeviceFilter(linux: Linux): Uint8Array {
  return compileDeviceRules(deviceRules(linux));
}

export function compileDeviceRules(rules: readonly DeviceRule[]): Uint8Array {
  const block = tableOf(rules, 'b');
  const char = tableOf(rules, 'c');
  return new FilterAssembler().compile(block, char);
}

// ---- the table

/** What may be done with the minors of one major: those that are named, and all others. */
interface Row {
  readonly minors: ReadonlyMap<number, number>;
  readonly others: number;
}

interface Table {
  readonly majors: ReadonlyMap<number, Row>;
  readonly others: Row;
}

function tableOf(rules: readonly DeviceRule[], type: 'b' | 'c'): Table {
  const reset = rules.findLastIndex((rule) => rule.type === 'a');
  const start = rules[reset]?.allow === true ? ALL : 0;
  const own = rules.slice(reset + 1).filter((rule) => rule.type === type);
  const others = rowOf(
    own.filter(({ major }) => major === ANY),
    start,
  );
  const majors = new Map<number, Row>();
  for (const major of numbersOf(own, 'major')) {
    const row = rowOf(
      own.filter((rule) => rule.major === ANY || rule.major === major),
      start,
    );
    if (keyOf(row) !== keyOf(others)) majors.set(major, row);
  }
  return { majors, others };
}

function rowOf(rules: readonly DeviceRule[], start: number): Row {
  const allowed = (minor: number): number => {
    let mask = start;
    for (const rule of rules) {
      if (rule.minor !== ANY && rule.minor !== minor) continue;
      mask = rule.allow ? mask | rule.access : mask & ~rule.access;
    }
    return mask;
  };
  const others = allowed(ANY);
  const minors = new Map<number, number>();
  for (const minor of numbersOf(rules, 'minor')) {
    const mask = allowed(minor);
    if (mask !== others) minors.set(minor, mask);
  }
  return { minors, others };
}

/** The numbers that rules name, ascending. */
function numbersOf(rules: readonly DeviceRule[], field: 'major' | 'minor'): number[] {
  const named = new Set(rules.map((rule) => rule[field]).filter((number) => number !== ANY));
  return [...named].sort((a, b) => a - b);
}

function keyOf({ minors, others }: Row): string {
  return `${others} ${[...minors]}`;
}

/** The one answer of a row or table that has no exceptions. */
function leafOf(table: Table): number | undefined {
  return table.majors.size === 0 ? rowLeaf(table.others) : undefined;
}

function rowLeaf(row: Row): number | undefined {
  return row.minors.size === 0 ? row.others : undefined;
}

// ---- the instructions

const R0 = 0;
/** The context: struct bpf_cgroup_dev_ctx. */
const R1 = 1;
const ACCESS_TYPE = 2;
const MAJOR = 3;
const MINOR = 4;

/** Jumps are 16 bits and signed. */
const JUMP_MAX = 0x7fff;
/** A run of minors that is worth two comparisons of its bounds. */
const RUN_MIN = 3;

class Place {
  at = -1;
}

/**
 * Emits the comparison of a table. An answer is a place at the end of the program, which all jumps to
 * it share: yes, no, or yes unless other letters are asked for than these. The verifier takes no
 * instruction that is never reached, so that only the places that are used are there.
 */
class FilterAssembler {
  readonly #insns: { code: number; registers: number; off: Place | number; imm: number }[] = [];
  readonly #answers = new Map<number, Place>();
  /** Indexes that something jumps to. */
  readonly #places = new Set<number>();

  compile(block: Table, char: Table): Uint8Array {
    const isSame = keyOfTable(block) === keyOfTable(char);
    const only = isSame ? leafOf(block) : undefined;
    if (only === undefined || (only !== 0 && only !== ALL)) {
      this.#load(ACCESS_TYPE, DEVICE_CTX.accessType);
    }
    if (only !== undefined) this.#answer(only);
    else if (isSame) this.#compare([char]);
    else this.#compareBoth(block, char);
    return this.#finish();
  }

  #compareBoth(block: Table, char: Table): void {
    const blockLeaf = leafOf(block);
    const charLeaf = leafOf(char);
    if (blockLeaf !== undefined) {
      this.#jump('set', ACCESS_TYPE, BPF_DEVCG_DEV_BLOCK, this.#answer(blockLeaf));
      this.#compare([char]);
    } else if (charLeaf !== undefined) {
      this.#jump('set', ACCESS_TYPE, BPF_DEVCG_DEV_CHAR, this.#answer(charLeaf));
      this.#compare([block]);
    } else {
      this.#compare([char, block]);
    }
  }

  /** One table, or that of character devices and that of block devices. */
  #compare(tables: readonly Table[]): void {
    if (tables.some(({ majors }) => majors.size > 0)) this.#load(MAJOR, DEVICE_CTX.major);
    if (tables.some(usesMinor)) this.#load(MINOR, DEVICE_CTX.minor);
    const [first, second] = tables;
    const next = new Place();
    if (second !== undefined) this.#jump('set', ACCESS_TYPE, BPF_DEVCG_DEV_BLOCK, next);
    this.#table(first!);
    if (second === undefined) return;
    this.#place(next);
    this.#table(second);
  }

  /** Majors with one answer are jumps to it; those with minors are a part of their own, shared by equals. */
  #table({ majors, others }: Table): void {
    const parts = new Map<string, { row: Row; majors: number[] }>();
    for (const [major, row] of majors) {
      const leaf = rowLeaf(row);
      if (leaf !== undefined) {
        this.#jump('eq', MAJOR, major, this.#answer(leaf));
        continue;
      }
      const key = keyOf(row);
      const part = parts.get(key);
      if (part === undefined) parts.set(key, { row, majors: [major] });
      else part.majors.push(major);
    }
    for (const part of parts.values()) {
      const here = new Place();
      const next = new Place();
      for (const major of part.majors.slice(1)) this.#jump('eq', MAJOR, major, here);
      this.#jump('ne', MAJOR, part.majors[0]!, next);
      this.#place(here);
      this.#row(part.row);
      this.#place(next);
    }
    this.#row(others);
  }

  #row({ minors, others }: Row): void {
    for (const [first, last, mask] of runsOf(minors)) {
      const answer = this.#answer(mask);
      if (last - first + 1 < RUN_MIN) {
        for (let minor = first; minor <= last; minor++) this.#jump('eq', MINOR, minor, answer);
      } else if (first === 0) {
        this.#jump('le', MINOR, last, answer);
      } else {
        const below = new Place();
        this.#jump('lt', MINOR, first, below);
        this.#jump('le', MINOR, last, answer);
        this.#place(below);
      }
    }
    this.#insn(BPF_JA, 0, this.#answer(others), 0);
  }

  #answer(mask: number): Place {
    let place = this.#answers.get(mask);
    if (place === undefined) {
      place = new Place();
      this.#answers.set(mask, place);
    }
    return place;
  }

  /** The answers, behind the comparison. */
  #finish(): Uint8Array {
    const yes = this.#answers.get(ALL) ?? new Place();
    const no = this.#answers.get(0) ?? new Place();
    const partial = [...this.#answers].filter(([mask]) => mask !== 0 && mask !== ALL);
    partial.forEach(([mask, place], index) => {
      this.#place(place);
      this.#jump('set', ACCESS_TYPE, (ALL & ~mask) << BPF_DEVCG_ACC_SHIFT, no);
      if (index < partial.length - 1) this.#insn(BPF_JA, 0, yes, 0);
    });
    const isAsked = (mask: number): boolean => partial.length > 0 || this.#answers.has(mask);
    for (const [mask, place, value] of [
      [ALL, yes, 1],
      [0, no, 0],
    ] as const) {
      if (!isAsked(mask)) continue;
      this.#place(place);
      this.#insn(BPF_ALU_MOV_K, R0, 0, value);
      this.#insn(BPF_EXIT, 0, 0, 0);
    }
    return this.#encode();
  }

  #load(register: number, offset: number): void {
    this.#insn(BPF_LDX_MEM_W, register | (R1 << 4), offset, 0);
  }

  #jump(how: keyof typeof BPF_JMP32, register: number, value: number, to: Place): void {
    this.#insn(BPF_JMP32[how], register, to, value);
  }

  #insn(code: number, registers: number, off: Place | number, imm: number): void {
    this.#insns.push({ code, registers, off, imm });
  }

  /** A jump that would go where control goes anyway is left out; nothing else may lead behind it yet. */
  #place(place: Place): void {
    const last = this.#insns.at(-1);
    if (last?.code === BPF_JA && last.off === place && !this.#places.has(this.#insns.length)) {
      this.#insns.pop();
    }
    place.at = this.#insns.length;
    this.#places.add(place.at);
  }

  #encode(): Uint8Array {
    const bytes = new Uint8Array(this.#insns.length * BPF_INSN_SIZE);
    const view = new DataView(bytes.buffer);
    this.#insns.forEach(({ code, registers, off, imm }, index) => {
      const at = index * BPF_INSN_SIZE;
      const offset = typeof off === 'number' ? off : off.at - index - 1;
      if (offset > JUMP_MAX) throw tooMany(this.#insns.length);
      view.setUint8(at, code);
      view.setUint8(at + 1, registers);
      view.setInt16(at + 2, offset, true);
      view.setInt32(at + 4, imm, true);
    });
    return bytes;
  }
}

function tooMany(count: number): RuncellError {
  return new RuncellError({
    code: 'config.value',
    specPath: 'linux.resources.devices',
    reason: `the rules need ${count} instructions, and a jump reaches ${JUMP_MAX}`,
  });
}

function keyOfTable({ majors, others }: Table): string {
  return `${keyOf(others)};${[...majors].map(([major, row]) => `${major}=${keyOf(row)}`).join(';')}`;
}

function usesMinor({ majors, others }: Table): boolean {
  return others.minors.size > 0 || [...majors.values()].some(({ minors }) => minors.size > 0);
}

/** Neighbours with the same answer as [first, last, mask]. */
function runsOf(minors: ReadonlyMap<number, number>): [number, number, number][] {
  const runs: [first: number, last: number, mask: number][] = [];
  for (const [minor, mask] of minors) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === minor - 1 && run[2] === mask) run[1] = minor;
    else runs.push([minor, minor, mask]);
  }
  return runs;
}
