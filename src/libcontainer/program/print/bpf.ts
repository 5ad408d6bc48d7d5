/**
 * The attr of bpf(2) with the instructions it points to, for the commands that programs give.
 *
 *     bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insns=[0: r2 = access_type; 1: …]}, 256)
 *
 * Beside being shown, the instructions are checked as far as the verifier would: each is known, jumps
 * go forward and inside, every one is reached, the last is an exit. Whatever of the attr is not shown
 * has to be 0, so that nothing is hidden.
 */

import * as bpf from '../../linux/bpf.ts';
import { SUM } from '../op.ts';
import { type Call, checkPlace, type Formatter } from './call.ts';
import { ENUMS, enumName, FLAGS, flagSet, hex } from './names.ts';
import { quote } from './text.ts';

/** The attr of BPF_PROG_LOAD. */
export const bpfLoad: Formatter = (address, call) => {
  if (!isAttr(address, call)) return hex(address);
  const word = (at: number, size: 4 | 8): bigint => call.image.read(address + BigInt(at), size)!;
  const count = Number(word(bpf.BPF_ATTR_INSN_CNT, 4));
  const insns = word(bpf.BPF_ATTR_INSNS, 8);
  const type = enumName(word(bpf.BPF_ATTR_PROG_TYPE, 4), ENUMS.bpfProgType);
  const license = call.image.string(word(bpf.BPF_ATTR_LICENSE, 8));
  const name = call.image.bytes(address + BigInt(bpf.BPF_ATTR_PROG_NAME), 16)!;
  if (license === undefined) call.problem('the license is no string of the data');
  onlyHas(address, call, [
    [bpf.BPF_ATTR_PROG_TYPE, 24],
    [bpf.BPF_ATTR_PROG_NAME, 16],
  ]);
  const shown = [
    `prog_type=${type}`,
    `insns=${instructions(insns, count, call)}`,
    `license=${license === undefined ? '?' : quote(license, false)}`,
    `prog_name=${quote(name.subarray(0, name.indexOf(0)), false)}`,
  ];
  return `{${shown.join(', ')}}`;
};

/**
 * The attr of BPF_PROG_ATTACH, whose descriptors are known when the op runs. A result is 64 bits, so
 * that what is stored over attach_bpf_fd is attach_type as well.
 */
export const bpfAttach: Formatter = (address, call) => {
  if (!isAttr(address, call)) return hex(address);
  for (const [at, name] of ATTACH_FIELDS) call.places.field(address, at, name);
  const filter = address + BigInt(bpf.BPF_ATTR_ATTACH_BPF_FD);
  const sum = call.image.ops.find((op) => op.nr === SUM && op.result === filter);
  const second = sum?.args[1];
  if (second === undefined || second.loaded) call.problem('attach_type is not known');
  const type = enumName((second?.value ?? 0n) >> 32n, ENUMS.bpfAttachType);
  const flags = call.image.read(address + BigInt(bpf.BPF_ATTR_ATTACH_FLAGS), 4)!;
  onlyHas(address, call, [[bpf.BPF_ATTR_ATTACH_FLAGS, 4]]);
  const stored = `target_fd=<stored>, attach_bpf_fd=<stored>, attach_type=${type}`;
  return `{${stored}, attach_flags=${flagSet(flags, FLAGS.bpfAttach)}}`;
};

const ATTACH_FIELDS = [
  [bpf.BPF_ATTR_TARGET_FD, '.target_fd'],
  [bpf.BPF_ATTR_ATTACH_BPF_FD, '.attach_bpf_fd'],
] as const;

function isAttr(address: bigint, call: Call): boolean {
  const size = Number(call.args[2]!.value);
  if (size !== bpf.BPF_ATTR_SIZE) call.problem(`an attr of ${size} bytes`);
  call.places.register(address, bpf.BPF_ATTR_SIZE, call.name);
  return checkPlace(address, bpf.BPF_ATTR_SIZE, call);
}

