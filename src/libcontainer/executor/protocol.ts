/**
 * Both ends of the wire between compiler and executor (docs/program.md, "Wire").
 *
 * Towards the executor: a 16-byte header and the body of a program. Back: messages of 32 bytes
 * {i64 tag, i64 a, i64 b, i64 length} with `length` bytes of payload; tag -1 is the fatal record
 * {i64 -1, u64 op, i64 -errno, i64 ignored} and has none. Words are read as numbers: what they
 * carry (pids, descriptors, errnos) is far below 2^53. What init sends can be seen by processes of
 * the container, so lengths are bounded before they are believed (security.md H12). No I/O.
 */

import { RuncellError } from '../../error.ts';
import { FATAL_TAG, MESSAGE_SIZE, WIRE_HEADER_SIZE, WIRE_MAGIC } from '../program/op.ts';

/** A program with its wire header, ready to be sent. */
export interface EncodedProgram {
  readonly bytes: Uint8Array;
}

/** Why a program stopped: the op, its errno, and the last errno that was tolerated before it. */
export interface FatalRecord {
  readonly op: number;
  /** Positive. */
  readonly errno: number;
  /** Positive, 0 when nothing was tolerated. */
  readonly ignored: number;
}

export interface Message {
  readonly tag: number;
  readonly a: number;
  readonly b: number;
  readonly payload: Uint8Array;
  /** There exactly when `tag` is -1. */
  readonly fatal: FatalRecord | undefined;
}

/** No message of ours comes near: the longest carries the head of an executable. */
export const MAX_PAYLOAD = 1 << 20;

const NOTHING = new Uint8Array(0);

/** The wire header before a body of `length` bytes. */
export function encodeWireHeader(length: number): Uint8Array {
  const header = new Uint8Array(WIRE_HEADER_SIZE);
  const view = new DataView(header.buffer);
  view.setUint32(0, WIRE_MAGIC, true);
  view.setUint32(8, length, true);
  return header;
}

function word(view: DataView, offset: number): number {
  return view.getInt32(offset + 4, true) * 0x100000000 + view.getUint32(offset, true);
}

/** The fatal record in 32 bytes, undefined when they are something else. */
export function decodeFatalRecord(bytes: Uint8Array): FatalRecord | undefined {
  if (bytes.length < MESSAGE_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (word(view, 0) !== FATAL_TAG) return undefined;
  // the subtraction keeps a zero from becoming -0
  return { op: word(view, 8), errno: 0 - word(view, 16), ignored: 0 - word(view, 24) };
}

/** The message at the beginning of `bytes` and its size, undefined while it is not all there. */
export function decodeMessage(bytes: Uint8Array): { message: Message; size: number } | undefined {
  if (bytes.length < MESSAGE_SIZE) return undefined;
  const fatal = decodeFatalRecord(bytes);
  if (fatal !== undefined) {
    const message = { tag: FATAL_TAG, a: fatal.op, b: fatal.errno, payload: NOTHING, fatal };
    return { message, size: MESSAGE_SIZE };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = word(view, 24);
  if (length < 0 || length > MAX_PAYLOAD) {
    const reason = `message of ${length} bytes`;
    throw new RuncellError({ code: 'kernel.init', operation: 'receive', reason });
  }
  const size = MESSAGE_SIZE + length;
  if (bytes.length < size) return undefined;
  const payload = bytes.slice(MESSAGE_SIZE, size);
  const [tag, a, b] = [word(view, 0), word(view, 8), word(view, 16)];
  return { message: { tag, a, b, payload, fatal: undefined }, size };
}
