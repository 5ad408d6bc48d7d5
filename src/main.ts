/**
 * argv → one verb. The only place that prints an error or sets the exit code, and it does each once.
 *
 * Every bundle begins here (src/boot.ts). argv is [node, script, number of the launcher's hand-over
 * memfd, the user's words…]. The process ends at once (native/end.ts): nothing is pending that an
 * orderly exit would wait for, and what is printed is printed by write(2).
 */

import fs from 'node:fs';
import { type CommandLine, parseArgv, usageNote, Values } from './argv.ts';
import { makeContext, openVerbLog } from './commands/context.ts';
import { HOT_VERBS, type Verb } from './commands/verb.ts';
import { versionText } from './commands/version.ts';
import { RuncellError, toRuncellError } from './error.ts';
import { type HandOver, parseHandOver } from './launcher/hand-over.ts';
import type { Context } from './libcontainer/container/context.ts';
import { endProcess } from './libcontainer/native/end.ts';
import { failureMessage, openLog, type VerbLog } from './log.ts';
import { STDOUT, writeTolerant } from './output.ts';

/** Of src/boot.ts: runs another bundle in place of this one. */
declare const startBundle: ((name: string) => void) | undefined;

/** Everything known so far, for whatever goes wrong next. */
const globals = new Values();
let verb = '';
let log: VerbLog | undefined;

/** What a bundle does: its one verb, or with none of its own help, versions and the cold verbs. */
export function runMain(ownId: string, own: Verb | undefined): void {
  main(ownId, own)
    .catch(report)
    .then(
      (code) => code === undefined || endProcess(code),
      () => endProcess(1),
    );
}

/** The exit code; undefined when another bundle goes on. */
async function main(ownId: string, own: Verb | undefined): Promise<number | undefined> {
  const line = parseArgv(process.argv.slice(3), globals);
  if (line.action === 'version') return print(versionText());
  if (line.action === 'help') return print(await helpOf(line.verb));
  const wanted = HOT_VERBS.includes(line.verb) ? line.verb : '';
  if (wanted !== ownId) {
    startBundle!(wanted.replace(':', '-'));
    return undefined;
  }
  process.on('uncaughtException', (thrown) => void report(thrown).then(endProcess));
  const handOver = readHandOver(process.argv[2]);
  const cwd = callerDirectory();
  log = openVerbLog(globals, cwd);
  // After the log file, whose mode is the caller's business; state is nobody else's.
  process.umask(0o077);
  const context = makeContext(globals, handOver, cwd, log);
  // From here on an error is the verb's, with its prefix and exit code; `finish` ends another's.
  verb = line.verb === 'finish' ? line.args[0]! : line.verb;
  log.debug(`${line.verb} ${line.args.join(' ')}`);
  if (own === undefined) return runCold(context, line);
  return (await own(context, line, STDOUT)) ?? 0;
}

/** getcwd(2) fails in a directory that was removed: ''. Only relative paths need it. */
function callerDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '';
  }
}

function readHandOver(text: string | undefined): HandOver {
  const fd = /^[0-9]+$/.test(text ?? '') ? Number(text) : -1;
  if (fd < 3) {
    const reason = 'this file is started by dist/runcell, not by node';
    throw new RuncellError({ code: 'internal', reason });
  }
  const { size, mode } = fs.fstatSync(fd);
  const bytes = new Uint8Array(size);
  fs.readSync(fd, bytes, 0, bytes.length, 0);
  fs.closeSync(fd);
  return parseHandOver(bytes, mode);
}

async function runCold(context: Context, line: CommandLine): Promise<number> {
  const cold = await import('./help/cold.ts');
  return cold.runCold(context, line, STDOUT);
}

async function helpOf(id: string): Promise<string> {
  return (await import('./help/cold.ts')).helpText(id);
}

function print(text: string): number {
  STDOUT.out(text);
  return 0;
}

/** Says what went wrong and answers the exit code (reference/runtime-cli.md §1.5). */
async function report(thrown: unknown): Promise<number> {
  const error = toRuncellError(thrown);
  const note = usageNote(error);
  if (note?.headline !== undefined) await printUsage(note.headline, note.verb);
  const { errorLog, problem } = logOfError();
  const message = note === undefined ? failureMessage(verb, error) : error.message;
  errorLog.failure(error, message);
  if (problem !== undefined && problem.message !== error.message) errorLog.error(problem.message);
  if (globals.on('debug') || globals.on('verbose')) errorLog.debug(stackOf(thrown));
  if (note !== undefined) return note.exitCode;
  return verb === 'exec' || verb === 'container:exec' ? 255 : 1;
}

/** An error while parsing comes before the log; when that cannot be opened, stderr is left. */
function logOfError(): { errorLog: VerbLog; problem: RuncellError | undefined } {
  if (log !== undefined) return { errorLog: log, problem: undefined };
  try {
    return { errorLog: openVerbLog(globals, callerDirectory()), problem: undefined };
  } catch (thrown) {
    const debug = globals.on('debug') || globals.on('verbose');
    const format = globals.text('log-format') === 'json' ? 'json' : 'text';
    return { errorLog: openLog({ format, debug }), problem: toRuncellError(thrown) };
  }
}

/** The help is a courtesy: without it the error is still told. */
async function printUsage(headline: string, id: string): Promise<void> {
  writeTolerant(1, `${headline}\n\n`);
  try {
    writeTolerant(1, await helpOf(id));
  } catch (thrown) {
    log?.debug(stackOf(thrown));
  }
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
