/** exec and the foreground wait: request → program. */

import { describe, expect, test } from 'vitest';
import { planWait, type WaitRequest } from '../../src/libcontainer/plan/wait.ts';
import { checkProgram } from '../../src/libcontainer/program/check.ts';
import { printProgram } from '../../src/libcontainer/program/print.ts';
import { golden, problemsOf, programText } from './golden.ts';
import { execPrograms, type NamedProgram } from './plan.ts';

function goldenExec(name: string, programs: readonly NamedProgram[]): void {
  for (const { name: program, problems } of problemsOf(programs)) {
    expect(problems, `${name}: ${program}`).toEqual([]);
  }
  golden(name, programText(programs));
}

describe('exec', () => {
  const process = { cwd: '/', args: ['sh'], env: ['PATH=/bin', 'HOME=/', 'TOKEN=secret'] };

  test('into all namespaces', () => {
    const namespaces = ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'user'] as const;
    const linux = { namespaces: namespaces.map((type) => ({ type })) };
    goldenExec('exec', execPrograms({ process, namespaces }, { config: { linux } }));
  });

  test('with a terminal, HOME from passwd', () => {
    goldenExec(
      'exec-terminal',
      execPrograms(
        {
          process: { ...process, terminal: true, env: ['PATH=/bin'] },
          namespaces: ['mount', 'pid'],
        },
        { options: { foregroundTerminal: true } },
      ),
    );
  });

  test('with the memory policy of the container', () => {
    const linux = { memoryPolicy: { mode: 'MPOL_INTERLEAVE', nodes: '0' } } as const;
    const programs = execPrograms({ process, namespaces: [] }, { config: { linux } });
    expect(programText(programs)).toContain('  set_mempolicy(MPOL_INTERLEAVE, [0], 65)\n');
  });

  test('into a container without a mount namespace', () => {
    goldenExec('exec-no-mount-namespace', execPrograms({ process, namespaces: ['pid'] }));
  });
});

describe('the foreground wait', () => {
  function wait(changes: Partial<WaitRequest>): void {
    const program = planWait({
      arch: 'x64',
      pidfd: 5,
      pid: 4711,
      report: 6,
      gate: { kind: 'fifo', stateDir: '/run/runcell/states/c1' },
      alwaysFinish: true,
      finish: {
        path: '/usr/lib/runcell/dist/runcell',
        args: ['runcell', 'finish', 'run', 'c1'],
        env: new TextEncoder().encode('TOKEN=secret\0B=\0'),
      },
      ...changes,
    });
    expect(checkProgram(program, { process: 'supervisor' })).toEqual([]);
    const name = changes.gate?.kind === 'started' ? 'wait-started' : 'wait';
    golden(name, printProgram(program, { numbers: false }));
  }

  test('of run: through the FIFOs, then removed', () => {
    wait({
      alwaysFinish: false,
      remove: {
        stateDir: '/run/runcell/states/c1',
        files: ['state.json', 'config.json'],
        cgroup: '/sys/fs/cgroup/runcell/c1',
      },
    });
  });

  test('of what runs already: the compiler decides', () => {
    wait({ gate: { kind: 'started' } }); // 'wait-started'
  });
});
