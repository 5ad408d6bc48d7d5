/**
 * The rules of style that a program can check: `npm run tidy`, a step of `npm run ok`.
 *
 * Each rule is a function from sources to problems, and a problem names its line. What may break a
 * rule stands in scripts/tidy.json, each line with its reason; a line that nothing needs any more is
 * a problem too, so that the list only gets shorter (a ratchet). CONTRIBUTING.md says why each rule
 * is there. The sources are those git knows and those it does not ignore.
 */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseAst } from 'rolldown/parseAst';
import { documentProblems } from './tidy-documents.ts';

export interface Source {
  /** From the repository's root, as `src/main.ts`. */
  readonly path: string;
  readonly text: string;
}

export interface Problem {
  readonly path: string;
  /** From 1; absent where it is about the whole file. */
  readonly line?: number;
  readonly text: string;
}

/** scripts/tidy.json: what may break a rule, and why. */
export interface Exceptions {
  /** `from` imports the room `to`, which is not on a lower floor. */
  readonly imports: readonly { readonly from: string; readonly to: string; reason: string }[];
  /** A module of Node's that the file's room may not have. */
  readonly modules: readonly { readonly path: string; readonly module: string; reason: string }[];
  /** A banned word, see BANNED. */
  readonly words: readonly { readonly path: string; readonly word: string; reason: string }[];
  /** A function, or without `function` the file itself, of at most so many lines. */
  readonly long: readonly {
    readonly path: string;
    readonly function?: string;
    readonly lines: number;
    reason: string;
  }[];
  /** No entry leads to this file. */
  readonly unreached: readonly { readonly path: string; reason: string }[];
}

export const FUNCTION_LINES = 70;
export const FILE_LINES = 500;

/** Rooms by floor: each imports from lower floors and from itself. */
export const FLOORS: readonly (readonly string[])[] = [
  ['linux'],
  ['error'],
  ['native', 'output', 'program'],
  ['argv', 'host', 'hooks', 'log'],
  ['oci', 'plan', 'seccomp', 'executor', 'launcher', 'cgroups', 'console', 'store'],
  ['container', 'storage'],
  ['commands'],
  ['help'],
  ['main'],
  ['boot'],
];

/** Rooms that touch files; everything else computes. */
const FILE_ROOMS = new Set([
  ...['boot', 'main', 'log', 'output', 'commands', 'storage', 'container'],
  ...['cgroups', 'console', 'executor', 'host', 'native', 'store'],
]);

/** Words that product code does not contain, and what stands in for them. */
export const BANNED: Readonly<Record<string, string>> = {
  'process.stdout': 'src/output.ts: it costs milliseconds and leaves O_NONBLOCK behind',
  'process.stderr': 'src/output.ts: it costs milliseconds and leaves O_NONBLOCK behind',
  'console.log': 'src/output.ts',
  'console.error': 'the log of the context',
  'process.exit(': 'an error or a result: main alone ends the process',
  "process.env['": 'context.env: the environment of the caller is data',
  "require('koffi')": 'native/koffi.ts: 1 ms in place of 10',
  'new Function(': 'nothing: no code is made from text',
  'eval(': 'nothing: no code is made from text',
};

/** Names that say nothing of what is in the file. */
const EMPTY_NAMES = ['utils', 'util', 'common', 'helpers', 'misc', 'types'];

/** Where the build begins: scripts/build.ts writes the bundles' own first lines. */
const isEntry = (file: string): boolean =>
  /^src\/(boot|main|help\/cold)\.ts$|^src\/commands\/(?!.*\/?(context|document|owned|path|stdio|verb)\.ts)/.test(
    file,
  );

/** `src/libcontainer/plan/mounts.ts` → `plan`, `src/log.ts` → `log`; undefined outside of src. */
export function roomOf(file: string): string | undefined {
  const parts = file.split('/');
  if (parts[0] !== 'src') return undefined;
  const room = parts[1] === 'libcontainer' ? parts[2] : parts[1];
  return room?.replace(/\.ts$/, '');
}

const floorOf = (room: string): number => FLOORS.findIndex((rooms) => rooms.includes(room));

// ---- reading a source

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

/** Calls `visit` for every node of a source, parents first. */
function walk(node: Node, visit: (node: Node, parent: Node | undefined) => void): void {
  const step = (one: Node, parent: Node | undefined): void => {
    visit(one, parent);
    for (const value of Object.values(one)) {
      for (const child of Array.isArray(value) ? value : [value])
        if (isNode(child)) step(child, one);
    }
  };
  step(node, undefined);
}

function parse(source: Source): Node {
  return parseAst(source.text, { lang: 'ts' }) as unknown as Node;
}

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

interface Import {
  /** As written. */
  readonly name: string;
  readonly line: number;
}

/** Whatever the source imports or exports from another, by statement or by import(). */
export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  walk(parse(source), (node) => {
    const from = node['source'];
    if (!isNode(from) || typeof from['value'] !== 'string') return;
    found.push({ name: from['value'], line: lineAt(source.text, node.start) });
  });
  return found;
}

