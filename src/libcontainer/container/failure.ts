/**
 * From what a container process reports to an error a person understands: the program is the source
 * map, its sections say which field of config.json an op was compiled from.
 *
 * Strings that engines look for (runtime-cli.md §3.3) are runc's to the letter.
 */

import type { Config, Hook } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import { HOOK_KINDS, HOOK_NOT_EXECUTED, HOOK_TIMED_OUT } from '../../hooks/compile.ts';
import { DEFAULT_TIMEOUT_SECONDS } from '../../hooks/points.ts';
import { verifierReason } from '../cgroups/device-attach.ts';
import { compileDeviceFilter } from '../cgroups/device-filter.ts';
import { findOomKill, findTightLimit, tellOutOfMemory } from '../cgroups/oom-kill.ts';
import {
  decodeFatalRecord,
  decodeMessage,
  type FatalRecord,
  type Message,
} from '../executor/protocol.ts';
import type { Arch } from '../linux/arch.ts';
import { ERRNO, errnoText } from '../linux/errno.ts';
import { SIGKILL, SIGSYS } from '../linux/sched.ts';
import { SYSCALLS, type SyscallName } from '../linux/syscall.ts';
import { describeExit, type ExitReport } from '../native/libc.ts';
import { STARTED } from '../plan/execute.ts';
import { TAG } from '../plan/messages.ts';
import { FILTER_FAILED } from '../plan/seccomp.ts';
import { WAIT_FAILED } from '../plan/wait.ts';
import type { Program, Section } from '../program/builder.ts';
import { CMP, MESSAGE_SIZE, OP, OP_SIZE, WIRE_HEADER_SIZE } from '../program/op.ts';
import type { ProcessFailure } from './conversation.ts';
import { execError } from './executable.ts';
import { hintFor } from './hints.ts';

/** runc's words before what init could not set up. */
/** runc's words before what kept a program from running. */
const NOT_STARTED = 'unable to start container process';
const IN_INIT = `${NOT_STARTED}: error during container init`;

/** The error of a process that failed, with the field of config.json it was at. */
export function explainFailure(failure: ProcessFailure, ofInit: boolean): RuncellError {
  const error = causeOf(failure);
  // Its own process is what init becomes last, when the container stands.
  const setUp = ofInit && failure.stands && error.fields.specPath?.startsWith('process') !== true;
  return error.with({ within: setUp ? IN_INIT : NOT_STARTED });
}

function causeOf(failure: ProcessFailure): RuncellError {
  const { config, program, what } = failure;
  if ('fatal' in what) {
    const reason =
      what.filesystem === undefined
        ? refusedFilter(failure, what.fatal)
        : filesystemReason(what.filesystem);
    return fatalError(program, what.fatal, reason);
  }
  if ('ended' in what) return endedError(what.ended);
  const { message } = what;
  const { process, hooks } = config;
  switch (message.tag) {
    case TAG.LOOKUP:
      return lookupError(process?.args?.[0] ?? '', -message.a);
    case TAG.CWD:
      return cwdError(process?.cwd ?? '');
    case TAG.HOOK:
      return hookError('createContainer', hooks?.createContainer ?? [], message);
    default: {
      const reason = `unexpected message ${message.tag}`;
      return new RuncellError({ code: 'internal', operation: 'executor', reason });
    }
  }
}

/** The verifier says why only to who asks: the filter of the configuration is loaded once more. */
function refusedFilter(
  { program, config }: ProcessFailure,
  { op }: FatalRecord,
): string | undefined {
  if (sectionAt(program, op)?.specPath !== 'linux.resources.devices') return undefined;
  return verifierReason(compileDeviceFilter(config.linux ?? {}));
}

const ENDED_HINTS: Readonly<Record<number, string>> = {
  [SIGKILL]: 'a memory limit that is too low, or somebody killed it',
  [SIGSYS]:
    'linux.seccomp kills what init itself has to call: write, read, close, close_range, execve',
};

/** What was thrown where no process of the container had reported anything. */
export function explainAny(thrown: unknown): RuncellError {
  const error = toRuncellError(thrown);
  return error.code.startsWith('hook.') ? error.with({ within: NOT_STARTED }) : error;
}

