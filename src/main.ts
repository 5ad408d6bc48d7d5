/**
 * Entry of dist/runcell.cjs: argv → one verb. The only place that prints an error or sets the exit
 * code, and it does each once.
 *
 * argv is [node, script, number of the launcher's hand-over memfd, the user's words…]. The process
 * ends by reallyExit: nothing is pending that an orderly exit would wait for, and what is printed is
 * printed by write(2).
 */

import fs from 'node:fs';
import { type CommandLine, parseArgv, usageNote, Values } from './argv.ts';
import { makeContext, openVerbLog } from './commands/context.ts';
import type { Verb } from './commands/verb.ts';
import { versionText } from './commands/version.ts';
import { RuncellError, toRuncellError } from './error.ts';
import { type HandOver, parseHandOver } from './launcher/hand-over.ts';
import type { Context } from './libcontainer/container/context.ts';
import { failureMessage, openLog, type VerbLog } from './log.ts';
import { STDOUT, writeTolerant } from './output.ts';

/** The verbs of the hot bundle, each evaluated only when it is wanted. */
const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  create: async () => (await import('./commands/create.ts')).create,
  start: async () => (await import('./commands/start.ts')).start,
  state: async () => (await import('./commands/state.ts')).state,
  kill: async () => (await import('./commands/kill.ts')).kill,
  delete: async () => (await import('./commands/delete.ts')).remove,
  run: async () => (await import('./commands/run.ts')).run,
  exec: async () => (await import('./commands/exec.ts')).exec,
  list: async () => (await import('./commands/list.ts')).list,
  'container:run': async () => (await import('./commands/container/run.ts')).containerRun,
  'container:list': async () => (await import('./commands/container/list.ts')).containerList,
  'container:exec': async () => (await import('./commands/container/exec.ts')).containerExec,
  'container:delete': async () => (await import('./commands/container/delete.ts')).containerDelete,
  'container:create': async () => (await import('./commands/container/create.ts')).containerCreate,
  'container:start': async () => (await import('./commands/container/start.ts')).containerStart,
};

/** Everything known so far, for whatever goes wrong next. */
const globals = new Values();
let verb = '';
let log: VerbLog | undefined;

async function main(argv: readonly string[]): Promise<number> {
  const handOver = readHandOver(argv[2]);
  const cwd = callerDirectory();
  const line = parseArgv(argv.slice(3), globals);
  if (line.action === 'version') return print(versionText());
  if (line.action === 'help') return print(await helpOf(line.verb));
  log = openVerbLog(globals, cwd);
  // After the log file, whose mode is the caller's business; state is nobody else's.
  process.umask(0o077);
  const context = makeContext(globals, handOver, cwd, log);
  // From here on an error is the verb's, with its prefix and exit code.
  verb = line.verb;
  const load = VERBS[verb];
  if (load === undefined) return runCold(context, line);
  const run = await load();
  return (await run(context, line, STDOUT)) ?? 0;
}

/** getcwd(2) fails in a directory that was removed; only relative paths need it. */
function callerDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/';
  }
}

function readHandOver(text: string | undefined): HandOver {
  const fd = /^[0-9]+$/.test(text ?? '') ? Number(text) : -1;
  if (fd < 3) {
    const reason = 'this file is started by dist/runcell, not by node';
    throw new RuncellError({ code: 'internal', reason });
  }
  const bytes = new Uint8Array(fs.fstatSync(fd).size);
  fs.readSync(fd, bytes, 0, bytes.length, 0);
  fs.closeSync(fd);
  return parseHandOver(bytes);
}

async function runCold(context: Context, line: CommandLine): Promise<number> {
  const cold = await import('./help/cold.ts');
  const { exitCode, failure } = await cold.runCold(context, line, STDOUT);
  if (failure !== undefined) throw new RuncellError(failure);
  return exitCode;
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

function end(code: number): never {
  return (process as unknown as { reallyExit(code: number): never }).reallyExit(code);
}

process.setUncaughtExceptionCaptureCallback((thrown) => void report(thrown).then(end));
main(process.argv)
  .catch(report)
  .then(end, () => end(1));