const targetOf = (file: string, name: string): string =>
  path.posix.normalize(`${path.posix.dirname(file)}/${name}`);

// ---- rules

/** Import downward only; rooms of one floor do not know each other. */
export function floorProblems(sources: readonly Source[], exceptions: Exceptions): Problem[] {
  const open = new Set(exceptions.imports);
  const problems: Problem[] = [];
  for (const source of sources) {
    const room = roomOf(source.path);
    if (room === undefined) continue;
    if (floorOf(room) === -1) problems.push({ path: source.path, text: `no floor for ${room}` });
    for (const { name, line } of importsOf(source)) {
      if (!name.startsWith('.')) continue;
      const to = roomOf(targetOf(source.path, name));
      if (to === undefined || to === room || floorOf(to) < floorOf(room)) continue;
      const exception = exceptions.imports.find((row) => row.from === source.path && row.to === to);
      if (exception !== undefined) open.delete(exception);
      else problems.push({ path: source.path, line, text: `${room} may not import ${to}` });
    }
  }
  return [...problems, ...unneeded(open, ({ from, to }) => `the import of ${to} by ${from}`)];
}

/** node:fs where files are touched, node:assert anywhere, nothing else. */
export function moduleProblems(sources: readonly Source[], exceptions: Exceptions): Problem[] {
  const open = new Set(exceptions.modules);
  const problems: Problem[] = [];
  for (const source of sources) {
    const room = roomOf(source.path);
    if (room === undefined) continue;
    for (const { name: module, line } of importsOf(source)) {
      if (!module.startsWith('node:') || module === 'node:assert') continue;
      if (module === 'node:fs' && FILE_ROOMS.has(room)) continue;
      const exception = exceptions.modules.find(
        (row) => row.path === source.path && row.module === module,
      );
      if (exception !== undefined) open.delete(exception);
      else problems.push({ path: source.path, line, text: `${module} is not for ${room}` });
    }
  }
  return [...problems, ...unneeded(open, (row) => `${row.module} in ${row.path}`)];
}

