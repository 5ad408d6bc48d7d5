/** Each rule of scripts/tidy.ts finds what it is for and lets the rest be. */

import { describe, expect, test } from 'vitest';
import {
  BANNED,
  deadProblems,
  type Exceptions,
  FILE_LINES,
  FUNCTION_LINES,
  floorProblems,
  functionsOf,
  headerProblems,
  importsOf,
  lengthProblems,
  markProblems,
  moduleProblems,
  nameProblems,
  type Problem,
  roomOf,
  type Source,
  wordProblems,
} from '../../../scripts/tidy.ts';
import { documentProblems } from '../../../scripts/tidy-documents.ts';

const NONE: Exceptions = { imports: [], modules: [], words: [], long: [], unreached: [] };

const source = (path: string, ...lines: string[]): Source => ({
  path,
  text: `${lines.join('\n')}\n`,
});

const places = (problems: readonly Problem[]): string[] =>
  problems.map(({ path, line, text }) => `${path}:${line ?? ''} ${text}`);

describe('reading a source', () => {
  test('a room is the folder below src or libcontainer, or the file in src', () => {
    const files = ['src/log.ts', 'src/oci/json.ts', 'src/libcontainer/plan/exec.ts', 'test/a.ts'];
    expect(files.map(roomOf)).toEqual(['log', 'oci', 'plan', undefined]);
  });

  test('imports are found in statements, exports and import()', () => {
    const text = ["import a from './a.ts';", "export * from './b.ts';", "await import('./c.ts');"];
    expect(importsOf(source('src/log.ts', ...text, "const no = 'import x from y';"))).toEqual([
      { name: './a.ts', line: 1 },
      { name: './b.ts', line: 2 },
      { name: './c.ts', line: 3 },
    ]);
  });

  test('functions have the name of what they are', () => {
    const text = [
      'function one() {',
      '}',
      'const two = () => {',
      '};',
      'class A {',
      '  three() {}',
    ];
    expect(functionsOf(source('src/log.ts', ...text, '}'))).toEqual([
      { name: 'one', line: 1, lines: 2 },
      { name: 'two', line: 3, lines: 2 },
      { name: 'three', line: 6, lines: 1 },
    ]);
  });
});

describe('floors', () => {
  const up = source('src/libcontainer/plan/mounts.ts', "import '../container/create.ts';");

  test('an import goes down or stays in the room', () => {
    const down = "import '../linux/errno.ts';";
    const beside = "import './draft.ts';";
    expect(floorProblems([source('src/libcontainer/plan/a.ts', down, beside)], NONE)).toEqual([]);
  });

  test('an import upward and one to the side are told', () => {
    const side = source('src/libcontainer/plan/a.ts', '', "import '../store/lock.ts';");
    expect(places(floorProblems([up, side], NONE))).toEqual([
      'src/libcontainer/plan/mounts.ts:1 plan may not import container',
      'src/libcontainer/plan/a.ts:2 plan may not import store',
    ]);
  });

  test('a room without a floor is told', () => {
    const text = 'no floor for new';
    expect(floorProblems([source('src/new/a.ts', '')], NONE)).toEqual([
      { path: 'src/new/a.ts', text },
    ]);
  });

  test('an exception holds for its line, and is told when nothing needs it', () => {
    const row = { from: up.path, to: 'container', reason: 'a reason' };
    expect(floorProblems([up], { ...NONE, imports: [row] })).toEqual([]);
    expect(floorProblems([], { ...NONE, imports: [row] })).toHaveLength(1);
  });
});

describe('modules of Node', () => {
  test('files are for the rooms that touch files', () => {
    const text = "import fs from 'node:fs';";
    const files = ['src/libcontainer/store/lock.ts', 'src/libcontainer/plan/mounts.ts'];
    expect(moduleProblems([source(files[0]!, text), source(files[1]!, text)], NONE)).toEqual([
      { path: files[1], line: 1, text: 'node:fs is not for plan' },
    ]);
  });

  test.each(['child_process', 'net', 'worker_threads', 'os', 'crypto'])(
    '%s is for none',
    (name) => {
      const file = source('src/libcontainer/container/create.ts', `import 'node:${name}';`);
      expect(moduleProblems([file], NONE)).toHaveLength(1);
    },
  );

  test('assert is for all, and tests have what they like', () => {
    const pure = source('src/libcontainer/plan/a.ts', "import assert from 'node:assert';");
    const free = source('test/unit/a.test.ts', "import 'node:child_process';");
    expect(moduleProblems([pure, free], NONE)).toEqual([]);
  });
});

describe('banned words', () => {
  test.each(Object.keys(BANNED))('%s is told, not in a comment', (word) => {
    const file = source('src/libcontainer/container/a.ts', `// ${word}`, `  ${word}x');`);
    expect(wordProblems([file], NONE).map(({ line }) => line)).toEqual([2]);
  });

  test('the process of a configuration is another', () => {
    const file = source('src/libcontainer/plan/a.ts', "input.process.env['HOME'];");
    expect(wordProblems([file], NONE)).toEqual([]);
  });
});

