/** What a profile becomes, read back by the machine of test/helpers/seccomp-machine.ts. */

import type { LinuxSeccomp, LinuxSeccompArch } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { ARCHITECTURES } from '../../../src/libcontainer/seccomp/architectures.ts';
import { compileFilter } from '../../../src/libcontainer/seccomp/compile.ts';
import { checkFilter, runFilter } from '../../helpers/seccomp-machine.ts';
import { engineProfile } from '../../helpers/seccomp-profiles.ts';

const X86_64 = 0xc000003e;
const X86 = 0x40000003;
const ARM = 0x40000028;
const ALLOW = 0x7fff0000;
const EPERM = 0x50001;
const ENOSYS = 0x50026;
const KILL = 0;

async function decide(profile: LinuxSeccomp, host: 'x64' | 'arm64' = 'x64') {
  const { program } = await compileFilter(profile, host);
  checkFilter(program);
  return (nr: number, arch = X86_64, ...args: bigint[]) => runFilter(program, { arch, nr, args });
}

const allow = (...names: [string, ...string[]]) => ({ names, action: 'SCMP_ACT_ALLOW' as const });
const only = (names: [string, ...string[]], architectures?: LinuxSeccompArch[]): LinuxSeccomp => ({
  defaultAction: 'SCMP_ACT_ERRNO',
  ...(architectures === undefined ? {} : { architectures }),
  syscalls: [allow(...names)],
});

describe('calls newer than the profile', () => {
  test('are unknown to it, the older ones are refused', async () => {
    const verdict = await decide(only(['read', 'close_range'], ['SCMP_ARCH_X86_64']));
    expect([0, 1, 435, 436, 437, 462, 1000].map((nr) => verdict(nr))).toEqual([
      ...[ALLOW, EPERM, EPERM, ALLOW, ENOSYS, ENOSYS, ENOSYS],
    ]);
  });

  test('also where no architecture is listed', async () => {
    const verdict = await decide(only(['read', 'close_range']));
    expect([verdict(1), verdict(437)]).toEqual([EPERM, ENOSYS]);
  });

  test('not where the default lets calls pass, or says so itself', async () => {
    for (const defaultAction of ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'] as const) {
      const verdict = await decide({
        defaultAction,
        syscalls: [{ names: ['read'], action: 'SCMP_ACT_KILL_PROCESS' }],
      });
      expect(verdict(437)).toBe(verdict(1));
    }
    const killing = await decide({ ...only(['read']), defaultAction: 'SCMP_ACT_KILL_PROCESS' });
    expect([killing(1), killing(0)]).toEqual([ENOSYS, ALLOW]);
  });

  test('nor where the profile names no call of the architecture', async () => {
    const verdict = await decide(only(['no_such_call']));
    expect([0, 437, 9999].map((nr) => verdict(nr))).toEqual([EPERM, EPERM, EPERM]);
  });

  test("arm's own calls are not new ones", async () => {
    const verdict = await decide(only(['read', 'set_tls'], ['SCMP_ARCH_ARM']), 'arm64');
    expect(verdict(3, ARM)).toBe(ALLOW);
    expect(verdict(4, ARM)).toBe(ENOSYS);
    expect(verdict(0xf0005, ARM)).toBe(ALLOW);
    expect(verdict(0xf0006, ARM)).toBe(ENOSYS);
  });
});

