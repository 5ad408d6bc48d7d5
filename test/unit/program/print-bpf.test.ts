/** bpf(2) as text, and what the static checks say of a filter that the verifier would not take. */

import { describe, expect, test } from 'vitest';
import { compileDeviceFilter } from '../../../src/libcontainer/cgroups/device-filter.ts';
import * as bpf from '../../../src/libcontainer/linux/bpf.ts';
import { ProgramBuilder } from '../../../src/libcontainer/program/builder.ts';
import { checkProgram } from '../../../src/libcontainer/program/check.ts';
import { printProgram } from '../../../src/libcontainer/program/print.ts';

interface Changes {
  readonly filter?: Uint8Array;
  readonly size?: number;
  /** A word of the attr of BPF_PROG_LOAD, by offset. */
  readonly word?: readonly [number, number];
  readonly command?: number;
}

function program({ filter = compileDeviceFilter({}), size = 256, word, command }: Changes = {}) {
  const b = new ProgramBuilder('x64');
  const attr = b.space(bpf.BPF_ATTR_SIZE);
  b.setU32(attr, bpf.BPF_PROG_TYPE_CGROUP_DEVICE);
  b.setU32(attr.plus(bpf.BPF_ATTR_INSN_CNT), filter.length / 8);
  b.setU64(attr.plus(bpf.BPF_ATTR_INSNS), b.bytes(filter));
  b.setU64(attr.plus(bpf.BPF_ATTR_LICENSE), b.string('MIT'));
  if (word !== undefined) b.setU32(attr.plus(word[0]), word[1]);
  const fd = b.slot('filter');
  b.call('bpf', [command ?? bpf.BPF_PROG_LOAD, attr, size], { into: fd });
  const attach = b.space(bpf.BPF_ATTR_SIZE);
  b.sum(attach, 7);
  b.sum(attach.plus(bpf.BPF_ATTR_ATTACH_BPF_FD), fd, bpf.BPF_CGROUP_DEVICE * 2 ** 32);
  b.setU32(attach.plus(bpf.BPF_ATTR_ATTACH_FLAGS), bpf.BPF_F_ALLOW_MULTI | bpf.BPF_F_REPLACE);
  b.call('bpf', [bpf.BPF_PROG_ATTACH, attach, bpf.BPF_ATTR_SIZE]);
  b.call('close', [fd]);
  b.end();
  return b.finish();
}

const insn = (code: number, off = 0, imm = 0, registers = 0): number[] => {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, code);
  view.setUint8(1, registers);
  view.setInt16(2, off, true);
  view.setInt32(4, imm, true);
  return [...bytes];
};

describe('a device filter', () => {
  test('is printed instruction by instruction, with its attr', () => {
    const filter = compileDeviceFilter({
      resources: { devices: [{ allow: true, access: 'rwm' }] },
    });
    const text = printProgram(program({ filter }), { numbers: false });
    expect(text).toContain(
      'bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insns=[0: r0 = 1; 1: exit], license="MIT", prog_name=""}, 256) = filter',
    );
    expect(text).toContain('store bpf#2.attach_bpf_fd = filter + (6 << 32)');
    expect(text).toContain(
      'attach_type=BPF_CGROUP_DEVICE, attach_flags=BPF_F_ALLOW_MULTI|BPF_F_REPLACE}',
    );
  });

  test('is sound as it is compiled', () => {
    expect(checkProgram(program())).toEqual([]);
  });

  const exit = [...insn(bpf.BPF_ALU_MOV_K, 0, 1), ...insn(bpf.BPF_EXIT)];
  test.each([
    ['an unknown instruction', [...insn(0x85), ...exit], /instruction 0: code 0x85/],
    ['one that is never reached', [...exit, ...exit], /instruction 2 is never reached/],
    ['a jump out', [...insn(bpf.BPF_JMP32.eq, 9, 1, 1), ...exit], /instruction 0 jumps to 10/],
    ['a jump back', [...exit, ...insn(bpf.BPF_JA, -2)], /instruction 2 jumps to 1/],
    ['no exit', insn(bpf.BPF_ALU_MOV_K), /the last instruction is no exit/],
  ])('with %s is a problem', (_, bytes, problem) => {
    expect(checkProgram(program({ filter: Uint8Array.from(bytes) })).join('\n')).toMatch(problem);
  });

  test('an attr of another size, with more in it, or outside of the data is a problem', () => {
    expect(checkProgram(program({ size: 72 })).join('\n')).toMatch(/an attr of 72 bytes/);
    expect(checkProgram(program({ word: [128, 1] })).join('\n')).toMatch(/byte 128 of the attr/);
    const tooMany = program({ word: [bpf.BPF_ATTR_INSN_CNT, 5000] });
    expect(checkProgram(tooMany).join('\n')).toMatch(/40000 bytes .* not inside the data/);
  });
});
