/**
 * A session keyring of the container's own, `_ses.<id>` (session-keyring(7), keyctl(2)); exec joins
 * the same. Its permissions let the container's user search it, nothing more (security.md H28). Only a
 * kernel without keyrings is tolerated: with the caller's keyring the container would read its keys.
 * Pure.
 */

import { KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM } from '../linux/sched.ts';
import type { ProgramBuilder } from '../program/builder.ts';

/** The kernel's permissions of a session keyring, and search for its user (linux/key.h). */
const PERMISSIONS = 0x3f1b0000;

export function planKeyring(b: ProgramBuilder, id: string, how: { join?: boolean } = {}): void {
  const name = `_ses.${id}`;
  b.section('', 'join a session keyring', name);
  const keyring = b.slot('keyring');
  const none = b.label();
  b.call('keyctl', [KEYCTL_JOIN_SESSION_KEYRING, b.string(name), 0, 0, 0], {
    into: keyring,
    tolerate: ['ENOSYS'],
    onError: none,
  });
  // A joined one has been given its permissions by the container's init.
  if (how.join !== true) b.call('keyctl', [KEYCTL_SETPERM, keyring, PERMISSIONS, 0, 0]);
  b.place(none);
}
