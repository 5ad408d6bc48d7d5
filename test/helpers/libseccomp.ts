/**
 * libseccomp as the oracle of our filters, through koffi: the same profile added rule by rule as runc
 * does (libcontainer/seccomp), exported as bytes. seccomp_init(3), seccomp_rule_add(3),
 * seccomp_export_bpf(3).
 */

import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { LinuxSeccomp, LinuxSeccompArch } from '@opencontainers-ts/spec';
import koffi from 'koffi';

const EEXIST = -17;
const UNKNOWN = -1; // __NR_SCMP_ERROR

interface Library {
  init(action: number): unknown;
  release(context: unknown): void;
  addArch(context: unknown, token: number): number;
  addRules(context: unknown, action: number, nr: number, count: number, args: unknown): number;
  exportBpf(context: unknown, fd: number): number;
  load(context: unknown): number;
  number(name: string): number;
  numberOn(token: number, name: string): number;
  token(name: string): number;
  optimise(context: unknown, attribute: number, value: number): number;
}

/** undefined where the library is not installed: the caller lists the skip. */
export function openLibseccomp(path = process.env['RUNCELL_LIBSECCOMP'] ?? 'libseccomp.so.2') {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(path);
  } catch {
    return undefined;
  }
  const arg = koffi.struct({ arg: 'uint32_t', op: 'int', a: 'uint64_t', b: 'uint64_t' });
  const array = koffi.pointer(arg);
  const functions: Library = {
    init: library.func('seccomp_init', 'void *', ['uint32_t']),
    release: library.func('seccomp_release', 'void', ['void *']),
    addArch: library.func('seccomp_arch_add', 'int', ['void *', 'uint32_t']),
    addRules: library.func('seccomp_rule_add_array', 'int', [
      ...['void *', 'uint32_t', 'int', 'uint32_t'],
      array,
    ]),
    exportBpf: library.func('seccomp_export_bpf', 'int', ['void *', 'int']),
    load: library.func('seccomp_load', 'int', ['void *']),
    number: library.func('seccomp_syscall_resolve_name', 'int', ['str']),
    numberOn: library.func('seccomp_syscall_resolve_name_arch', 'int', ['uint32_t', 'str']),
    token: library.func('seccomp_arch_resolve_name', 'uint32_t', ['str']),
    optimise: library.func('seccomp_attr_set', 'int', ['void *', 'int', 'uint32_t']),
  };
  return new Oracle(functions);
}

const RET: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_ALLOW: 0x7fff0000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
};

/** enum scmp_compare. */
const COMPARE = ['', 'NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'].map((op) => `SCMP_CMP_${op}`);

/** SCMP_FLTATR_CTL_OPTIMIZE: 2 is the binary tree, which runc asks for. */
const OPTIMIZE = 8;

export class Oracle {
  readonly #library: Library;

  constructor(library: Library) {
    this.#library = library;
  }

  knows(arch: LinuxSeccompArch): boolean {
    return this.#token(arch) !== 0;
  }

  /** The number of a call, negative where it is not one there. */
  numberOn(arch: LinuxSeccompArch, name: string): number {
    return this.#library.numberOn(this.#token(arch), name);
  }

  /** The filter's bytes; a string where libseccomp refuses the profile. */
  compile(profile: LinuxSeccomp, tree = (profile.syscalls?.length ?? 0) > 32): Uint8Array | string {
    const library = this.#library;
    const fallback = action(profile.defaultAction, profile.defaultErrnoRet);
    const context = library.init(fallback);
    const file = `${tmpdir()}/runcell-libseccomp.${process.pid}`;
    try {
      for (const arch of profile.architectures ?? []) {
        const result = library.addArch(context, this.#token(arch));
        if (result < 0 && result !== EEXIST) return `architecture ${arch}: ${result}`;
      }
      if (tree) library.optimise(context, OPTIMIZE, 2);
      const problem = this.#addAll(context, profile, fallback);
      if (problem !== undefined) return problem;
      const fd = openSync(file, 'w+', 0o600);
      const result = library.exportBpf(context, fd);
      closeSync(fd);
      return result < 0 ? `export: ${result}` : new Uint8Array(readFileSync(file));
    } finally {
      library.release(context);
      rmSync(file, { force: true });
    }
  }

  #token(arch: LinuxSeccompArch): number {
    return this.#library.token(arch.slice('SCMP_ARCH_'.length).toLowerCase());
  }

  #addAll(context: unknown, profile: LinuxSeccomp, fallback: number): string | undefined {
    for (const entry of profile.syscalls ?? []) {
      const value = action(entry.action, entry.errnoRet);
      if (value === fallback) continue;
      const args = (entry.args ?? []).map(({ index, op, value: a, valueTwo: b }) => ({
        arg: index,
        op: COMPARE.indexOf(op),
        a: BigInt(a),
        b: BigInt(b ?? 0),
      }));
      const twice = new Set(args.map(({ arg }) => arg)).size < args.length;
      for (const name of entry.names) {
        const number = this.#library.number(name);
        if (number === UNKNOWN) continue;
        for (const list of twice ? args.map((one) => [one]) : [args]) {
          const result = this.#library.addRules(context, value, number, list.length, list);
          if (result < 0) return `rule ${name}: ${result}`;
        }
      }
    }
    return undefined;
  }
}

function action(name: string, errnoRet: number | undefined): number {
  const carries = name === 'SCMP_ACT_ERRNO' || name === 'SCMP_ACT_TRACE';
  return RET[name]! + (carries ? (errnoRet ?? 1) : 0);
}
