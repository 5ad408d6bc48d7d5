/**
 * `SCMP_ACT_*` as what a filter returns (seccomp(2), runtime-spec 1.3 config-linux.md#seccomp). KILL is
 * KILL_THREAD, as in libseccomp.
 */

import type { LinuxSeccompAction } from '@opencontainers-ts/spec';
import { ERRNO } from '../linux/errno.ts';
import { SECCOMP_RET } from '../linux/seccomp.ts';

const ACTIONS: Readonly<Record<LinuxSeccompAction, number>> = {
  SCMP_ACT_KILL: SECCOMP_RET.KILL_THREAD,
  SCMP_ACT_KILL_PROCESS: SECCOMP_RET.KILL_PROCESS,
  SCMP_ACT_KILL_THREAD: SECCOMP_RET.KILL_THREAD,
  SCMP_ACT_TRAP: SECCOMP_RET.TRAP,
  SCMP_ACT_ERRNO: SECCOMP_RET.ERRNO,
  SCMP_ACT_TRACE: SECCOMP_RET.TRACE,
  SCMP_ACT_ALLOW: SECCOMP_RET.ALLOW,
  SCMP_ACT_LOG: SECCOMP_RET.LOG,
  SCMP_ACT_NOTIFY: SECCOMP_RET.USER_NOTIF,
};

/** `errnoRet` is EPERM when absent; only ERRNO and TRACE have one, which was checked. */
export function actionOf(action: LinuxSeccompAction, errnoRet: number | undefined): number {
  const value = ACTIONS[action];
  const carries = action === 'SCMP_ACT_ERRNO' || action === 'SCMP_ACT_TRACE';
  return carries ? value + (errnoRet ?? ERRNO.EPERM) : value;
}
