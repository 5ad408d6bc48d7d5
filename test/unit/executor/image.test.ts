/** The emitted files: sizes, headers, and that every byte of code is an instruction. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { launcherCode } from '../../../src/launcher/code.ts';
import { launcherImage, MAX_LAUNCHER_SIZE } from '../../../src/launcher/image.ts';
import { executorCode } from '../../../src/libcontainer/executor/code.ts';
import { CODE_OFFSET, elfImage } from '../../../src/libcontainer/executor/elf.ts';
import { executorImage } from '../../../src/libcontainer/executor/image.ts';
import { IMAGE_SIZE, SIGNAL_EXIT } from '../../../src/libcontainer/program/op.ts';
import { disassemble } from '../../helpers/disassemble.ts';

const NOT_AN_INSTRUCTION = /\(bad\)|\.inst|\.byte|undefined|udf/;

describe.each(['x64', 'arm64'] as const)('image [%s]', (arch) => {
  test('executor fits and is padded to IMAGE_SIZE', () => {
    expect(CODE_OFFSET + executorCode(arch).code.length).toBeLessThanOrEqual(IMAGE_SIZE);
    expect(executorImage(arch)).toHaveLength(IMAGE_SIZE);
  });

  test('launcher fits a page', () => {
    expect(launcherImage(arch).length).toBeLessThanOrEqual(MAX_LAUNCHER_SIZE);
  });

  test('code that does not fit is refused', () => {
    const code = { code: new Uint8Array(IMAGE_SIZE), entry: 0 };
    expect(() => elfImage(arch, code, IMAGE_SIZE)).toThrow(RangeError);
  });

  test('executor and launcher consist of instructions', () => {
    const executor = disassemble(arch, executorCode(arch).code);
    expect(executor.length).toBeGreaterThan(100);
    expect(executor.filter((line) => NOT_AN_INSTRUCTION.test(line))).toEqual([]);
    const { code, texts } = launcherCode(arch);
    const launcher = disassemble(arch, code.subarray(0, texts));
    expect(launcher.length).toBeGreaterThan(100);
    expect(launcher.filter((line) => NOT_AN_INSTRUCTION.test(line))).toEqual([]);
  });

  test('the first instructions are the signal stub', () => {
    const lines = disassemble(arch, executorCode(arch).code).slice(0, 3);
    const stubs = {
      x64: ['sub rdi,0xffffffffffffff80', 'mov eax,0xe7', 'syscall'],
      arm64: ['add x0, x0, #0x80', 'mov x8, #0x5e', 'svc #0x0'],
    };
    expect(lines).toEqual(stubs[arch]);
    expect(SIGNAL_EXIT).toBe(0x4000e8);
  });

  test('readelf sees a static executable with three program headers', () => {
    const directory = mkdtempSync(join(tmpdir(), 'runcell-elf-'));
    const file = join(directory, 'executor');
    writeFileSync(file, executorImage(arch));
    const text = execFileSync('readelf', ['-hlW', file], { encoding: 'utf8' });
    rmSync(directory, { recursive: true });
    expect(text).toMatch(/Type:\s+EXEC/);
    expect(text).toMatch(arch === 'x64' ? /Machine:.*X86-64/ : /Machine:\s+AArch64/);
    const entry = SIGNAL_EXIT + executorCode(arch).entry;
    expect(text).toContain(`Entry point address:               0x${entry.toString(16)}`);
    const loads = text.split('\n').filter((line) => /^ +(LOAD|GNU_STACK)/.test(line));
    expect(loads.map((line) => line.trim().replace(/ +/g, ' '))).toEqual([
      'LOAD 0x000000 0x0000000000400000 0x0000000000400000 0x000400 0x000400 R E 0x10000',
      'LOAD 0x000000 0x0000000000420000 0x0000000000420000 0x000000 0x001000 RW 0x10000',
      'GNU_STACK 0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW 0x10',
    ]);
  });
});
