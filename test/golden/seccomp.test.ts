/** config.linux.seccomp: where the filter is loaded, and with what in force. */

import type { LinuxSeccomp } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import type { FilterToLoad } from '../../src/libcontainer/plan/seccomp.ts';
import { compileFilter } from '../../src/libcontainer/seccomp/compile.ts';
import { golden, goldenCreate, problemsOf, programText } from './golden.ts';
import { execPrograms } from './plan.ts';

const compiled = (changes: Partial<LinuxSeccomp> = {}): Promise<FilterToLoad> =>
  compileFilter({ defaultAction: 'SCMP_ACT_ALLOW', ...changes }, 'x64');

const filter = await compiled({
  syscalls: [
    { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' },
    {
      names: ['socket'],
      action: 'SCMP_ACT_KILL_PROCESS',
      args: [{ index: 0, op: 'SCMP_CMP_EQ', value: 38 }],
    },
  ],
});
const notifying = await compiled({
  listenerPath: '/run/agent.sock',
  flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_TSYNC'],
  syscalls: [{ names: ['mount'], action: 'SCMP_ACT_NOTIFY' }],
});

const LATE = /^(linux\.seccomp|process\.(args|capabilities|noNew)|wait for|hooks)/;
const capabilities = { bounding: ['CAP_KILL'], permitted: ['CAP_KILL'], effective: ['CAP_KILL'] };
const process = { cwd: '/', args: ['/bin/true'], env: ['HOME=/'] };
const hooks = { startContainer: [{ path: '/bin/hook' }] };

describe('linux.seccomp', () => {
  test('without no_new_privs: CAP_SYS_ADMIN stays until the filter is loaded', () => {
    const config = { process: { ...process, capabilities }, hooks };
    goldenCreate('seccomp', { only: LATE, config, filter });
  });

  test('with no_new_privs: last', () => {
    const config = { process: { ...process, capabilities, noNewPrivileges: true } };
    goldenCreate('seccomp-no-new-privileges', { only: LATE, config, filter });
  });

  test('with an agent: before CREATED', () => {
    const config = { process: { ...process, capabilities, noNewPrivileges: true } };
    goldenCreate('seccomp-notify', { only: LATE, config, filter: notifying });
  });

  test('exec', () => {
    const namespaces = ['mount', 'pid'] as const;
    const request = { process: { ...process, noNewPrivileges: true }, namespaces };
    const programs = execPrograms(request, { filter });
    for (const { problems } of problemsOf(programs)) expect(problems).toEqual([]);
    golden('seccomp-exec', programText(programs.slice(-1), LATE));
  });
});
