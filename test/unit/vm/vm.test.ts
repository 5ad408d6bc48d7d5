/**
 * The parts of the test system that need no machine: its job, its result, its image's key.
 */

import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { parseResult, timeStampCounter } from '../../../scripts/vm/machine.ts';
import { jobScript } from '../../../scripts/vm/project.ts';
import { keyOf, RECIPES, recipeNamed } from '../../../scripts/vm/recipe.ts';

describe('the result of a machine', () => {
  test('is its status and its report', () => {
    const ended = { status: 3, report: '{"a": 1}\n', trouble: undefined };
    expect(parseResult('status 3\n{"a": 1}\nend of result\n')).toEqual(ended);
    expect(parseResult('status 0\nend of result\n')).toMatchObject({
      report: undefined,
      status: 0,
    });
  });

  test.each(['', 'status 0\n', 'status 0\n{"a": 1}\nend of resu', 'status \nend of result\n'])(
    'is none when the machine died in between: %j',
    (text) => {
      expect(parseResult(text)).toBeUndefined();
    },
  );
});

test('the guest is told the frequency of the time stamp counter', () => {
  const cpuinfo = 'cpu MHz\t\t: 900.000\nbogomips\t: 4200.02\n\nbogomips\t: 4199.98\n';
  expect(timeStampCounter(cpuinfo)).toBe(' tsc_early_khz=2100010');
  expect(timeStampCounter('')).toBe('');
});

test('a job reaches the shell word by word', () => {
  const command = ['printf', '%s|', "it's", '$HOME `x`', '', 'a b'];
  const job = { command, reportFile: "/r'", environment: { WHAT: "a 'b' $c" } };
  const script = `${jobScript(job)}"$@"; echo "$report $WHAT"`;
  const printed = execFileSync('sh', ['-c', script], { encoding: 'utf8' });
  expect(printed).toBe("it's|$HOME `x`||a b|/r' a 'b' $c\n");
});

describe('a recipe', () => {
  test('has a key that its packages change', () => {
    const recipe = recipeNamed('system');
    const other = { ...recipe, packages: [...recipe.packages, 'podman'] };
    expect(keyOf(recipe)).toBe(keyOf({ ...recipe }));
    expect(keyOf(other)).not.toBe(keyOf(recipe));
  });

  test('of another name is refused with the names there are', () => {
    expect(() => recipeNamed('x')).toThrow(`no image x; there are ${Object.keys(RECIPES)}`);
  });
});
