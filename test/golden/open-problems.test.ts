/** What is listed as open is open: a solved problem leaves the list in golden.ts. */

import { expect, test } from 'vitest';
import { defaultSpec } from '../../src/oci/default-spec.ts';
import { OPEN, problemsOf } from './golden.ts';
import { createPrograms, execPrograms } from './plan.ts';

test.each(OPEN.map((open) => [open.source, open] as const))('%s', (_, open) => {
  const process = { cwd: '/', args: ['sh'], env: ['PATH=/bin'] };
  const programs = [
    ...createPrograms({ config: defaultSpec({ rootless: false }) }),
    ...execPrograms({ process, namespaces: ['mount', 'pid'] }),
  ];
  const problems = problemsOf(programs).flatMap((program) => program.problems);
  expect(problems.some((problem) => open.test(problem))).toBe(true);
});