/**
 * The error of a process in `group` when what it really wants is memory: it was killed for that, or
 * an allocation failed. The words are runc's (runtime-cli.md §1.4).
 */
export function withMemory(error: RuncellError, group: string | undefined): RuncellError {
  if (!group) return error;
  // What a configuration or a hook is to blame for has nothing to do with memory.
  if (!error.code.startsWith('kernel.') && error.code !== 'internal') return error;
  const killed = findOomKill(group);
  if (killed !== undefined) {
    const words = 'container init was OOM-killed (memory limit too low?)';
    const reason = `${words}: ${tellOutOfMemory(killed)}`;
    const hint = killed.group === group ? 'raise linux.resources.memory.limit' : undefined;
    return new RuncellError({ code: 'kernel.init', reason, hint, cause: error });
  }
  if (error.fields.errno !== ERRNO.ENOMEM) return error;
  const tight = findTightLimit(group);
  if (tight === undefined) return error;
  const hint = `memory limit too low? ${tellOutOfMemory(tight)}; raise linux.resources.memory.limit`;
  return error.with({ hint });
}

function endedError(report: ExitReport): RuncellError {
  const reason = `container init ended before the container stood: ${describeExit(report)}`;
  const hint = ENDED_HINTS[report.signal ?? 0];
  return new RuncellError({ code: 'kernel.init', reason, hint });
}

/** The op's system call; `check` for a comparison, `netlink` for one of the kernel's answer. */
export function operationOf(
  program: Program,
  op: number,
): SyscallName | 'check' | 'netlink' | undefined {
  const view = new DataView(program.bytes.buffer, program.bytes.byteOffset + WIRE_HEADER_SIZE);
  const number = view.getUint16(op * OP_SIZE + OP.nr, true);
  const load = view.getUint8(op * OP_SIZE + OP.load);
  if (number !== CMP) return syscallName(program.arch, number);
  // Only an answer brings its own errno (program/builder.ts, `check`).
  return (load & ERRNO_LOADED) === 0 ? 'check' : 'netlink';
}

function syscallName(arch: Arch, number: number): SyscallName | undefined {
  const table = SYSCALLS[arch] as Readonly<Record<string, number>>;
  return (Object.keys(table) as SyscallName[]).find((name) => table[name] === number);
}

/** The fourth argument is loaded. */
const ERRNO_LOADED = 1 << 3;

export function sectionAt(program: Program, op: number): Section | undefined {
  return program.sections[program.sectionOf[op] ?? -1];
}

/** A fatal record as an error that names field, target and reason. */
export function fatalError(program: Program, record: FatalRecord, reason?: string): RuncellError {
  const section = sectionAt(program, record.op);
  const operation = operationOf(program, record.op);
  // An openat2 that misses what an ignored mkdirat could not make is not the cause (ENOENT), the
  // mkdirat is: its errno is the one before.
  const masked = operation === 'openat2' && record.errno === ERRNO.ENOENT && record.ignored !== 0;
  const errno = masked && record.ignored !== ERRNO.EEXIST ? record.ignored : record.errno;
  const specPath = section?.specPath ?? '';
  if (specPath === 'process.cwd' && operation === 'chdir')
    return chdirError(section!.target, errno);
  const note = operation === 'check' ? program.notes.get(record.op) : undefined;
  const text = reason ?? note ?? knownReason(section, operation, errno);
  return new RuncellError({
    code: 'kernel.operation',
    ...(specPath === '' ? {} : { specPath }),
    operation: `${actionOf(section)}${operation ?? 'executor'}`,
    errno,
    ...(text === undefined ? {} : { reason: text }),
    hint: hintFor({ specPath, operation: operation ?? '', errno, reason: section?.reason ?? '' }),
    op: `${operation} #${record.op}`,
  });
}

/** runc's words. */
function chdirError(cwd: string, errno: number): RuncellError {
  const reason = `chdir to cwd (${JSON.stringify(cwd)}) set in config.json failed: ${errnoText(errno)}`;
  return new RuncellError({ code: 'kernel.operation', specPath: 'process.cwd', reason, errno });
}

