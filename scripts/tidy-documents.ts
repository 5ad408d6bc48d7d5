/**
 * What the documents and comments say of files is true: every path that they name exists, every
 * link leads somewhere, and a test that SECURITY.md answers with is there under its title. Part of
 * scripts/tidy.ts. Pure.
 */

import path from 'node:path';
import type { Problem, Source } from './tidy.ts';

/** Where a path in a comment may begin: the code's own short way to say where something is. */
const COMMENT_BASES = ['', 'src/', 'src/libcontainer/', 'src/oci/', 'src/commands/', 'test/'];

const PATHS = /(?<![\w./-])(?:src|scripts|test|docs|schema|packages|\.ci)\/[\w./-]*[\w/]/g;
const LINKS = /\]\(([^)#\s]+)(?:#[^)]*)?\)/g;
const IN_COMMENTS = /(?<![\w./<-])(?:[\w-]+\/)+[\w-]+\.(?:ts|cjs|md|json)\b/g;
/** `test/…/x.test.ts`: "title" */
const TESTS = /`(test\/[\w./-]+\.test\.ts)`: "([^"]+)"/g;

export function documentProblems(
  documents: readonly Source[],
  sources: readonly Source[],
  exists: (file: string) => boolean,
): Problem[] {
  return [
    ...documents.flatMap((document) => linesOf(document, (line) => named(document, line, exists))),
    ...documents.flatMap((document) => linesOf(document, (line) => untested(line, sources))),
    ...sources
      .filter(({ path: file }) => !file.startsWith('test/unit/tidy/'))
      .flatMap((source) => linesOf(source, (line) => commented(source, line, exists))),
  ];
}

function linesOf(source: Source, look: (line: string) => string[]): Problem[] {
  return source.text
    .split('\n')
    .flatMap((line, index) =>
      look(line).map((text) => ({ path: source.path, line: index + 1, text })),
    );
}

/** Paths and relative links of a document that lead nowhere. */
function named(document: Source, line: string, exists: (file: string) => boolean): string[] {
  const paths = [...line.matchAll(PATHS)].map(([file]) => file);
  const directory = path.posix.dirname(document.path);
  const links = [...line.matchAll(LINKS)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => path.posix.normalize(`${directory}/${target}`));
  const missing = [...paths, ...links].filter((file) => !isMade(file) && !exists(file));
  return missing.map((file) => `${file} does not exist`);
}

/** A test that is answered with: its file holds the title. */
function untested(line: string, sources: readonly Source[]): string[] {
  return [...line.matchAll(TESTS)].flatMap(([, file, title]) => {
    const source = sources.find((one) => one.path === file);
    // A file that does not exist has been told of.
    if (source === undefined || source.text.includes(title!)) return [];
    return [`${file} has no test "${title}"`];
  });
}

function commented(source: Source, line: string, exists: (file: string) => boolean): string[] {
  const at = line.search(/(^\s*(\/\*\*?|\*)(\s|$))|(^|\s)\/\/ /);
  if (at === -1) return [];
  const directory = path.posix.dirname(source.path);
  const bases = [...COMMENT_BASES, `${directory}/`, `${path.posix.dirname(directory)}/`];
  return [...line.slice(at).matchAll(IN_COMMENTS)]
    .map(([file]) => file)
    .filter((file) => !isMade(file) && !isElsewhere(file))
    .filter((file) => !bases.some((base) => exists(path.posix.normalize(base + file))))
    .map((file) => `${file} does not exist`);
}

/** What the build and the generators make. */
function isMade(file: string): boolean {
  return /(^|\/)(dist|generated|hot|node_modules)(\/|$)/.test(file);
}

/** Of the design's papers, which are not in the repository, and of other projects. */
function isElsewhere(file: string): boolean {
  return /^(reference|design|lib|doc|ajv)\//.test(file);
}
