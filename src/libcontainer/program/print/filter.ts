/**
 * A filter of system calls as seccomp(2) takes it, struct sock_fprog of struct sock_filter: short ones as
 * assembly, long ones as their length and what they return (linux/filter.h, linux/seccomp.h).
 */

import { BPF, SECCOMP_DATA, SECCOMP_RET, SOCK_FILTER_SIZE } from '../../linux/seccomp.ts';
import { type Call, checkPlace } from './call.ts';
import { hex } from './names.ts';

/** Longer ones are only shown whole when that is asked for. */
const SHOWN = 24;

const JUMPS: Readonly<Record<number, string>> = {
  [BPF.JEQ]: 'jeq',
  [BPF.JGT]: 'jgt',
  [BPF.JGE]: 'jge',
  [BPF.JSET]: 'jset',
};

interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

export function filter(address: bigint, call: Call): string {
  if (!checkPlace(address, 16, call)) return hex(address);
  const count = Number(call.image.read(address, 2) ?? 0n);
  const place = call.image.read(address + 8n, 8) ?? 0n;
  const bytes = call.image.bytes(place, count * SOCK_FILTER_SIZE);
  call.places.register(address, 16, 'filter');
  call.places.register(place, count * SOCK_FILTER_SIZE, 'instructions');
  if (bytes === undefined || count === 0) {
    call.problem(`a filter of ${count} instructions at ${hex(place)} is not inside the data`);
    return hex(address);
  }
  const instructions = decode(bytes, count);
  for (const problem of problemsOf(instructions)) call.problem(problem);
  if (count > SHOWN && call.options.whole !== true) {
    return `{${count} instructions, returning ${returnsOf(instructions).join(' ')}}`;
  }
  return `{${instructions.map(line).join('; ')}}`;
}

function decode(bytes: Uint8Array, count: number): Instruction[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => ({
    code: view.getUint16(8 * i, true),
    jt: view.getUint8(8 * i + 2),
    jf: view.getUint8(8 * i + 3),
    k: view.getUint32(8 * i + 4, true),
  }));
}

function problemsOf(instructions: readonly Instruction[]): string[] {
  const problems: string[] = [];
  instructions.forEach(({ code, jt, jf, k }, at) => {
    const far = code === BPF.JA ? k : code in JUMPS ? Math.max(jt, jf) : 0;
    if (at + 1 + far >= instructions.length && code !== BPF.RET) {
      problems.push(`the filter leaves itself at ${at}`);
    }
    if (!Object.values(BPF).includes(code as never)) problems.push(`code ${code} at ${at}`);
  });
  return problems;
}

function line({ code, jt, jf, k }: Instruction, at: number): string {
  const to = (offset: number): number => at + 1 + offset;
  switch (code) {
    case BPF.LOAD:
      return `${at} ld ${field(k)}`;
    case BPF.AND:
      return `${at} and ${hex(BigInt(k))}`;
    case BPF.JA:
      return `${at} ja ${to(k)}`;
    case BPF.RET:
      return `${at} ret ${actionName(k)}`;
    default:
      return `${at} ${JUMPS[code] ?? code} ${hex(BigInt(k))} ? ${to(jt)} : ${to(jf)}`;
  }
}

function field(offset: number): string {
  if (offset === SECCOMP_DATA.nr) return 'nr';
  if (offset === SECCOMP_DATA.arch) return 'arch';
  const argument = (offset - SECCOMP_DATA.args) >> 3;
  return `args[${argument}].${offset % 8 === 0 ? 'low' : 'high'}`;
}

function returnsOf(instructions: readonly Instruction[]): string[] {
  const actions = new Set(instructions.filter(({ code }) => code === BPF.RET).map(({ k }) => k));
  return [...actions].sort((a, b) => a - b).map(actionName);
}

/** `ERRNO(1)`; what carries nothing stands alone. */
function actionName(value: number): string {
  const action = (value & 0xffff0000) >>> 0;
  const name = Object.entries(SECCOMP_RET).find(([, number]) => number === action)?.[0];
  if (name === undefined) return hex(BigInt(value));
  const data = value & 0xffff;
  return data === 0 && name !== 'ERRNO' && name !== 'TRACE' ? name : `${name}(${data})`;
}
