/** Reading the container's /etc/passwd for HOME: below the root, a bounded read, never blocking. Pure. */

import { O_CLOEXEC, O_NONBLOCK, O_RDONLY } from '../linux/fcntl.ts';
import { CTL, type Slot } from '../program/builder.ts';
import { type Draft, openInRoot, sendMessage } from './draft.ts';

/** Read and sent piece by piece, so that the buffer costs a page; more than this is not looked at. */
const PIECE_BYTES = 2048;
const PIECES_MAX = 512;

/** PASSWD messages with what could be read, the last one empty. */
export function planReadPasswd(draft: Draft, root: Slot, scratch: Slot): void {
  const b = draft.builder;
  b.section('process.env', 'read HOME from the passwd of the container', '/etc/passwd');
  const buffer = b.scratch();
  const got = b.slot('passwd length');
  const left = b.slot('passwd pieces left');
  const [next, close, none] = [b.label(), b.label(), b.label()];
  // O_NONBLOCK: a FIFO in its place must not stop us (CVE-2024-9676).
  const flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
  openInRoot(b, root, '/etc/passwd', scratch, { flags, onError: none });
  b.sum(left, PIECES_MAX);
  b.place(next);
  b.jumpIfZero(left, close);
  b.sum(left, left, -1);
  b.call('read', [scratch, buffer, PIECE_BYTES], { into: got, onError: close });
  b.jumpIfZero(got, close);
  sendMessage(b, 'PASSWD', 0, { length: got });
  b.call('write', [CTL, buffer, got]);
  b.jump(next);
  b.place(close);
  b.call('close', [scratch]);
  b.place(none);
  sendMessage(b, 'PASSWD');
}
