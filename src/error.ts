/**
 * The one error class, the one place that writes its text, and the table of stable codes.
 *
 * Call sites give fields; `messageOf` composes the line a person reads, `mounts[3] /sys/fs/cgroup:
 * move_mount: device or resource busy (EBUSY) - try …`. Strings that engines match
 * (reference/runtime-cli.md §3.3) are given whole as `reason`. docs/errors.md lists the codes.
 */

import { type ErrnoName, errnoName, errnoText } from './libcontainer/linux/errno.ts';

/** Stable codes, one for each thing that can be wrong; they never change their meaning. */
export const ERROR_CODES = {
  usage: 'RC1001',
  'usage.unsupported': 'RC1002',
  'config.missing': 'RC2001',
  'config.syntax': 'RC2002',
  'config.schema': 'RC2003',
  'config.value': 'RC2004',
  'config.unsupported': 'RC2005',
  'config.rootfs': 'RC2006',
  'config.user': 'RC2007',
  'config.executable': 'RC2008',
  'state.exists': 'RC3001',
  'state.missing': 'RC3002',
  'state.conflict': 'RC3003',
  'state.corrupt': 'RC3004',
  'state.root': 'RC3005',
  'kernel.operation': 'RC4001',
  'kernel.unsupported': 'RC4002',
  'kernel.init': 'RC4003',
  'host.program': 'RC4004',
  'hook.failed': 'RC5001',
  'hook.timeout': 'RC5002',
  'console.socket': 'RC6001',
  'storage.source': 'RC7001',
  'storage.operation': 'RC7002',
  'systemd.bus': 'RC8001',
  'systemd.unit': 'RC8002',
  internal: 'RC9001',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorFields {
  readonly code: ErrorCode;
  /** What it happened within, before everything else: `unable to start container process`. */
  readonly within?: string | undefined;
  /** Place in config.json, as `mounts[3].options`. */
  readonly specPath?: string | undefined;
  /** What was being done, as `mount` or a system call's name. */
  readonly operation?: string | undefined;
  /** What it was done to: a path, an id, a field's value. */
  readonly target?: string | undefined;
  /** Why it cannot be; when absent, the text of `errno`. Lower case, no full stop. */
  readonly reason?: string | undefined;
  /** The kernel's number, positive. */
  readonly errno?: number | undefined;
  /** What the user can do about it. */
  readonly hint?: string | undefined;
  /** The system call and the index of the op that failed, for the log. */
  readonly op?: string | undefined;
  /** What failed while undoing. */
  readonly undo?: readonly string[] | undefined;
  readonly cause?: unknown;
}

export class RuncellError extends Error {
  readonly code: ErrorCode;
  readonly fields: ErrorFields;

  constructor(fields: ErrorFields) {
    super(messageOf(fields), fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'RuncellError';
    this.code = fields.code;
    this.fields = fields;
  }

  /** `ENOENT` and the like, when the kernel was the reason. */
  get errnoName(): ErrnoName | undefined {
    return this.fields.errno === undefined ? undefined : errnoName(this.fields.errno);
  }

  /** The same error with more fields: a catcher that knows more adds it and throws on. */
  with(more: Partial<ErrorFields>): RuncellError {
    return new RuncellError({ ...this.fields, ...more });
  }
}

/** One line: `within: where: what: why (ERRNO) - hint`. */
export function messageOf(fields: ErrorFields): string {
  const place = [fields.specPath, fields.operation === undefined ? fields.target : undefined]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
  const action = [fields.operation, fields.operation === undefined ? undefined : fields.target]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
  const why = reasonOf(fields);
  const text = [fields.within ?? '', place, action, why].filter((part) => part !== '').join(': ');
  const hint = fields.hint === undefined ? '' : ` - ${fields.hint}`;
  const undo =
    fields.undo === undefined || fields.undo.length === 0
      ? ''
      : ` (and while undoing: ${fields.undo.join('; ')})`;
  return printable(text + hint + undo);
}

function reasonOf(fields: ErrorFields): string {
  if (fields.errno === undefined) return fields.reason ?? '';
  const name = errnoName(fields.errno) ?? `errno ${fields.errno}`;
  return `${fields.reason ?? errnoText(fields.errno)} (${name})`;
}

/** Control characters are shown escaped: one error is one line (security.md H40). */
export function printable(text: string): string {
  let out = '';
  for (const char of text) {
    const point = char.codePointAt(0)!;
    const control =
      point < 0x20 || (point >= 0x7f && point < 0xa0) || point === 0x2028 || point === 0x2029;
    out += control ? `\\u${point.toString(16).padStart(4, '0')}` : char;
  }
  return out;
}

/** Also one of a part that was loaded late and has a class of its own (scripts/build.ts). */
export function isRuncellError(thrown: unknown): thrown is RuncellError {
  return thrown instanceof RuncellError || (thrown as Error | undefined)?.name === 'RuncellError';
}

/** Turns whatever was thrown into a RuncellError; Node's system errors keep their errno and path. */
export function toRuncellError(thrown: unknown, fields: Partial<ErrorFields> = {}): RuncellError {
  if (isRuncellError(thrown)) {
    return Object.keys(fields).length === 0 ? thrown : thrown.with(fields);
  }
  const error = thrown as NodeJS.ErrnoException;
  if (typeof error?.errno === 'number' && typeof error.syscall === 'string') {
    return new RuncellError({
      code: 'kernel.operation',
      operation: error.syscall,
      target: error.path,
      errno: Math.abs(error.errno),
      cause: thrown,
      ...fields,
    });
  }
  const reason = error instanceof Error ? error.message : String(thrown);
  return new RuncellError({ code: 'internal', reason, cause: thrown, ...fields });
}
