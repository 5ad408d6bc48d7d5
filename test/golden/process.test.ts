/** config.process, hooks, terminal, descriptors: fragment → program. */

import type { Config } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { planSelfCopy } from '../../src/libcontainer/plan/self-copy.ts';
import { copyToTmpfs } from '../../src/libcontainer/plan/self-copy-tmpfs.ts';
import { checkProgram } from '../../src/libcontainer/program/check.ts';
import { printProgram } from '../../src/libcontainer/program/print.ts';
import { golden, goldenCreate } from './golden.ts';

type Process = NonNullable<Config['process']>;

const PROCESS = /^(process|wait for start|keep the report)/;

/** A process with what the test names. */
function process(changes: Partial<Process>): Process {
  return { cwd: '/', args: ['/bin/true'], env: ['HOME=/'], user: { uid: 0, gid: 0 }, ...changes };
}

describe('process', () => {
  test('nothing but a program', () => {
    goldenCreate('process', { only: PROCESS });
  });

  test('user, groups, umask, cwd', () => {
    goldenCreate('process-user', {
      only: /^process\.(user|cwd)/,
      config: {
        process: process({
          user: { uid: 1000, gid: 100, additionalGids: [5, 4294967294], umask: 0o077 },
          cwd: '/srv/work',
        }),
      },
    });
  });

  test('args looked up in PATH, HOME from passwd', () => {
    goldenCreate('process-args', {
      only: /^process\.(args|env)/,
      config: {
        process: process({
          args: ['sh', '-c', 'echo "hi"\n'],
          env: ['PATH=/bin:relative:/usr/bin', 'TOKEN=secret'],
        }),
      },
    });
  });

  test('capabilities', () => {
    goldenCreate('capabilities', {
      only: /^process\.(capabilities|noNewPrivileges)/,
      config: {
        process: process({
          noNewPrivileges: true,
          capabilities: {
            bounding: ['CAP_KILL', 'CAP_NET_RAW', 'CAP_BPF'],
            permitted: ['CAP_KILL', 'CAP_NET_RAW', 'CAP_BPF'],
            effective: ['CAP_KILL', 'CAP_BPF'],
            inheritable: ['CAP_NET_RAW'],
            ambient: ['CAP_NET_RAW'],
          },
        }),
      },
    });
  });

  test('limits', () => {
    const rlimits = [
      { type: 'RLIMIT_CORE', soft: 0, hard: 18446744073709551615n },
      { type: 'RLIMIT_NOFILE', soft: 1024, hard: 9007199254740993n },
    ];
    goldenCreate('rlimits', {
      only: /^process\.rlimits/,
      // integers beyond 2^53 come as BigInt from src/oci/json.ts
      config: {
        process: process({ rlimits: rlimits as unknown as NonNullable<Process['rlimits']> }),
      },
    });
  });

  test('scheduler, I/O priority, oomScoreAdj', () => {
    goldenCreate('scheduling', {
      only: /^process\.(scheduler|ioPriority|oomScoreAdj)/,
      config: {
        process: process({
          oomScoreAdj: -500,
          scheduler: {
            policy: 'SCHED_DEADLINE',
            flags: ['SCHED_FLAG_RESET_ON_FORK'],
            runtime: 1000000,
            deadline: 2000000,
            period: 3000000,
          },
          ioPriority: { class: 'IOPRIO_CLASS_IDLE', priority: 7 },
        }),
      },
    });
  });
});

describe('terminal', () => {
  const config = {
    process: process({ terminal: true, consoleSize: { height: 24, width: 80 } }),
    mounts: [{ destination: '/dev/pts', type: 'devpts', options: ['newinstance'] }],
  };
  const only = /^(process\.terminal|--console-socket)/;

  test('sent to a console socket', () => {
    goldenCreate('terminal-console-socket', {
      only,
      config,
      options: { consoleSocket: '/run/console.sock' },
    });
  });

  test('offered to the compiler', () => {
    goldenCreate('terminal-foreground', { only, config, options: { foregroundTerminal: true } });
  });
});

describe('descriptors', () => {
  test('kept ones, LISTEN_FDS', () => {
    goldenCreate('descriptors-kept', {
      only: /^(process\.args: execute|keep the report)/,
      options: { keepFds: 3, listenFds: 2 },
    });
  });

  test('stdio that is the host’s /dev/null', () => {
    goldenCreate('descriptors-null', { only: /\/dev\/null/, facts: { nullStdio: [0, 2] } });
  });

  test('the pidfd socket', () => {
    goldenCreate('descriptors-pidfd-socket', {
      only: /^(--pidfd-socket|linux\.namespaces: make init)/,
      options: { pidfdSocket: '/run/pidfd.sock' },
    });
  });
});

describe('hooks', () => {
  test('in the container’s namespaces', () => {
    goldenCreate('hooks', {
      only: /^hooks/,
      config: {
        hooks: {
          createContainer: [
            { path: '/bin/prepare', args: ['prepare', 'x'], env: ['KEY=secret'], timeout: 3 },
          ],
          startContainer: [{ path: '/bin/start' }],
        },
      },
    });
  });
});

describe('self copy', () => {
  test.each(['x64', 'arm64'] as const)('%s', (arch) => {
    const program = planSelfCopy(arch, 5);
    expect(checkProgram(program)).toEqual([]);
    const name = arch === 'x64' ? 'self-copy' : 'self-copy-arm64';
    golden(name, printProgram(program, { numbers: false }));
  });

  test('where memfds may not be executed', () => {
    const program = planSelfCopy('x64', 5, copyToTmpfs);
    expect(checkProgram(program)).toEqual([]);
    golden('self-copy-tmpfs', printProgram(program, { numbers: false }));
  });
});
