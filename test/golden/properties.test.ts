/**
 * Properties of planned programs: strings of the configuration come out of the encoded bytes as they
 * went in, whatever they contain and however long or many they are, and never change which ops there
 * are (CVE-2021-43784: a length that overflowed made strings into control messages).
 */

import type { Mount } from '@opencontainers-ts/spec';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { relativePath } from '../../src/libcontainer/plan/draft.ts';
import { END } from '../../src/libcontainer/program/op.ts';
import { type DecodedOp, Image } from '../../src/libcontainer/program/print/image.ts';
import { printProgram } from '../../src/libcontainer/program/print.ts';
import { problemsOf } from './golden.ts';
import { createPrograms, type NamedProgram, type Scene } from './plan.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Any text that can be an argument: no NUL, no half of a surrogate pair. */
const anyText = fc
  .string({ unit: 'binary', maxLength: 40 })
  .filter((text) => !text.includes('\0') && text.isWellFormed());

function string(image: Image, address: bigint): string {
  const bytes = image.string(address);
  if (bytes === undefined) throw new Error('not a string');
  return decoder.decode(bytes);
}

function strings(image: Image, array: bigint): string[] {
  const found: string[] = [];
  for (let at = array; ; at += 8n) {
    const pointer = image.read(at, 8);
    if (pointer === undefined || pointer === 0n) return found;
    found.push(string(image, pointer));
  }
}

function calls(image: Image, name: string): DecodedOp[] {
  return image.ops.filter((op) => image.syscall(op.nr) === name);
}

/** What the container's process is executed with. */
function executed(scene: Scene): { args: string[]; env: string[] } {
  const image = new Image(createPrograms(scene).at(-1)!.program);
  const [execve] = calls(image, 'execve');
  const [, argv, envp] = execve!.args;
  return { args: strings(image, argv!.value), env: strings(image, envp!.value) };
}

function processScene(args: string[], env: string[]): Scene {
  return { config: { process: { cwd: '/', args, env, user: { uid: 0, gid: 0 } } } };
}

/** The names of all ops of all programs, jumps and outcomes included. */
function shape(programs: readonly NamedProgram[]): string[] {
  return programs.flatMap(({ program }) => {
    const image = new Image(program);
    return image.ops.map((op) => `${op.nr} ${op.flags} ${op.target} ${op.tolerated}`);
  });
}

describe('args and env', () => {
  test('any text arrives as it is', () => {
    const entry = fc.tuple(fc.integer(), anyText).map(([n, text]) => `K${n}=${text}`);
    const env = fc.uniqueArray(entry, { selector: (text) => text.split('=')[0] });
    fc.assert(
      fc.property(fc.array(anyText), env, (rest, entries) => {
        const args = ['/bin/x', ...rest];
        const given = ['HOME=/', ...entries];
        expect(executed(processScene(args, given))).toEqual({ args, env: given });
      }),
      { numRuns: 60 },
    );
  });

  test('70 000 entries', () => {
    const env = ['HOME=/', ...Array.from({ length: 70_000 }, (_, i) => `K${i}=${i % 7}`)];
    expect(executed(processScene(['/bin/x'], env)).env).toEqual(env);
  });

  test.each([65_535, 65_536, 65_537, 1_048_576])('one of %i bytes', (size) => {
    const long = 'é'.repeat(size / 2).padEnd(size - Math.floor(size / 2), 'x');
    expect(Buffer.byteLength(long)).toBe(size);
    const scene = processScene(['/bin/x', long, 'last'], ['HOME=/', `L=${long}`, 'Z=1']);
    expect(executed(scene)).toEqual({
      args: ['/bin/x', long, 'last'],
      env: ['HOME=/', `L=${long}`, 'Z=1'],
    });
    const programs = createPrograms(scene);
    for (const { problems } of problemsOf(programs)) expect(problems).toEqual([]);
  });

  test('NUL is refused', () => {
    expect(() => createPrograms(processScene(['/bin/x', 'a\0b'], []))).toThrow(/NUL/);
    expect(() => createPrograms(processScene(['/bin/x'], ['A=\0']))).toThrow(/NUL/);
  });

  test('values of the environment are not in the printed program', () => {
    const scene = processScene(['/bin/x'], ['HOME=/', 'TOKEN=hunter2hunter2']);
    for (const { program } of createPrograms(scene)) {
      expect(printProgram(program, { whole: true })).not.toContain('hunter2');
    }
    const shown = createPrograms(scene).map(({ program }) =>
      printProgram(program, { secrets: true }),
    );
    expect(shown.join('')).toContain('TOKEN=hunter2hunter2');
  });
});

