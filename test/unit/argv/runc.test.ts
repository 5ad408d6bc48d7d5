/**
 * The parser's refusals beside those of the distribution's runc: same text, same exit code. runc's
 * arity text begins with its argv[0], ours with our name.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseArgv, usageNote, Values } from '../../../src/argv.ts';
import type { RuncellError } from '../../../src/error.ts';

let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'runcell-argv-'));
});

afterAll(() => {
  rmSync(root, { recursive: true });
});

interface Refusal {
  readonly message: string;
  readonly exitCode: number;
  readonly headline: boolean;
}

function ofRunc(words: readonly string[]): Refusal {
  const { status, stdout, stderr, error } = spawnSync('runc', ['--root', root, ...words], {
    encoding: 'utf8',
    argv0: 'runcell',
  });
  if (error !== undefined) throw error;
  // logfmt quotes as JSON does, for these texts.
  const msg = JSON.parse(/ msg=(".*")\n$/.exec(stderr)![1]!) as string;
  return {
    message: msg.trimEnd(),
    exitCode: status!,
    headline: stdout.startsWith('Incorrect Usage'),
  };
}

function ofRuncell(words: readonly string[]): Refusal {
  try {
    parseArgv(words, new Values()).flags.integer('preserve-fds');
  } catch (thrown) {
    const note = usageNote(thrown as RuncellError)!;
    const { message } = thrown as RuncellError;
    return { message, exitCode: note.exitCode, headline: note.headline !== undefined };
  }
  throw new Error(`accepted: ${words.join(' ')}`);
}

const REFUSED = [
  'state',
  'state a b',
  'start',
  'start a b',
  'create',
  'run a b',
  'delete',
  'kill',
  'kill a 9 b',
  'exec',
  'spec a',
  'state -x a',
  'state --x=1 a',
  '--bogus state a',
  'run -dt a',
  'exec -dt a b',
  'list --format',
  'create --bundle',
  'exec -e',
  'list -q=maybe',
  'delete --force=yes a',
  'create --preserve-fds x a',
  'state ---x a',
  'state --=x a',
  '---x state',
  'nope',
  'help nope',
];

test.each(REFUSED)('runc and runcell refuse %s alike', (line) => {
  const words = line.split(' ');
  expect(ofRuncell(words)).toEqual(ofRunc(words));
});
