/**
 * Signals while init waits: a PID 1 with default dispositions ignores them, so TERM would not end a
 * created container. Init handles what would end an ordinary process by exiting with 128 + signal
 * (the executor's stub); execve resets handlers to the default (signal(7)). Pure.
 */

import { SA_RESTORER, SIGACTION_SIZE, SIGSET_SIZE } from '../linux/sched.ts';
import type { ProgramBuilder } from '../program/builder.ts';
import { SIGNAL_EXIT } from '../program/op.ts';

/**
 * HUP INT QUIT ABRT USR1 USR2 ALRM TERM STKFLT XCPU VTALRM PROF IO PWR: signals whose default ends a
 * process and that come from outside. PIPE is left: a report to a dead compiler fails with EPIPE.
 */
const ENDING_SIGNALS = [1, 2, 3, 6, 10, 12, 14, 15, 16, 24, 26, 27, 29, 30];

export function planWaitSignals(b: ProgramBuilder): void {
  b.section('', 'end on signals while waiting', 'rt_sigaction');
  // struct sigaction {handler, flags, restorer, mask}; x86-64 insists on a restorer.
  const action = b.space(SIGACTION_SIZE);
  b.setU64(action, SIGNAL_EXIT);
  b.setU64(action.plus(8), SA_RESTORER);
  b.setU64(action.plus(16), SIGNAL_EXIT);
  for (const signal of ENDING_SIGNALS) {
    b.call('rt_sigaction', [signal, action, 0, SIGSET_SIZE]);
  }
}