describe('architectures', () => {
  test('the own one is in every filter, another is killed', async () => {
    const verdict = await decide(only(['read'], ['SCMP_ARCH_X86']));
    expect(verdict(0)).toBe(ALLOW);
    expect(verdict(3, X86)).toBe(ALLOW);
    expect(verdict(0, ARM)).toBe(KILL);
  });

  test('x32 is another one than x86-64', async () => {
    const long = await decide(only(['read'], ['SCMP_ARCH_X86_64']));
    expect(long(0x40000000)).toBe(KILL);
    const both = await decide(only(['read'], ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32']));
    expect([both(0x40000000), both(0x40000000 + 600)]).toEqual([ALLOW, ENOSYS]);
  });

  test('calls behind socketcall(2) and ipc(2) are told by its first argument', async () => {
    const verdict = await decide(only(['connect', 'semop'], ['SCMP_ARCH_X86']));
    expect(verdict(362, X86)).toBe(ALLOW);
    expect(verdict(102, X86, 3n)).toBe(ALLOW);
    expect(verdict(102, X86, 2n)).toBe(EPERM);
    expect([verdict(117, X86, 1n), verdict(117, X86, 2n)]).toEqual([ALLOW, EPERM]);
  });

  test('an argument of x86 has 32 bits', async () => {
    const args = [{ index: 0, op: 'SCMP_CMP_EQ' as const, value: 0x100000005n }];
    const verdict = await decide({
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: ['SCMP_ARCH_X86'],
      syscalls: [{ names: ['read'], action: 'SCMP_ACT_ERRNO', args }],
    });
    expect(verdict(3, X86, 5n)).toBe(EPERM);
    expect([verdict(0, X86_64, 5n), verdict(0, X86_64, 0x100000005n)]).toEqual([ALLOW, EPERM]);
  });

  test.each(Object.entries(ARCHITECTURES))(
    '%s has a table with read and write',
    async (_, arch) => {
      const words = (await arch.load()).table.names.split(' ');
      expect(words).toContain('read');
      expect(words).toContain('execve');
      expect(new Set(words.filter((word) => !/^\d/.test(word))).size).toBeGreaterThan(300);
    },
  );
});

describe('what comes with the program', () => {
  const flags = async (changes: Partial<LinuxSeccomp>) =>
    (await compileFilter({ defaultAction: 'SCMP_ACT_ALLOW', ...changes }, 'x64')).flags;
  const notifying = [{ names: ['mount'] as [string], action: 'SCMP_ACT_NOTIFY' as const }];

  test('SPEC_ALLOW unless there is a word about flags', async () => {
    expect(await flags({})).toBe(4);
    expect(await flags({ flags: [] })).toBe(0);
    expect(await flags({ flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_TSYNC'] })).toBe(
      3,
    );
  });

  test('a listener, and what only goes with one', async () => {
    const wait = ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV' as const];
    expect(await flags({ flags: wait })).toBe(0);
    expect(await flags({ flags: wait, syscalls: notifying })).toBe(0x28);
    expect(await flags({ flags: ['SECCOMP_FILTER_FLAG_TSYNC'], syscalls: notifying })).toBe(0x19);
    const { notifies } = await compileFilter(
      { defaultAction: 'SCMP_ACT_ALLOW', syscalls: notifying },
      'x64',
    );
    expect(notifies).toBe(true);
  });

  test('names that no architecture of the filter has are told', async () => {
    const { debug } = await compileFilter(only(['read', 'waitpid', 'no_such_call']), 'x64');
    expect(debug).toEqual([
      'linux.seccomp.syscalls: no calls of these architectures: waitpid no_such_call',
    ]);
  });

  test('a profile of too many conditions is refused', async () => {
    const syscalls = Array.from({ length: 2000 }, (_, i) => ({
      names: ['read'] as [string],
      action: 'SCMP_ACT_ERRNO' as const,
      args: [{ index: 0, op: 'SCMP_CMP_EQ' as const, value: BigInt(i) << 40n }],
    }));
    const compiling = compileFilter({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }, 'x64');
    await expect(compiling).rejects.toThrow(/linux\.seccomp: becomes \d+ instructions/);
  });

  test("Docker's default is short", async () => {
    const profile = engineProfile('moby');
    const { program } = await compileFilter(profile, 'x64');
    checkFilter(program);
    expect(program.length / 8).toBeLessThan(320);
    const own = await compileFilter({ ...profile, architectures: ['SCMP_ARCH_X86_64'] }, 'x64');
    expect(own.program.length / 8).toBeLessThan(100);
  });
});