export function wordProblems(sources: readonly Source[], exceptions: Exceptions): Problem[] {
  const open = new Set(exceptions.words);
  const problems: Problem[] = [];
  for (const source of sources) {
    if (roomOf(source.path) === undefined) continue;
    source.text.split('\n').forEach((line, index) => {
      if (isComment(line)) return;
      for (const [word, instead] of Object.entries(BANNED)) {
        if (!new RegExp(`(?<![\\w.'])${escaped(word)}`).test(line)) continue;
        const exception = exceptions.words.find(
          (row) => row.path === source.path && row.word === word,
        );
        if (exception !== undefined) open.delete(exception);
        else problems.push({ path: source.path, line: index + 1, text: `${word}: use ${instead}` });
      }
    });
  }
  return [...problems, ...unneeded(open, (row) => `${row.word} in ${row.path}`)];
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

const isComment = (line: string): boolean => /^\s*(\/\*|\*|\/\/)/.test(line);

const FUNCTIONS = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'];

/** Functions and files of bounded length; those of tests are lists of cases. */
export function lengthProblems(sources: readonly Source[], exceptions: Exceptions): Problem[] {
  const open = new Set(exceptions.long);
  const problems: Problem[] = [];
  const judge = (path: string, name: string | undefined, at: Lengths): void => {
    if (at.lines <= at.limit) return;
    const row = exceptions.long.find((one) => one.path === path && one.function === name);
    if (row !== undefined) open.delete(row);
    const allowed = row?.lines ?? at.limit;
    if (at.lines <= allowed) return;
    const what = name === undefined ? 'the file' : `function ${name}`;
    const text = `${what} has ${at.lines} lines, more than ${allowed}`;
    problems.push({ path, line: at.line, text });
  };
  for (const source of sources) {
    const lines = source.text.split('\n').length - 1;
    judge(source.path, undefined, { lines, limit: FILE_LINES, line: 1 });
    if (source.path.endsWith('.test.ts')) continue;
    for (const { name, line, lines } of functionsOf(source)) {
      judge(source.path, name, { lines, limit: FUNCTION_LINES, line });
    }
  }
  return [...problems, ...unneeded(open, (row) => `${row.path} ${row.function ?? ''}`.trim())];
}

interface Lengths {
  readonly lines: number;
  readonly limit: number;
  readonly line: number;
}

export function functionsOf(source: Source): { name: string; line: number; lines: number }[] {
  const found: { name: string; line: number; lines: number }[] = [];
  walk(parse(source), (node, parent) => {
    if (!FUNCTIONS.includes(node.type)) return;
    const line = lineAt(source.text, node.start);
    const lines = lineAt(source.text, node.end) - line + 1;
    found.push({ name: nameOf(node) ?? nameOf(parent) ?? `at line ${line}`, line, lines });
  });
  return found;
}

/** Its own name, or that of the method or variable that it is. */
function nameOf(node: Node | undefined): string | undefined {
  const named = node?.['id'] ?? node?.['key'];
  return isNode(named) && typeof named['name'] === 'string' ? named['name'] : undefined;
}

/** Every file begins with what it is. */
export function headerProblems(sources: readonly Source[]): Problem[] {
  return sources
    .filter(({ text }) => !/^(#!.*\n)?\/\*\* ?\n? ?\*? ?\S/.test(text))
    .map(({ path }) => ({ path, line: 1, text: 'no comment at the head says what the file is' }));
}

/** Neither unfinished work nor a test that keeps the others from running. */
export function markProblems(sources: readonly Source[]): Problem[] {
  const unfinished = new RegExp(`\\b(TO${''}DO|FIX${''}ME|XX${''}X)\\b`);
  const only = /\b(test|it|describe|check|suite)\.only\b/;
  return sources.flatMap((source) =>
    source.text.split('\n').flatMap((line, index) => {
      const at = { path: source.path, line: index + 1 };
      const word = unfinished.exec(line)?.[0];
      return [
        ...(word === undefined ? [] : [{ ...at, text: `${word}: finish it or open an issue` }]),
        ...(only.test(line) ? [{ ...at, text: 'only: the other tests do not run' }] : []),
      ];
    }),
  );
}

export function nameProblems(sources: readonly Source[]): Problem[] {
  return sources
    .filter(({ path: file }) => file.startsWith('src/'))
    .filter(({ path: file }) => EMPTY_NAMES.includes(path.posix.basename(file, '.ts')))
    .map(({ path }) => ({ path, text: 'the name does not say what is in the file' }));
}

/** Product code that nothing of the product leads to. */
export function deadProblems(sources: readonly Source[], exceptions: Exceptions): Problem[] {
  const product = new Map(
    sources.filter(({ path }) => path.startsWith('src/')).map((one) => [one.path, one]),
  );
  const makers = sources.filter(({ path }) => path.startsWith('scripts/'));
  const reached = new Set<string>();
  const reach = (source: Source): void => {
    for (const { name } of importsOf(source)) {
      if (!name.startsWith('.')) continue;
      const file = targetOf(source.path, name);
      const next = product.get(file);
      if (next === undefined || reached.has(file)) continue;
      reached.add(file);
      reach(next);
    }
  };
  for (const source of [...product.values()].filter((one) => isEntry(one.path))) {
    reached.add(source.path);
    reach(source);
  }
  for (const source of makers) reach(source);
  const open = new Set(exceptions.unreached);
  const problems: Problem[] = [];
  for (const file of product.keys()) {
    if (reached.has(file)) continue;
    const exception = exceptions.unreached.find(
      (row) => file === row.path || file.startsWith(`${row.path}/`),
    );
    if (exception === undefined) problems.push({ path: file, text: 'nothing leads to this file' });
    else open.delete(exception);
  }
  return [...problems, ...unneeded(open, (row) => row.path)];
}

function unneeded<Row>(open: ReadonlySet<Row>, what: (row: Row) => string): Problem[] {
  return [...open].map((row) => ({
    path: 'scripts/tidy.json',
    text: `no exception is needed any more: ${what(row)}`,
  }));
}

// ---- the whole

export function tidy(
  sources: readonly Source[],
  exceptions: Exceptions,
  documents: readonly Source[],
  exists: (file: string) => boolean,
): Problem[] {
  return [
    ...floorProblems(sources, exceptions),
    ...moduleProblems(sources, exceptions),
    ...wordProblems(sources, exceptions),
    ...lengthProblems(sources, exceptions),
    ...headerProblems(sources),
    ...markProblems(sources),
    ...nameProblems(sources),
    ...deadProblems(sources, exceptions),
    ...documentProblems(documents, sources, exists),
  ];
}

/** Files git knows, or would with `git add`. */
function listFiles(root: string): string[] {
  const args = ['-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const names = execFileSync('git', args, { encoding: 'utf8' }).split('\0');
  return names.filter((name) => name !== '' && fs.existsSync(path.join(root, name)));
}

export function tidyRepository(root: string): Problem[] {
  const files = listFiles(root);
  const read = (name: string): Source => ({
    path: name,
    text: fs.readFileSync(path.join(root, name), 'utf8'),
  });
  const exceptions = JSON.parse(read('scripts/tidy.json').text) as Exceptions;
  const sources = files.filter((name) => name.endsWith('.ts')).map(read);
  const documents = files.filter((name) => name.endsWith('.md')).map(read);
  return tidy(sources, exceptions, documents, (name) => fs.existsSync(path.join(root, name)));
}

if (process.argv[1] === import.meta.filename) {
  const problems = tidyRepository(path.join(import.meta.dirname, '..'));
  for (const { path: file, line, text } of problems) {
    console.log(line === undefined ? `${file}: ${text}` : `${file}:${line}: ${text}`);
  }
  if (problems.length > 0) {
    console.log(`${problems.length} problems`);
    process.exitCode = 1;
  }
}
