/** The parser of what the launcher hands over. */

import { expect, test } from 'vitest';
import {
  HAND_OVER,
  HAND_OVER_HEADER_SIZE,
  HAND_OVER_MAGIC,
  HAND_OVER_VERSION,
  parseHandOver,
} from '../../../src/launcher/hand-over.ts';

function handOver(environment: Uint8Array): Buffer {
  const header = Buffer.alloc(HAND_OVER_HEADER_SIZE);
  header.writeUInt32LE(HAND_OVER_MAGIC, HAND_OVER.magic);
  header.writeUInt32LE(HAND_OVER_VERSION, HAND_OVER.version);
  header.writeUInt32LE(9, HAND_OVER.keep);
  header.writeUInt32LE(2, HAND_OVER.listenFds);
  header.writeInt32LE(-1, HAND_OVER.firstMissingFd);
  header.writeUInt32LE(0o27, HAND_OVER.umask);
  header.writeBigUInt64LE(1024n, HAND_OVER.nofileSoft);
  header.writeBigUInt64LE(2n ** 64n - 1n, HAND_OVER.nofileHard);
  header.writeUInt32LE(4711, HAND_OVER.pid);
  return Buffer.concat([header, environment]);
}

test('parseHandOver reads every field', () => {
  const envBytes = Buffer.from('A=1\0B=\u00fc\0');
  expect(parseHandOver(handOver(envBytes))).toEqual({
    keep: 9,
    listenFds: 2,
    firstMissingFd: -1,
    umask: 0o27,
    nofileSoft: 1024n,
    nofileHard: 2n ** 64n - 1n,
    launcherPid: 4711,
    memfdNoexec: false,
    env: ['A=1', 'B=\u00fc'],
    envBytes,
  });
});

test('parseHandOver tells no string from empty strings, and keeps bytes that are not UTF-8', () => {
  expect(parseHandOver(handOver(Buffer.alloc(0))).env).toEqual([]);
  expect(parseHandOver(handOver(Buffer.from('\0'))).env).toEqual(['']);
  expect(parseHandOver(handOver(Buffer.from('A=1\0\0B=2\0'))).env).toEqual(['A=1', '', 'B=2']);
  const latin1 = Buffer.from([0x41, 0x3d, 0xe4, 0]);
  const parsed = parseHandOver(handOver(latin1));
  expect(parsed.env).toEqual(['A=\ufffd']);
  expect(Buffer.from(parsed.envBytes)).toEqual(latin1);
});

test('parseHandOver accepts a view into a larger buffer', () => {
  const bytes = handOver(Buffer.from('A=1\0'));
  const larger = Buffer.concat([Buffer.alloc(3), bytes]);
  expect(parseHandOver(larger.subarray(3)).env).toEqual(['A=1']);
});

test('parseHandOver refuses what this version would not have written', () => {
  const bytes = handOver(Buffer.alloc(0));
  expect(() => parseHandOver(bytes.subarray(0, 47))).toThrow('shorter');
  const magic = Buffer.from(bytes).fill(0, 0, 4);
  expect(() => parseHandOver(magic)).toThrow('magic');
  const version = Buffer.from(bytes).fill(9, 4, 5);
  expect(() => parseHandOver(version)).toThrow('version');
});

test('parseHandOver tells from the mode of the memfd whether memfds are executable', () => {
  const bytes = handOver(Buffer.alloc(0));
  expect(parseHandOver(bytes, 0o100777).memfdNoexec).toBe(false);
  expect(parseHandOver(bytes, 0o100666).memfdNoexec).toBe(true);
});
