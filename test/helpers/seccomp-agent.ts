/**
 * The part of a seccomp agent that answers: seccomp_unotify(2), through koffi. One call is taken from
 * the listener and gets an error, or goes on.
 */

import koffi from 'koffi';
import { eventually } from './eventually.ts';

const libc = koffi.load(null);
const ioctl = libc.func('int ioctl(int fd, unsigned long request, _Inout_ void *data)');
const poll = libc.func('int poll(_Inout_ void *fds, unsigned long count, int timeout)');

/** _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp). */
const RECEIVE = 0xc0502100;
const SEND = 0xc0182101;
const NOTIF_SIZE = 80;
const RESPONSE_SIZE = 24;
const CONTINUE = 1;
const POLLIN = 1;

/** Waits for a call and answers it; gives its number. */
export async function answerNext(
  listener: number,
  answer: { error: number } | 'continue',
): Promise<number> {
  await eventually('a call for the agent', () => {
    const fds = Buffer.alloc(8);
    fds.writeInt32LE(listener, 0);
    fds.writeInt16LE(POLLIN, 4);
    return poll(fds, 1, 0) === 1 && (fds.readInt16LE(6) & POLLIN) !== 0;
  });
  const call = Buffer.alloc(NOTIF_SIZE);
  if (ioctl(listener, RECEIVE, call) !== 0) throw new Error(`receive: errno ${koffi.errno()}`);
  const response = Buffer.alloc(RESPONSE_SIZE);
  response.writeBigUInt64LE(call.readBigUInt64LE(0), 0);
  if (answer === 'continue') response.writeUInt32LE(CONTINUE, 20);
  else response.writeInt32LE(-answer.error, 16);
  if (ioctl(listener, SEND, response) !== 0) throw new Error(`send: errno ${koffi.errno()}`);
  return call.readInt32LE(16);
}
