/**
 * scripts/report.ts: what counts as a failure besides a failed test, and the last line.
 */

import { describe, expect, test, vi } from 'vitest';
import {
  brokenFiles,
  counts,
  judged,
  lastLine,
  parseLastLine,
  type Report,
  skipProblems,
} from '../../../scripts/report.ts';

const one = (status: string, title = 'a title') => ({ status, title, fullName: title });
const report = (
  assertionResults: Report['testResults'][0]['assertionResults'],
  rest: Partial<Report> = {},
  status = 'passed',
): Report => ({
  numPassedTests: 1,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [{ name: '/x/a.test.ts', status, message: '', assertionResults }],
  ...rest,
});
const listed = {
  where: 'vm',
  file: 'a.test.ts',
  title: 'a title',
  reason: 'has no floppy',
} as const;

describe('skips', () => {
  test('a listed one is no problem', () => {
    expect(skipProblems(report([one('skipped')]), [listed])).toEqual([]);
  });

  test('one that is not listed is', () => {
    expect(skipProblems(report([one('skipped')]), [])).toHaveLength(1);
  });

  test('a line that no test answers to is', () => {
    const problems = skipProblems(report([one('passed', 'other')]), [listed]);
    expect(problems).toEqual(['test/skips.json: no test a.test.ts: a title']);
  });

  test('a line without a reason is', () => {
    expect(skipProblems(report([one('skipped')]), [{ ...listed, reason: '' }])).toHaveLength(1);
  });
});

describe('counts', () => {
  const silent = (body: () => void) => {
    const log = vi.spyOn(console, 'log').mockReturnValue(undefined);
    body();
    log.mockRestore();
  };

  test('vitest that fails without a failed test is one failure', () => {
    silent(() => {
      expect(counts(report([one('passed')]), false, [])).toMatchObject({ passed: 1, failed: 1 });
      expect(counts(report([one('passed')]), true, [])).toMatchObject({ passed: 1, failed: 0 });
    });
  });

  test('problems are failures', () => {
    silent(() => expect(counts(report([]), true, ['x', 'y'])).toMatchObject({ failed: 2 }));
  });

  test('a file that could not be loaded is a problem', () => {
    expect(brokenFiles(report([], {}, 'failed'))).toEqual(['/x/a.test.ts: a suite failed']);
    expect(brokenFiles(report([one('failed')], {}, 'failed'))).toEqual([]);
  });
});

describe('the last line', () => {
  const line = { passed: 12, failed: 0, skipped: 3 };

  test('is read back as it was written', () => {
    expect(parseLastLine(`something\n${lastLine(line)}\n`)).toEqual(line);
    expect(parseLastLine(`${lastLine(line)}\nsomething\n`)).toBeUndefined();
    expect(parseLastLine(`1${lastLine(line)}`)).toEqual({ ...line, passed: 112 });
    expect(parseLastLine('')).toBeUndefined();
  });

  test('and the exit code: the worse one counts', () => {
    const log = vi.spyOn(console, 'log').mockReturnValue(undefined);
    expect(judged('x', 0, line)).toEqual(line);
    expect(judged('x', 1, { ...line, failed: 2 })).toEqual({ ...line, failed: 2 });
    expect(judged('x', 1, line)).toEqual({ ...line, failed: 1 });
    expect(judged('x', 0, undefined)).toEqual({ passed: 0, failed: 1, skipped: 0 });
    expect(judged('x', null, undefined)).toEqual({ passed: 0, failed: 1, skipped: 0 });
    log.mockRestore();
  });
});