/** Where the kernel's word for it misleads; engines look for these (runtime-cli.md §3.3). */
function knownReason(
  section: Section | undefined,
  operation: string | undefined,
  errno: number,
): string | undefined {
  const reason = section?.reason ?? '';
  if (operation === 'move_mount' && errno === ERRNO.EINVAL && /^mount /.test(reason)) {
    return 'the destination is a directory and the source is not';
  }
  const filesystem = /^mount (proc|sysfs) /.exec(reason)?.[1];
  const link = errno === ERRNO.ELOOP || errno === ERRNO.ENOTDIR;
  if (filesystem !== undefined && operation === 'openat2' && link) {
    return `filesystem "${filesystem}" must be mounted on ordinary directory`;
  }
  const namespace = section?.specPath.startsWith('linux.namespaces') === true;
  if (namespace && operation === 'ioctl' && errno === ERRNO.ENOTTY) return 'not a namespace';
  return undefined;
}

/** `change to /data: `: what the section does, and to what where its words do not say it. */
function actionOf(section: Section | undefined): string {
  if (section === undefined) return '';
  const { reason, target } = section;
  const told = target === '' || reason.includes(target);
  return told ? `${reason}: ` : `${reason} ${target}: `;
}

/** `e tmpfs: Bad value for 'size'` as the kernel's own words without the level (fsopen(2)). */
export function filesystemReason(payload: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(payload).trim();
  const line = text.split('\n').at(-1) ?? '';
  const words = line.replace(/^[eiw] /, '');
  return words === '' ? undefined : words;
}

/** args[0] was not found or may not be run: runc's (Go's exec.LookPath) words. */
export function lookupError(name: string, errno: number): RuncellError {
  const quoted = JSON.stringify(name);
  if (!name.includes('/'))
    return executableError(`exec: ${quoted}: executable file not found in $PATH`);
  switch (errno) {
    case ERRNO.EISDIR:
      return executableError(`exec: ${quoted}: is a directory`);
    case ERRNO.EACCES:
      return executableError(`exec: ${quoted}: permission denied`);
    case ERRNO.ENOTDIR:
      return executableError(`exec: ${quoted}: stat ${name}: not a directory`);
    case ERRNO.ENOENT:
      return executableError(`exec: ${quoted}: stat ${name}: no such file or directory`);
    default:
      return executableError(`exec: ${quoted}: stat ${name}: ${errnoText(errno)}`).with({ errno });
  }
}

function executableError(reason: string): RuncellError {
  return new RuncellError({ code: 'config.executable', specPath: 'process.args', reason });
}

export function cwdError(cwd: string): RuncellError {
  return new RuncellError({
    code: 'config.value',
    specPath: 'process.cwd',
    target: cwd,
    reason: 'current working directory is outside of container mount namespace root',
  });
}

/** A HOOK message: which of the point's hooks failed, and how. */
export function hookError(point: string, hooks: readonly Hook[], message: Message): RuncellError {
  const index = Math.floor(message.a / HOOK_KINDS);
  const kind = message.a % HOOK_KINDS;
  const hook = hooks[index];
  const fields = { specPath: `hooks.${point}[${index}]`, target: hook?.path };
  if (kind === HOOK_NOT_EXECUTED) {
    return new RuncellError({ code: 'hook.failed', ...fields, errno: -message.b });
  }
  const tail = quoteTail(message.payload);
  if (kind === HOOK_TIMED_OUT) {
    const seconds = hook?.timeout ?? DEFAULT_TIMEOUT_SECONDS;
    const reason =
      `hook ran past its timeout of ${seconds}s` +
      ` (hook ran past specified timeout of ${seconds.toFixed(1)}s)${tail}`;
    return new RuncellError({ code: 'hook.timeout', ...fields, reason });
  }
  const how = kind === CLD_EXITED ? 'exit status' : 'signal';
  return new RuncellError({ code: 'hook.failed', ...fields, reason: `${how} ${message.b}${tail}` });
}

