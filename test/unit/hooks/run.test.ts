/** Hooks of the runtime namespaces: what they get, how they fail, deadlines. */

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RuncellError } from '../../../src/error.ts';
import { type HookEntry, type HookRun, runAllHooks, runHooks } from '../../../src/hooks/run.ts';
import { monotonicMs } from '../../../src/libcontainer/native/libc.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';

let directory: string;
let out: string;

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/runcell-hook-`);
  out = `${directory}/out`;
});
afterEach(() => rmSync(directory, { recursive: true }));

const sh = (script: string, more: Partial<HookEntry> = {}): HookEntry => ({
  path: '/bin/sh',
  args: ['sh', '-c', script],
  ...more,
});

function run(hooks: HookEntry[], more: Partial<HookRun> = {}): HookRun {
  return {
    point: 'createRuntime',
    hooks,
    state: '{"id":"c"}',
    env: ['C=aller'],
    directory,
    ...more,
  };
}

function failure(hooks: HookEntry[], more: Partial<HookRun> = {}): RuncellError {
  try {
    runHooks(run(hooks, more));
  } catch (thrown) {
    return thrown as RuncellError;
  }
  return expect.unreachable();
}

const written = () => readFileSync(out, 'utf8');

describe('a hook', () => {
  it('has the state on stdin, up to end of file', () => {
    const state = JSON.stringify({ id: 'c', annotations: { big: 'x'.repeat(200_000) } });
    runHooks(run([sh(`cat > ${out}`)], { state }));
    expect(written()).toBe(state);
  });

  it("has args and env verbatim, the caller's environment when it has none", () => {
    const python = `import os,sys; open(${JSON.stringify(out)},'a').write(repr((sys.argv, dict(os.environ))) + '\\n')`;
    const path = '/usr/bin/python3';
    runHooks(
      run([
        { path, args: ['any name', '-c', python, 'a b', ''], env: ['K=v=w', 'E='] },
        { path, args: ['p', '-c', python] },
        { path, args: ['p', '-c', python], env: [] },
      ]),
    );
    const lines = written().split('\n');
    expect(lines[0]).toContain("['-c', 'a b', '']");
    expect(lines[0]).toContain("'K': 'v=w'");
    expect(lines[0]).toContain("'E': ''");
    expect(lines[0]).not.toContain("'C'");
    expect(lines[1]).toContain("'C': 'aller'");
    expect(lines[2]).not.toContain("'C'");
  });

  it('is given its path as argv[0] when it has no args', () => {
    const path = `${directory}/hook`;
    writeFileSync(path, `#!/bin/sh\necho "$0 $#" > ${out}\n`);
    chmodSync(path, 0o755);
    runHooks(run([{ path }, { path, args: [] }]));
    expect(written()).toBe(`${path} 0\n`);
  });

  it('runs where it is told, in a session of its own, with nothing but 0, 1 and 2', () => {
    const python = `
import os
fds = sorted(int(n) for n in os.listdir('/proc/self/fd'))
status = open('/proc/self/status').read()
print(os.getcwd(), os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid(), fds,
      [l.split()[1] for l in status.splitlines() if l[:6] in ('SigBlk', 'SigIgn')],
      file=open(${JSON.stringify(out)}, 'w'))`;
    // python itself ignores SIGPIPE and SIGXFSZ (13, 25), and listdir has one descriptor
    runHooks(run([{ path: '/usr/bin/python3', args: ['p', '-c', python] }]));
    expect(written()).toBe(
      `${directory} True True [0, 1, 2, 3] ['0000000000000000', '0000000001001000']\n`,
    );
  });

  it('has the umask and the descriptor limit of the caller', () => {
    const before = process.umask();
    const limit = () =>
      /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))![1];
    const ours = limit();
    runHooks(run([sh(`umask > ${out}; ulimit -n >> ${out}`)], { umask: 0o27, nofileSoft: 123n }));
    expect(written()).toBe('0027\n123\n');
    expect(process.umask()).toBe(before);
    expect(limit()).toBe(ours);
  });

  it('runs after the one before it, and not after one that failed', () => {
    const say = (word: string, code = 0) => sh(`echo ${word} >> ${out}; exit ${code}`);
    runHooks(run([sh(`sleep 0.1; echo one >> ${out}`), say('two')]));
    const error = failure([say('three'), say('four', 1), say('five')]);
    expect(error.fields.specPath).toBe('hooks.createRuntime[1]');
    expect(written()).toBe('one\ntwo\nthree\nfour\n');
  });
});