describe('mounts', () => {
  const component = anyText.filter((text) => text !== '' && !text.includes('/') && text !== '..');
  const destination = fc
    .array(component, { minLength: 1, maxLength: 4 })
    .map((parts) => `/${parts.join('/')}`)
    .filter((path) => relativePath(path) !== '.');
  const mount = fc.record({
    destination,
    type: fc.constantFrom('tmpfs', 'ext4'),
    source: anyText.filter((text) => text !== ''),
    options: fc.array(
      fc
        .tuple(
          fc.constantFrom('a', 'b'),
          anyText.filter((t) => !t.includes(',')),
        )
        .map(([k, v]) => `${k}=${v}`),
    ),
  });

  /** The program of init that mounts: the one before the last. */
  const mounting = (programs: readonly NamedProgram[]): Image =>
    new Image(programs.at(-2)!.program);

  /** Its source and data, as fsconfig(2) gets them. */
  function configured(image: Image): string[][] {
    return calls(image, 'fsconfig')
      .map((op) => op.args.slice(2, 4).map((word) => word.value))
      .filter(([key, value]) => key !== 0n && value !== 0n)
      .map((pair) => pair.map((address) => string(image, address!)));
  }

  test('any source, destination and data arrive as they are', () => {
    fc.assert(
      fc.property(fc.array(mount, { maxLength: 5 }), (mounts) => {
        const image = mounting(createPrograms({ config: { mounts: [...mounts] } }));
        const expected = mounts.flatMap(({ source, options }) => [
          ['source', source],
          ...options.map((word) => [word[0]!, word.slice(2)]),
        ]);
        expect(configured(image)).toEqual(expected);
        const opened = calls(image, 'openat2').map((op) => string(image, op.args[1]!.value));
        for (const { destination: path } of mounts) expect(opened).toContain(relativePath(path));
      }),
      { numRuns: 60 },
    );
  });

  test('what they contain does not change the ops', () => {
    fc.assert(
      fc.property(fc.array(mount, { minLength: 1, maxLength: 5 }), (mounts) => {
        const plain = (text: string): string => text.replaceAll(/[^/]+/gu, 'x');
        const harmless: Mount[] = mounts.map(({ destination: path, type, options }) => ({
          // `.` and empty components are no components
          destination: `/${plain(relativePath(path))}`,
          type,
          source: 'x',
          options: options.map((word) => `${word[0]}=x`),
        }));
        const hostile = createPrograms({ config: { mounts: [...mounts] } });
        expect(shape(hostile)).toEqual(shape(createPrograms({ config: { mounts: harmless } })));
        for (const { problems } of problemsOf(hostile)) expect(problems).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('a printed program has a line for each op, whatever is in the strings', () => {
    fc.assert(
      fc.property(fc.array(mount, { maxLength: 4 }), (mounts) => {
        for (const { program } of createPrograms({ config: { mounts: [...mounts] } })) {
          const lines = printProgram(program).split('\n');
          const ops = lines
            .filter((line) => /^ *\d+ /.test(line))
            .map((line) => Number.parseInt(line, 10));
          expect(ops).toEqual(Array.from({ length: program.opCount }, (_, i) => i));
        }
      }),
      { numRuns: 40 },
    );
  });

  test('a hundred of each kind', () => {
    const many = (count: number): Mount[] =>
      Array.from({ length: count }, (_, i) =>
        i % 2 === 0
          ? { destination: `/m/${i}`, source: `/s/${i}`, options: ['rbind'] }
          : { destination: `/m/${i}`, type: 'tmpfs', source: 'tmpfs' },
      );
    const programs = createPrograms({ config: { mounts: many(200) } });
    const image = mounting(programs);
    expect(calls(image, 'fsmount').length).toBe(100);
    expect(calls(new Image(programs[0]!.program), 'open_tree').length).toBe(101);
    for (const { problems } of problemsOf(programs)) expect(problems).toEqual([]);
  });

  test('more than a program can hold are an error, never a wrong program', () => {
    const mounts: Mount[] = Array.from({ length: 20_000 }, (_, i) => ({
      destination: `/m${i}`,
      source: '/m',
      options: ['bind'],
    }));
    expect(() => createPrograms({ config: { mounts } })).toThrow(
      'the container needs more than 65534 operations to be set up',
    );
  });
});

test('every program ends, and only at its ends', () => {
  for (const { program } of createPrograms({})) {
    const image = new Image(program);
    const last = image.ops.at(-1)!;
    expect([END, 'exit_group']).toContain(last.nr === END ? END : image.syscall(last.nr));
  }
});
