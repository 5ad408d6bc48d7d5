/**
 * What vitest reported, held against test/skips.json, and the line that every test command ends
 * with: `N passed, N failed, N skipped`.
 */

import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';

export interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly Assertion[];
  }[];
}

interface Assertion {
  readonly status: string;
  readonly fullName: string;
  readonly title: string;
}

/** Where a test runs: `npm test` on this machine, or `npm run test:vm` in the test system. */
export type Where = 'host' | 'vm';

export interface Skip {
  readonly where: Where;
  readonly file: string;
  readonly title: string;
  readonly reason: string;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const repository = resolve(import.meta.dirname, '..');

export function listedSkips(where: Where): Skip[] {
  const all = JSON.parse(readFileSync(`${repository}/test/skips.json`, 'utf8')) as Skip[];
  return all.filter((skip) => skip.where === where);
}

/** A skip that is not on the list, and a line of the list that no test answers to. */
export function skipProblems(report: Report, listed: readonly Skip[]): string[] {
  const problems: string[] = [];
  const titles = new Set<string>();
  for (const { name, assertionResults } of report.testResults) {
    for (const { status, title, fullName } of assertionResults) {
      titles.add(`${basename(name)} ${title}`);
      if (status === 'passed' || status === 'failed') continue;
      const known = listed.some((skip) => skip.file === basename(name) && skip.title === title);
      if (!known) problems.push(`skipped without a line in test/skips.json: ${name}: ${fullName}`);
    }
  }
  for (const { file, title, reason } of listed) {
    if (!titles.has(`${file} ${title}`))
      problems.push(`test/skips.json: no test ${file}: ${title}`);
    if (reason.length < 10) problems.push(`test/skips.json: no reason for ${file}: ${title}`);
  }
  return problems;
}

/** Files that failed outside of a test: not loaded, or an empty or broken suite. */
export function brokenFiles(report: Report): string[] {
  const broken = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && assertionResults.every((one) => one.status !== 'failed'),
  );
  return broken.map(
    ({ name, message }) => `${name}: ${message.split('\n')[0] || 'a suite failed'}`,
  );
}

/** A run that did not succeed has a failure to show, whatever its report says. */
export function counts(report: Report, success: boolean, problems: readonly string[]): Counts {
  const found = [...problems];
  if (!success && report.numFailedTests === 0 && found.length === 0) {
    found.push('vitest failed outside of a test');
  }
  for (const problem of found) console.log(`FAILED ${problem}`);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + found.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

export const lastLine = ({ passed, failed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

export function parseLastLine(text: string): Counts | undefined {
  const parts = /(?:^|\n)(\d+) passed, (\d+) failed, (\d+) skipped\n*$/.exec(text);
  if (parts === null) return undefined;
  return { passed: Number(parts[1]), failed: Number(parts[2]), skipped: Number(parts[3]) };
}

/** The exit code and the line must agree; where they do not, the worse one counts. */
export function judged(name: string, status: number | null, said: Counts | undefined): Counts {
  if (said !== undefined && (status === 0 || said.failed > 0)) return said;
  console.log(
    `FAILED ${name}: exit status ${status} after ${said ? 'no failure' : 'no last line'}`,
  );
  return { passed: said?.passed ?? 0, failed: 1, skipped: said?.skipped ?? 0 };
}

/** Runs `main` and prints the line of its counts; what it throws is a failure too. */
export async function conclude(main: () => Counts | Promise<Counts>): Promise<void> {
  let result: Counts;
  try {
    result = await main();
  } catch (error) {
    console.log(`FAILED ${(error as Error).message}`);
    result = { passed: 0, failed: 1, skipped: 0 };
  }
  console.log(lastLine(result));
  process.exitCode = result.failed === 0 && result.passed > 0 ? 0 : 1;
}
