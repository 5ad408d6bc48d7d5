/**
 * A BPF machine for device filters: the instructions of BPF that they use, after
 * Documentation/bpf/standardization/instruction-set.rst, and no more. What it does not know throws, so
 * that a filter with another instruction fails its test.
 *
 * It shares no code with the compiler. Numbers are unsigned 32-bit; nothing a filter does needs more.
 */

import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

export interface DeviceRequest {
  readonly type: 'b' | 'c';
  readonly major: number;
  readonly minor: number;
  /** Letters out of r, w, m. */
  readonly access: string;
}

/** The kernel's numbers: include/uapi/linux/bpf.h, BPF_DEVCG_*. */
const TYPES = { b: 1, c: 2 } as const;
const LETTERS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };

/** More steps than any filter has instructions, since all jumps go forward. */
const STEPS_MAX = 1_000_000;

/** What the filter returns: 1 lets the device be used, 0 is EPERM. */
export function runFilter(filter: Uint8Array, request: DeviceRequest): number {
  const access = [...request.access].reduce((bits, letter) => bits | LETTERS[letter]!, 0);
  const context = [(access << 16) | TYPES[request.type], request.major, request.minor];
  const view = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  const registers: (number | 'context' | undefined)[] = [];
  registers[1] = 'context';
  const value = (register: number): number => {
    const held = registers[register];
    if (typeof held !== 'number') throw new Error(`r${register} holds no number`);
    return held;
  };
  let at = 0;
  for (let step = 0; step < STEPS_MAX; step++) {
    if (at < 0 || at * 8 >= filter.length) throw new Error(`runs to instruction ${at}`);
    const code = view.getUint8(at * 8);
    const target = view.getUint8(at * 8 + 1) & 0xf;
    const source = view.getUint8(at * 8 + 1) >> 4;
    const off = view.getInt16(at * 8 + 2, true);
    const imm = view.getUint32(at * 8 + 4, true);
    const jumpIf = (taken: boolean): void => {
      if (taken) at += off;
    };
    at++;
    switch (code) {
      case 0x61: // BPF_LDX | BPF_MEM | BPF_W
        if (registers[source] !== 'context' || off % 4 !== 0) throw new Error('loads elsewhere');
        registers[target] = context[off / 4];
        break;
      case 0xb4: // BPF_ALU | BPF_MOV | BPF_K
        registers[target] = imm;
        break;
      case 0x05: // BPF_JMP | BPF_JA
        jumpIf(true);
        break;
      case 0x16: // BPF_JMP32 | BPF_JEQ | BPF_K
        jumpIf(value(target) === imm);
        break;
      case 0x56: // BPF_JMP32 | BPF_JNE | BPF_K
        jumpIf(value(target) !== imm);
        break;
      case 0x46: // BPF_JMP32 | BPF_JSET | BPF_K
        jumpIf((value(target) & imm) !== 0);
        break;
      case 0xa6: // BPF_JMP32 | BPF_JLT | BPF_K
        jumpIf(value(target) < imm);
        break;
      case 0xb6: // BPF_JMP32 | BPF_JLE | BPF_K
        jumpIf(value(target) <= imm);
        break;
      case 0x95: // BPF_JMP | BPF_EXIT
        return value(0);
      default:
        throw new Error(`instruction ${at - 1} has the code 0x${code.toString(16)}`);
    }
  }
  throw new Error('does not end');
}

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
const SYS_BPF = process.arch === 'arm64' ? 280 : 321;
const ATTR_SIZE = 256;

/** Attaches a filter as another program would: without runcell's name. */
export function attachForeignFilter(group: string, filter: Uint8Array): void {
  const syscall = koffi
    .load(null)
    .func('long syscall(long n, long command, void *attr, long size)');
  const call = (command: number, fill: (view: DataView) => void): number => {
    const attr = new Uint8Array(ATTR_SIZE);
    fill(new DataView(attr.buffer));
    const result = Number(syscall(SYS_BPF, command, attr, ATTR_SIZE));
    if (result < 0) throw new Error(`bpf ${command}: errno ${koffi.errno()}`);
    return result;
  };
  const license = Buffer.from('none\0');
  const program = call(BPF_PROG_LOAD, (view) => {
    view.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
    view.setUint32(4, filter.length / 8, true);
    view.setBigUint64(8, BigInt(koffi.address(filter)), true);
    view.setBigUint64(16, BigInt(koffi.address(license)), true);
  });
  const directory = openSync(group, 'r');
  call(BPF_PROG_ATTACH, (view) => {
    view.setUint32(0, directory, true);
    view.setUint32(4, program, true);
    view.setUint32(8, BPF_CGROUP_DEVICE, true);
    view.setUint32(12, BPF_F_ALLOW_MULTI, true);
  });
  closeSync(program);
  closeSync(directory);
}
