/** Whole programs of the default document, on both architectures: every phase in its order. */

import { describe, expect, test } from 'vitest';
import type { Arch } from '../../src/libcontainer/linux/arch.ts';
import { printProgram } from '../../src/libcontainer/program/print.ts';
import { defaultSpec } from '../../src/oci/default-spec.ts';
import { golden, problemsOf, programText } from './golden.ts';
import { createPrograms, type NamedProgram, type Scene } from './plan.ts';

function defaultPrograms(arch: Arch, changes: Scene['facts'] = {}): NamedProgram[] {
  const config = defaultSpec({ rootless: false });
  const options = { consoleSocket: '/run/console.sock' };
  return createPrograms({ config, facts: { arch, ...changes }, options });
}

describe('the default document', () => {
  test.each(['x64', 'arm64'] as const)('%s', (arch) => {
    const programs = defaultPrograms(arch);
    for (const { name, problems } of problemsOf(programs)) {
      expect(problems, name).toEqual([]);
    }
    golden(arch === 'x64' ? 'default' : 'default-arm64', programText(programs));
  });

  test('the architectures differ in numbers, not in what is done', () => {
    expect(programText(defaultPrograms('arm64'))).toBe(programText(defaultPrograms('x64')));
    const bytes = (arch: Arch): Buffer =>
      Buffer.concat(defaultPrograms(arch).map(({ program }) => program.bytes));
    expect(bytes('arm64').equals(bytes('x64'))).toBe(false);
  });

  test('the same configuration gives the same bytes', () => {
    const [first, second] = [defaultPrograms('x64'), defaultPrograms('x64')];
    first.forEach(({ program }, i) => {
      expect(Buffer.compare(program.bytes, second[i]!.program.bytes)).toBe(0);
      expect(printProgram(program)).toBe(printProgram(second[i]!.program));
    });
  });
});