describe('a hook that fails', () => {
  it('is named with its exit status and the tail of what it wrote', () => {
    const error = failure([sh('echo first; echo >&2 "  no such thing  "; exit 3')]);
    expect(error.code).toBe('hook.failed');
    expect(error.message).toBe(
      'hooks.createRuntime[0] /bin/sh: exit status 3: first | no such thing',
    );
    expect(failure([sh('exit 4')]).message).toBe('hooks.createRuntime[0] /bin/sh: exit status 4');
    const killed = failure([sh('kill -9 $$')], { point: 'prestart' });
    expect(killed.message).toBe('hooks.prestart[0] /bin/sh: killed by signal 9');
  });

  it('is quoted with its last 1024 bytes, control characters shown', () => {
    const { message } = failure([
      sh("printf '%04000d' 7 | sed 's/0/é/g'; printf '\\033[1mX'; exit 1"),
    ]);
    expect(message).toContain('\\u001b[1mX');
    expect(message).not.toContain('\ufffd');
    expect(Buffer.byteLength(message)).toBeLessThan(1100);
    expect(Buffer.byteLength(message)).toBeGreaterThan(1000);
  });

  it('to be executed, says why', () => {
    expect(failure([{ path: '/no/hook' }]).message).toBe(
      'hooks.createRuntime[0] /no/hook: no such file or directory (ENOENT)',
    );
    writeFileSync(`${directory}/plain`, '');
    expect(failure([{ path: `${directory}/plain` }]).message).toContain(
      'permission denied (EACCES)',
    );
    chmodSync(`${directory}/plain`, 0o755);
    expect(failure([{ path: `${directory}/plain` }]).message).toContain(
      'exec format error (ENOEXEC)',
    );
  });

  it('does not keep the others from running, at poststop', () => {
    const hooks = [sh('exit 1'), sh(`echo ran > ${out}`), { path: '/no/hook' }];
    const problems = runAllHooks(run(hooks, { point: 'poststop' }));
    expect(problems.map(({ message }) => message)).toEqual([
      'hooks.poststop[0] /bin/sh: exit status 1',
      'hooks.poststop[2] /no/hook: no such file or directory (ENOENT)',
    ]);
    expect(written()).toBe('ran\n');
  });
});

describe('a hook that hangs', () => {
  it('is killed at its timeout with all of its group', async () => {
    const start = monotonicMs();
    const script = `echo waiting >&2; sleep 60 & echo $$ $! > ${out}; wait`;
    const error = failure([sh(script, { timeout: 1 })]);
    expect(monotonicMs() - start).toBeGreaterThanOrEqual(990);
    expect(monotonicMs() - start).toBeLessThan(3000);
    expect(error.code).toBe('hook.timeout');
    expect(error.message).toBe(
      'hooks.createRuntime[0] /bin/sh: hook ran past its timeout of 1s ' +
        '(hook ran past specified timeout of 1.0s): waiting',
    );
    const pids = written().trim().split(' ').map(Number);
    expect(pids).toHaveLength(2);
    // the grandchild may take a moment to end, and init one to reap it
    await eventually('the group is gone', () => !pids.some(isAlive));
  });

  it('is not waited for when only its grandchild does [stdout kept open]', () => {
    const start = monotonicMs();
    runHooks(run([sh(`sleep 60 & echo $! > ${out}`)]));
    expect(monotonicMs() - start).toBeLessThan(2000);
    const grandchild = Number(written());
    expect(grandchild).toBeGreaterThan(1);
    process.kill(grandchild, 'SIGKILL');
  });

  it('may leave its input unread', () => {
    runHooks(run([sh('exit 0')], { state: 'x'.repeat(1_000_000) }));
  });
});
