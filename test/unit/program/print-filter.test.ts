/** Filters in a printed program, and what the checks say of broken ones. */

import { expect, test } from 'vitest';
import { ProgramBuilder } from '../../../src/libcontainer/program/builder.ts';
import { checkProgram } from '../../../src/libcontainer/program/check.ts';
import { printProgram } from '../../../src/libcontainer/program/print.ts';

type Instruction = readonly [code: number, jt: number, jf: number, k: number];

function load(instructions: readonly Instruction[]) {
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([code, jt, jf, k], i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jt);
    view.setUint8(8 * i + 3, jf);
    view.setUint32(8 * i + 4, k, true);
  });
  const b = new ProgramBuilder('x64');
  b.section('linux.seccomp', 'load the filter');
  const fprog = b.space(16);
  b.setU16(fprog, instructions.length);
  b.setU64(fprog.plus(8), b.bytes(bytes));
  b.call('seccomp', [1, 0, fprog]);
  b.call('exit_group', [0]);
  return b.finish();
}

const ALLOW = [6, 0, 0, 0x7fff0000] as const;

test('a short one is shown as assembly', () => {
  const program = load([
    [0x20, 0, 0, 4],
    [0x15, 0, 2, 0xc000003e],
    [0x20, 0, 0, 20],
    [0x54, 0, 0, 0xff],
    [0x05, 0, 0, 0],
    ALLOW,
  ]);
  expect(printProgram(program)).toContain(
    'seccomp(SECCOMP_SET_MODE_FILTER, 0, {0 ld arch; 1 jeq 0xc000003e ? 2 : 4; ' +
      '2 ld args[0].high; 3 and 0xff; 4 ja 5; 5 ret ALLOW})',
  );
  expect(checkProgram(program)).toEqual([]);
});

test('a long one by its length and what it returns, whole when asked', () => {
  const many = Array.from({ length: 30 }, () => [0x20, 0, 0, 0] as const);
  const program = load([...many, [0x15, 0, 1, 5], [6, 0, 0, 0x50001], ALLOW]);
  expect(printProgram(program)).toContain('{33 instructions, returning ERRNO(1) ALLOW}');
  expect(printProgram(program, { whole: true })).toContain('30 jeq 0x5 ? 31 : 32');
});

test('a filter that leaves itself or has another code is a problem', () => {
  expect(checkProgram(load([[0x15, 9, 0, 0], ALLOW])).join()).toContain('leaves itself at 0');
  expect(checkProgram(load([[0x20, 0, 0, 0]])).join()).toContain('leaves itself at 0');
  expect(checkProgram(load([[0x07, 0, 0, 0], ALLOW])).join()).toContain('code 7 at 0');
});
