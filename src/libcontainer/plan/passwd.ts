/** Reading the container's /etc/passwd for HOME: below the root, a bounded read, never blocking. Pure. */

import { O_CLOEXEC, O_NONBLOCK, O_RDONLY } from '../linux/fcntl.ts';
import { CTL, type Slot } from '../program/builder.ts';
import { type Draft, openInRoot, sendMessage } from './draft.ts';

/** As much of it as HOME is looked for in. */
const PASSWD_BYTES = 65536;

/** PASSWD with what could be read: nothing when there is no such file. */
export function planReadPasswd(draft: Draft, root: Slot, scratch: Slot): void {
  const b = draft.builder;
  b.section('process.env', 'read HOME from the passwd of the container', '/etc/passwd');
  const buffer = b.space(PASSWD_BYTES);
  const got = b.slot('passwd length');
  const [none, send] = [b.label(), b.label()];
  // O_NONBLOCK: a FIFO in its place must not stop us (CVE-2024-9676).
  const flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
  openInRoot(b, root, '/etc/passwd', scratch, { flags, onError: none });
  b.call('read', [scratch, buffer, PASSWD_BYTES], { into: got, onError: none });
  b.call('close', [scratch]);
  b.jump(send);
  b.place(none);
  b.sum(got, 0);
  b.place(send);
  sendMessage(b, 'PASSWD', 0, { length: got });
  b.call('write', [CTL, buffer, got]);
}
