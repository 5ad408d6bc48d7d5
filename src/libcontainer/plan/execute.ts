/**
 * The last ops of every container process: close what is not the container's, say that it starts,
 * become the program; and what is reported when that fails (execve(2)). Pure.
 */

import { AT_FDCWD, O_CLOEXEC, O_NONBLOCK, O_RDONLY } from '../linux/fcntl.ts';
import { RECORD_ADDRESS, type Slot } from '../program/builder.ts';
import { MESSAGE_SIZE } from '../program/op.ts';
import type { Draft } from './draft.ts';

/** Head of the executable that a failure quotes: shebang, ELF machine, program headers. */
export const HEAD_BYTES = 4096;
/** First byte of a report: the container is about to run. */
export const STARTED = '0';

export interface ExecRequest {
  /** Holds the address of the path that was looked up. */
  readonly path: Slot;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** The close-on-exec descriptor that reports; everything from `keepBelow` up but it goes. */
  readonly report: Slot;
  readonly keepBelow: number;
}

/**
 * Descriptors are closed, not marked: a marked one could still be named by the path that is executed
 * (CVE-2024-21626). After a failed execve the fatal record and the head of the file follow on the
 * report descriptor.
 */
export function planExec(draft: Draft, request: ExecRequest): void {
  const b = draft.builder;
  const { report, keepBelow } = request;
  const argv = b.stringArray(request.args);
  const envp = b.stringArray(request.env);
  b.section('process.args', `execute ${request.args[0]}`, request.args[0]!);
  const bound = b.slot('last or first to close');
  b.sum(bound, report, -1);
  // EINVAL: there is nothing between
  b.call('close_range', [keepBelow, bound, 0], { tolerate: ['EINVAL'] });
  b.sum(bound, report, 1);
  b.call('close_range', [bound, 0xffffffff, 0]);
  const failed = b.label();
  b.trap(failed);
  b.call('write', [report, b.string(STARTED), 1]);
  draft.seccomp?.beforeExec(b, request, failed);
  b.call('execve', [request.path, argv, envp]);
  b.place(failed);
  const head = b.scratch();
  const file = b.slot('executable');
  const got = b.slot('head length');
  const unread = b.label();
  b.call('write', [report, RECORD_ADDRESS, MESSAGE_SIZE]);
  const flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
  b.call('openat', [AT_FDCWD, request.path, flags], { into: file, onError: unread });
  b.call('pread64', [file, head, HEAD_BYTES, 0], { into: got, onError: unread });
  b.call('write', [report, head, got], { onError: unread });
  b.place(unread);
  b.call('exit_group', [255]);
}