describe('lengths', () => {
  const long = (lines: number): Source =>
    source('src/log.ts', 'function f() {', ...Array(lines - 2).fill('  one();'), '}');

  test(`a function of ${FUNCTION_LINES} lines is the longest`, () => {
    expect(lengthProblems([long(FUNCTION_LINES)], NONE)).toEqual([]);
    expect(lengthProblems([long(FUNCTION_LINES + 1)], NONE)).toHaveLength(1);
  });

  test('one on the list may not get longer, and leaves it when it is short', () => {
    const row = { path: 'src/log.ts', function: 'f', lines: 80, reason: 'a reason' };
    const listed = { ...NONE, long: [row] };
    expect(lengthProblems([long(80)], listed)).toEqual([]);
    expect(lengthProblems([long(81)], listed)).toHaveLength(1);
    expect(lengthProblems([long(60)], listed)).toHaveLength(1);
  });

  test(`a file of ${FILE_LINES} lines is the longest`, () => {
    const file = (lines: number) => source('test/a.test.ts', ...Array(lines).fill('one();'));
    expect(lengthProblems([file(FILE_LINES)], NONE)).toEqual([]);
    expect(lengthProblems([file(FILE_LINES + 1)], NONE)).toHaveLength(1);
  });
});

describe('words about the file', () => {
  test('a file begins with what it is', () => {
    const good = [
      source('src/a.ts', '/** One line. */'),
      source('src/b.ts', '/**', ' * More', ' */'),
    ];
    expect(headerProblems(good)).toEqual([]);
    expect(headerProblems([source('src/c.ts', "import './a.ts';")])).toHaveLength(1);
    expect(headerProblems([source('src/d.ts', '// a line')])).toHaveLength(1);
  });

  test('unfinished work and a test that runs alone are told', () => {
    const file = source('test/a.test.ts', `// TO${''}DO later`, `test.${'only'}('a', () => {});`);
    expect(markProblems([file]).map(({ line }) => line)).toEqual([1, 2]);
  });

  test('a name says what is in the file', () => {
    const files = [source('src/oci/utils.ts', ''), source('src/oci/json.ts', '')];
    expect(nameProblems(files).map(({ path }) => path)).toEqual(['src/oci/utils.ts']);
  });
});

describe('dead files', () => {
  const boot = source('src/boot.ts', "import './main.ts';");
  const main = source('src/main.ts', "import './log.ts';");
  const log = source('src/log.ts', '');
  const left = source('src/oci/left.ts', "import '../log.ts';");

  test('what an entry leads to lives, also by way of a script', () => {
    const script = source('scripts/a.ts', "import '../src/oci/left.ts';");
    expect(deadProblems([boot, main, log, script, left], NONE)).toEqual([]);
  });

  test('what only a test imports is dead', () => {
    const user = source('test/a.test.ts', "import '../src/oci/left.ts';");
    expect(deadProblems([boot, main, log, left, user], NONE).map(({ path }) => path)).toEqual([
      left.path,
    ]);
  });
});

describe('documents', () => {
  const exists = (file: string): boolean => ['src/main.ts', 'docs', 'docs/state.md'].includes(file);
  const inDocument = (text: string): Problem[] =>
    documentProblems([source('docs/page.md', text)], [], exists);
  const inComment = (text: string): Problem[] =>
    documentProblems([], [source('src/oci/a.ts', text)], exists);

  test('a path that is named exists', () => {
    expect(inDocument('see `src/main.ts`, docs/ and dist/runcell')).toEqual([]);
    expect(inDocument('see `src/gone.ts`')).toHaveLength(1);
  });

  test('a link leads somewhere, one to another place is not followed', () => {
    expect(inDocument('[a](state.md#keys) [b](../src/main.ts) [c](https://x.org/y)')).toEqual([]);
    expect(inDocument('[a](gone.md)')).toHaveLength(1);
  });

  test('a test that is answered with is there', () => {
    const tests = [source('test/a.test.ts', "/** A. */ check('is refused', own)")];
    const told = (title: string): Problem[] =>
      documentProblems(
        [source('SECURITY.md', `\`test/a.test.ts\`: "${title}"`)],
        tests,
        () => true,
      );
    expect(told('is refused')).toEqual([]);
    expect(told('is taken')).toHaveLength(1);
  });

  test('a path in a comment exists, from where the code would look', () => {
    expect(inComment('// main.ts and docs/state.md')).toEqual([]);
    expect(inComment('// oci/gone.ts')).toHaveLength(1);
    expect(inComment("const name = 'oci/gone.ts';")).toEqual([]);
  });
});