/** si_code of waitid(2): the process called exit. */
const CLD_EXITED = 1;

function quoteTail(payload: Uint8Array): string {
  const text = new TextDecoder()
    .decode(payload)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' | ');
  return text === '' ? '' : `: ${text}`;
}

/**
 * What init wrote to its report: undefined when it became the program. The configuration is read
 * when it is needed: the wait may have begun to remove the container.
 */
export function startReport(report: Uint8Array, config: () => Config): RuncellError | undefined {
  if (report.length === 0) return undefined;
  if (report[0] === WAIT_FAILED.charCodeAt(0)) return waitFailure(report);
  if (report[0] !== STARTED.charCodeAt(0)) return hookFailure(report, config());
  return report.length === 1 ? undefined : execFailure(report.subarray(1), config());
}

/** A HOOK message of startContainer, in its bytes; or what stopped init before it ran one. */
export function hookFailure(bytes: Uint8Array, config: Config): RuncellError {
  const decoded = decodeMessage(bytes);
  if (decoded === undefined) return diedBeforeStart();
  const { fatal } = decoded.message;
  if (fatal !== undefined) {
    const { op, errno } = fatal;
    const fields = { operation: 'start the container', errno, op: `#${op}` };
    return new RuncellError({ code: 'kernel.operation', within: NOT_STARTED, ...fields });
  }
  const hooks = config.hooks?.startContainer ?? [];
  return hookError('startContainer', hooks, decoded.message).with({ within: NOT_STARTED });
}

/** A fatal record and the head of the executable that could not be executed. */
export function execFailure(record: Uint8Array, config: Pick<Config, 'process'>): RuncellError {
  if (record[0] === FILTER_FAILED.charCodeAt(0)) return filterFailure(record.subarray(1));
  const fatal = decodeFatalRecord(record);
  if (fatal === undefined) return diedBeforeStart();
  const path = config.process?.args?.[0] ?? '';
  const error = execError(path, fatal.errno, record.subarray(MESSAGE_SIZE));
  return error.with({ within: NOT_STARTED });
}

/** seccomp(2) itself, right before the program: its record. */
function filterFailure(record: Uint8Array): RuncellError {
  const fatal = decodeFatalRecord(record);
  if (fatal === undefined) return diedBeforeStart();
  const { op, errno } = fatal;
  const fields = { specPath: 'linux.seccomp', operation: 'load the filter: seccomp', errno };
  const hint = hintFor({ ...fields, operation: 'seccomp', reason: 'load the filter' });
  return new RuncellError({ code: 'kernel.operation', ...fields, hint, op: `seccomp #${op}` });
}

/** A call of the foreground wait itself failed (plan/wait.ts): its record and its op. */
function waitFailure(report: Uint8Array): RuncellError {
  const record = report.subarray(1);
  const fatal = decodeFatalRecord(record);
  // Nobody has the FIFO open for reading: init was gone already.
  if (fatal === undefined || fatal.errno === ERRNO.ENXIO) return diedBeforeStart();
  const number = record[MESSAGE_SIZE]! | (record[MESSAGE_SIZE + 1]! << 8);
  const name = syscallName(process.arch as Arch, number) ?? `system call ${number}`;
  return new RuncellError({
    code: 'kernel.operation',
    operation: `wait for the container: ${name}`,
    errno: fatal.errno,
    op: `${name} #${fatal.op}`,
  });
}

export function diedBeforeStart(): RuncellError {
  const reason = 'container init died before it was started';
  return new RuncellError({ code: 'kernel.init', within: NOT_STARTED, reason });
}

/** As `startReport`, for a process of exec. */
export function execReport(report: Uint8Array, path: string): RuncellError | undefined {
  if (report.length === 1) return undefined;
  if (report.length === 0) {
    const reason = 'the process ended before it ran';
    return new RuncellError({ code: 'kernel.init', within: NOT_STARTED, reason });
  }
  if (report[0] === WAIT_FAILED.charCodeAt(0)) return waitFailure(report);
  return execFailure(report.subarray(1), { process: { cwd: '/', args: [path] } });
}
