/**
 * One integration test: `check(title, [what it needs], body)`. The body gets a box of its own and
 * whatever it leaves behind fails it.
 *
 * A test runs on runc too (project "compat") unless it says with `notRunc` why it cannot.
 */

import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { Box } from './box.ts';
import { PATIENCE } from './eventually.ts';
import { knownSkips, type Needs, unmetNeed } from './needs.ts';
import { isRuncell } from './runtime.ts';

export interface CheckOptions extends Needs {
  /** Why runc 1.1.5 cannot be the judge of this test. */
  readonly notRunc?: string;
  /** Why it says nothing in the test system (scripts/vm.ts), where all integration tests run too. */
  readonly notVm?: string;
  readonly timeoutMs?: number;
}

export type Body = (box: Box) => Promise<void>;

const TIMEOUT_MS = 60_000;

export function check(title: string, body: Body): void;
export function check(title: string, options: CheckOptions, body: Body): void;
export function check(title: string, second: Body | CheckOptions, third?: Body): void {
  const body = typeof second === 'function' ? second : third!;
  const { notRunc, notVm, timeoutMs, ...needs } = typeof second === 'function' ? {} : second;
  if (notRunc !== undefined && !isRuncell) return;
  if (notVm !== undefined && process.env['RUNCELL_TEST_VM'] !== undefined) return;
  const unmet = unmetNeed({ root: true, ...needs });
  if (unmet === undefined) {
    test(title, { timeout: (timeoutMs ?? TIMEOUT_MS) * PATIENCE }, () => inBox(body));
  } else {
    skipOrFail(title, unmet);
  }
}

function skipOrFail(title: string, unmet: string): void {
  const file = basename(expect.getState().testPath ?? '');
  const listed = knownSkips().find((skip) => skip.title === title && skip.file === file);
  if (listed !== undefined) {
    test.skip(title, () => {});
    return;
  }
  test(title, () => {
    throw new Error(`needs ${unmet}, and ${file}: "${title}" is not in test/skips.json`);
  });
}

async function inBox(body: Body): Promise<void> {
  const box = new Box();
  let thrown: unknown;
  try {
    await body(box);
  } catch (error) {
    thrown = error;
  }
  const leaks = await box.close();
  if (thrown !== undefined) {
    if (leaks.length > 0 && thrown instanceof Error) {
      thrown.message += `\nand left behind:\n  ${leaks.join('\n  ')}`;
    }
    throw thrown;
  }
  if (leaks.length > 0) throw new Error(`left behind:\n  ${leaks.join('\n  ')}`);
}
