/**
 * What a container process says before it gives up: the filesystem's own words about a mount that
 * failed (fsopen(2): the context descriptor is readable), then the fatal record. Pure.
 */

import { ERR, RECORD_ADDRESS } from '../program/builder.ts';
import { EXIT_FATAL, MESSAGE_SIZE } from '../program/op.ts';
import type { Draft } from './draft.ts';
import type { InitFds } from './fds.ts';
import { TAG } from './messages.ts';

const REASON_BYTES = 512;

/** Sets the trap of init's programs and the code behind it; `fds.fs` is -1 when nothing can be asked. */
export function planFailureReport(draft: Draft, fds: InitFds): void {
  const b = draft.builder;
  b.section('', 'report failures', 'trap');
  const trap = b.label();
  const proceed = b.label();
  const record = b.label();
  b.sum(fds.fs, -1);
  b.trap(trap);
  b.jump(proceed);
  b.place(trap);
  const reason = b.space(REASON_BYTES);
  const length = b.slot('reason length');
  b.call('read', [fds.fs, reason, REASON_BYTES], { into: length, onError: record });
  const message = b.words([TAG.REASON, 0, 0, 0]);
  b.sum(message.plus(24), length);
  b.call('write', [ERR, message, MESSAGE_SIZE]);
  b.call('write', [ERR, reason, length]);
  b.place(record);
  b.call('write', [ERR, RECORD_ADDRESS, MESSAGE_SIZE]);
  b.call('exit_group', [EXIT_FATAL]);
  b.place(proceed);
}
