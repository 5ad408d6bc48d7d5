/**
 * What the checks of a document found: problems (it is refused), warnings and debug lines.
 *
 * Checks never throw; they collect, so that all problems are told at once. Opens no file.
 */

import { type ErrorCode, RuncellError } from '../../error.ts';

export interface Finding {
  /** `config.value` unless it is said otherwise. */
  readonly code: ErrorCode;
  /** Place in the document, as `mounts[3].options`. */
  readonly path: string;
  /** The value there, where it helps to see it. */
  readonly target?: string | undefined;
  readonly reason: string;
  readonly hint?: string | undefined;
}

export interface Findings {
  readonly problems: Finding[];
  readonly warnings: string[];
  readonly debug: string[];
}

export function noFindings(): Findings {
  return { problems: [], warnings: [], debug: [] };
}

/** A value that the specification or the kernel does not allow. */
export function problem(
  findings: Findings,
  path: string,
  reason: string,
  more: { target?: string; hint?: string; code?: ErrorCode } = {},
): void {
  findings.problems.push({ code: 'config.value', path, reason, ...more });
}

/** A value that means something and that runcell does not carry out yet: never ignored. */
export function unsupported(findings: Findings, path: string, target?: string): void {
  const reason = 'is not supported yet';
  const more = target === undefined ? {} : { target };
  findings.problems.push({ code: 'config.unsupported', path, reason, ...more });
}

/**
 * One error for all problems: its line is about the first and counts the others, its `cause` has
 * all of them for the log.
 */
export function throwProblems(findings: Findings): void {
  const [first] = findings.problems;
  if (first === undefined) return;
  const others = findings.problems.length - 1;
  const count = others === 0 ? '' : ` (and ${others} more problem${others === 1 ? '' : 's'})`;
  throw new RuncellError({
    code: first.code,
    specPath: first.path === '' ? undefined : first.path,
    target: first.target,
    reason: first.reason + count,
    hint: first.hint,
    ...(others === 0 ? {} : { cause: new Problems(findings.problems) }),
  });
}

/** All problems of a document, one a line. */
export class Problems extends Error {
  readonly problems: readonly Finding[];
  constructor(problems: readonly Finding[]) {
    super(problems.map(lineOf).join('\n'));
    this.name = 'Problems';
    this.problems = problems;
  }
}

function lineOf({ path, target, reason }: Finding): string {
  return [`${path} ${target ?? ''}`.trim(), reason].filter((part) => part !== '').join(': ');
}