/** Whether the attr is 0 but for these [offset, size]. */
function onlyHas(
  address: bigint,
  call: Call,
  fields: readonly (readonly [number, number])[],
): void {
  const attr = call.image.bytes(address, bpf.BPF_ATTR_SIZE)!;
  const hidden = attr.findIndex(
    (byte, i) => byte !== 0 && !fields.some(([at, size]) => i >= at && i < at + size),
  );
  if (hidden !== -1) call.problem(`byte ${hidden} of the attr is not 0`);
}

interface Instruction {
  readonly code: number;
  readonly target: number;
  readonly source: number;
  readonly off: number;
  readonly imm: number;
}

function instructions(address: bigint, count: number, call: Call): string {
  if (!checkPlace(address, count * bpf.BPF_INSN_SIZE, call)) return hex(address);
  const list = decodeInstructions(call.image.bytes(address, count * bpf.BPF_INSN_SIZE)!);
  for (const problem of instructionProblems(list)) call.problem(problem);
  return `[${list.map((insn, index) => `${index}: ${instructionText(insn, index)}`).join('; ')}]`;
}

export function decodeInstructions(bytes: Uint8Array): Instruction[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / bpf.BPF_INSN_SIZE }, (_, index) => {
    const at = index * bpf.BPF_INSN_SIZE;
    return {
      code: view.getUint8(at),
      target: view.getUint8(at + 1) & 0xf,
      source: view.getUint8(at + 1) >> 4,
      off: view.getInt16(at + 2, true),
      imm: view.getInt32(at + 4, true),
    };
  });
}

const COMPARISONS: ReadonlyMap<number, string> = new Map([
  [bpf.BPF_JMP32.eq, '=='],
  [bpf.BPF_JMP32.ne, '!='],
  [bpf.BPF_JMP32.set, '&'],
  [bpf.BPF_JMP32.lt, '<'],
  [bpf.BPF_JMP32.le, '<='],
]);

/** Fields of struct bpf_cgroup_dev_ctx. */
const CONTEXT: ReadonlyMap<number, string> = new Map([
  [bpf.DEVICE_CTX.accessType, 'access_type'],
  [bpf.DEVICE_CTX.major, 'major'],
  [bpf.DEVICE_CTX.minor, 'minor'],
]);

function instructionText({ code, target, source, off, imm }: Instruction, index: number): string {
  const comparison = COMPARISONS.get(code);
  if (comparison !== undefined) {
    const value = code === bpf.BPF_JMP32.set ? `0x${imm.toString(16)}` : imm;
    return `if r${target} ${comparison} ${value} →${index + 1 + off}`;
  }
  if (code === bpf.BPF_JA) return `→${index + 1 + off}`;
  if (code === bpf.BPF_LDX_MEM_W) {
    const field = source === 1 ? CONTEXT.get(off) : undefined;
    return `r${target} = ${field ?? `*(r${source} + ${off})`}`;
  }
  if (code === bpf.BPF_ALU_MOV_K) return `r${target} = ${imm}`;
  return code === bpf.BPF_EXIT ? 'exit' : `code 0x${code.toString(16)}`;
}

const KNOWN = new Set<number>([
  ...COMPARISONS.keys(),
  ...[bpf.BPF_JA, bpf.BPF_LDX_MEM_W, bpf.BPF_ALU_MOV_K, bpf.BPF_EXIT],
]);

/** What the verifier would refuse, of instructions that only go forward. */
export function instructionProblems(list: readonly Instruction[]): string[] {
  const problems: string[] = [];
  const reached = new Set([0]);
  list.forEach(({ code, off }, index) => {
    if (!KNOWN.has(code)) problems.push(`instruction ${index}: code 0x${code.toString(16)}`);
    if (!reached.has(index)) problems.push(`instruction ${index} is never reached`);
    const isJump = COMPARISONS.has(code) || code === bpf.BPF_JA;
    if (isJump) reached.add(index + 1 + off);
    if (isJump && (off < 0 || index + 1 + off >= list.length)) {
      problems.push(`instruction ${index} jumps to ${index + 1 + off}`);
    }
    if (code !== bpf.BPF_JA && code !== bpf.BPF_EXIT) reached.add(index + 1);
  });
  if (list.at(-1)?.code !== bpf.BPF_EXIT) problems.push('the last instruction is no exit');
  return problems;
}
