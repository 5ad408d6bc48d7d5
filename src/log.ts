/**
 * Log records in runc's two formats and the one place they go to (reference/runtime-cli.md §1.4).
 *
 * Without `--log` records go to stderr; with it to the file, and an error's bare text to stderr too.
 * One record is one line and one write, keys sorted; `time` is RFC 3339 in seconds, since the shim
 * decodes it. A failed write to stderr is tolerated: containerd hands over descriptors opened
 * read-only. The file is opened O_APPEND|O_NOFOLLOW|O_NONBLOCK, open(2), and must be a regular one.
 */

import fs from 'node:fs';
import { ERROR_CODES, printable, RuncellError } from './error.ts';
import type { Log } from './libcontainer/container/context.ts';
import { stderrFd, writeTolerant } from './output.ts';

export type LogFormat = 'text' | 'json';
type Level = 'debug' | 'info' | 'warning' | 'error';

export interface LogOptions {
  /** Absolute path, absent: stderr. */
  readonly file?: string | undefined;
  readonly format: LogFormat;
  readonly debug: boolean;
}

export interface VerbLog extends Log {
  /** The error that ends the verb: one record, and its bare text on stderr. */
  failure(error: RuncellError, message: string): void;
}

export function openLog(options: LogOptions): VerbLog {
  const fd = options.file === undefined ? undefined : openFile(options.file);
  const write = (level: Level, msg: string, more: Readonly<Record<string, string>> = {}): void => {
    if (fd === undefined && options.format === 'text' && isTerminal(stderrFd())) {
      writeTolerant(stderrFd(), formatTerminal(level, msg));
      return;
    }
    const time = timestamp(new Date());
    const line =
      options.format === 'json'
        ? formatJson({ level, msg, time, ...more })
        : formatText({ level, msg, time, ...more });
    writeTolerant(fd ?? stderrFd(), line);
  };
  return {
    debug: (message) => {
      if (options.debug) write('debug', message);
    },
    info: (message) => write('info', message),
    warn: (message) => write('warning', message),
    error: (message) => write('error', message),
    failure: (error, message) => {
      write('error', message, errorFields(error));
      if (fd !== undefined) writeTolerant(stderrFd(), `${message}\n`);
    },
  };
}

function openFile(path: string): number {
  const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = fs.constants;
  let fd: number;
  try {
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    fd = fs.openSync(path, flags, 0o644);
  } catch (thrown) {
    const errno = Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
    throw new RuncellError({ code: 'usage', operation: 'open log file', target: path, errno });
  }
  if (!fs.fstatSync(fd).isFile()) {
    fs.closeSync(fd);
    throw new RuncellError({
      code: 'usage',
      operation: 'open log file',
      target: path,
      reason: 'not a regular file',
    });
  }
  return fd;
}

/** What a machine can match on beside the text: keys of the record. */
export function errorFields(error: RuncellError): Record<string, string> {
  const fields: Record<string, string> = { code: ERROR_CODES[error.code] };
  if (error.fields.errno !== undefined) {
    fields['errno'] = error.errnoName ?? String(error.fields.errno);
  }
  if (error.fields.op !== undefined) fields['op'] = error.fields.op;
  if (error.fields.specPath !== undefined) fields['specPath'] = error.fields.specPath;
  return fields;
}

/** The text a person and an engine read: runc's prefix of the verb and what went wrong. */
export function failureMessage(verb: string, error: RuncellError): string {
  switch (verb) {
    case 'create':
    case 'container:create':
      return `runcell create failed: ${error.message}`;
    case 'run':
    case 'container:run':
      return `runcell run failed: ${error.message}`;
    case 'exec':
    case 'container:exec':
      return `exec failed: ${error.message}`;
    default:
      return error.message;
  }
}

export function formatJson(record: Readonly<Record<string, string>>): string {
  return `${JSON.stringify(record, Object.keys(record).sort())}\n`;
}

/** logfmt in logrus' order: time, level, msg, then the other keys sorted. */
export function formatText(record: Readonly<Record<string, string>>): string {
  const order = ['time', 'level', 'msg'];
  const others = Object.keys(record).filter((key) => !order.includes(key));
  return `${[...order, ...others.sort()].map((key) => `${key}=${quoted(record[key]!)}`).join(' ')}\n`;
}

/** logrus' short form for a person at a terminal. */
function formatTerminal(level: Level, msg: string): string {
  const colour = { debug: 37, info: 36, warning: 33, error: 31 }[level];
  return `\u001b[${colour}m${level.slice(0, 4).toUpperCase()}\u001b[0m[0000] ${printable(msg)}\n`;
}

function quoted(value: string): string {
  if (/^[A-Za-z0-9._/@^+-]*$/.test(value)) return value;
  const escaped = value
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t');
  return `"${printable(escaped)}"`;
}

export function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** A pseudo-terminal or console by its device number, admin-guide/devices.txt; no tty module. */
function isTerminal(fd: number): boolean {
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isCharacterDevice()) return false;
    const major = (stat.rdev >> 8) & 0xfff;
    return major === 4 || major === 5 || (major >= 136 && major <= 143);
  } catch {
    // A closed or foreign descriptor is no terminal.
    return false;
  }
}
