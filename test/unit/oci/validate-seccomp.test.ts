/** What the schema lets through and a filter cannot be. */

import type { LinuxSeccomp } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { checkSeccomp } from '../../../src/oci/validate/seccomp.ts';

const profile = (changes: Record<string, unknown>): LinuxSeccomp =>
  ({ defaultAction: 'SCMP_ACT_ALLOW', ...changes }) as LinuxSeccomp;
const rule = (changes: Record<string, unknown>) =>
  profile({ syscalls: [{ names: ['read'], action: 'SCMP_ACT_ERRNO', ...changes }] });
const arg = (changes: Record<string, unknown>) =>
  rule({ args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ', ...changes }] });

describe('linux.seccomp', () => {
  test.each([
    [{ defaultErrnoRet: 1 }, 'linux.seccomp.defaultErrnoRet 1: has no meaning with SCMP_ACT_ALLOW'],
    [
      { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 4096 },
      'linux.seccomp.defaultErrnoRet 4096: must be at most 4095',
    ],
    [
      { architectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_S390X'] },
      'linux.seccomp.architectures[1] SCMP_ARCH_S390X: is big-endian, and this machine is not',
    ],
    [{ listenerMetadata: 'x' }, 'linux.seccomp.listenerMetadata: needs listenerPath'],
    [{ listenerPath: 'agent' }, 'linux.seccomp.listenerPath agent: must be absolute'],
    [
      { defaultAction: 'SCMP_ACT_NOTIFY', listenerPath: '/agent' },
      'linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action',
    ],
    [{ DefaultAction: 'x' }, 'linux.seccomp.DefaultAction: is spelt defaultAction'],
  ])('%j', (changes, message) => {
    expect(() => checkSeccomp(profile(changes))).toThrow(message);
  });

  test.each([
    [
      rule({ action: 'SCMP_ACT_KILL', errnoRet: 1 }),
      'syscalls[0].errnoRet 1: has no meaning with SCMP_ACT_KILL',
    ],
    [
      rule({ action: 'SCMP_ACT_TRACE', errnoRet: 65536 }),
      'syscalls[0].errnoRet 65536: must be at most 65535',
    ],
    [rule({ names: ['read', ''] }), 'syscalls[0].names[1]: must not be empty'],
    [arg({ index: 6 }), 'syscalls[0].args[0].index 6: must be from 0 to 5'],
    [arg({ value: 2n ** 64n }), 'args[0].value 18446744073709551616: must fit into 64 bits'],
    [arg({ valueTwo: -1 }), 'args[0].valueTwo -1: must fit into 64 bits'],
    [rule({ action: 'SCMP_ACT_NOTIFY' }), 'syscalls[0].action: SCMP_ACT_NOTIFY needs listenerPath'],
    [rule({ Args: [] }), 'syscalls[0].Args: is spelt args'],
    [arg({ OP: 1 }), 'args[0].OP: is spelt op'],
  ])('%#: %s', (seccomp, message) => {
    expect(() => checkSeccomp(seccomp)).toThrow(message);
  });

  test('write is no call for an agent', () => {
    const seccomp = {
      ...rule({ action: 'SCMP_ACT_NOTIFY', names: ['mount', 'write'] }),
      listenerPath: '/agent',
    };
    const message = 'linux.seccomp.syscalls[0].names: SCMP_ACT_NOTIFY cannot be used for the write';
    expect(() => checkSeccomp(seccomp)).toThrow(message);
  });

  test('what is good passes, what is unknown is told', () => {
    const { debug, problems } = checkSeccomp({
      ...arg({ value: 2n ** 64n - 1n, 'x-more': 1 }),
      listenerPath: '/agent',
    });
    expect(problems).toEqual([]);
    expect(debug).toEqual(['linux.seccomp.syscalls[0].args[0].x-more: is not known']);
  });
});
