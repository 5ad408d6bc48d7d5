/**
 * `linux.seccomp` in real containers: what a call gets, under which processes, with and without
 * no_new_privs, and the agent of SCMP_ACT_NOTIFY (runtime-spec 1.3 config-linux.md#seccomp, seccomp(2),
 * seccomp_unotify(2)). What a filter decides call by call is test/unit/seccomp's subject.
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { close } from '../helpers/native.ts';
import { answerNext } from '../helpers/seccomp-agent.ts';
import { DescriptorSocket } from '../helpers/sockets.ts';
import type { Spec } from '../helpers/spec.ts';

const SIGSYS_STATUS = 128 + 31;

/** Everything but these. */
const except =
  (...syscalls: Record<string, unknown>[]) =>
  (spec: Spec) => {
    spec.linux['seccomp'] = { defaultAction: 'SCMP_ACT_ALLOW', syscalls };
  };
const mkdir = (action: string, more = {}) => ({ names: ['mkdir', 'mkdirat'], action, ...more });
const TRY = 'mkdir /tmp/x 2>&1; echo $?';

describe('linux.seccomp', () => {
  check('ERRNO is EPERM, or errnoRet', async (box) => {
    const text = await box.sh(TRY, except(mkdir('SCMP_ACT_ERRNO')));
    expect(text).toMatch(/Operation not permitted\n1$/);
    const other = await box.sh(TRY, except(mkdir('SCMP_ACT_ERRNO', { errnoRet: 38 })));
    expect(other).toMatch(/Function not implemented\n1$/);
  });

  check('KILL_PROCESS and KILL end by SIGSYS', async (box) => {
    for (const action of ['SCMP_ACT_KILL_PROCESS', 'SCMP_ACT_KILL', 'SCMP_ACT_KILL_THREAD']) {
      const text = await box.sh(TRY, except(mkdir(action)));
      expect(text.split('\n').at(-1)).toBe(String(SIGSYS_STATUS));
    }
  });

  check('TRAP is SIGSYS, TRACE without a tracer ENOSYS, LOG lets the call pass', async (box) => {
    const patch = (action: string) => (spec: Spec) => {
      spec.root.readonly = false;
      except(mkdir(action))(spec);
    };
    expect(await box.sh(TRY, patch('SCMP_ACT_TRAP'))).toMatch(/159$/);
    expect(await box.sh(TRY, patch('SCMP_ACT_TRACE'))).toMatch(/Function not implemented\n1$/);
    expect(await box.sh(TRY, patch('SCMP_ACT_LOG'))).toBe('0');
  });

  check('conditions look at arguments', async (box) => {
    const args = [{ index: 1, value: 12, op: 'SCMP_CMP_EQ' }];
    const patch = except({ names: ['kill'], action: 'SCMP_ACT_ERRNO', args });
    const script = 'trap : USR1 USR2; kill -USR1 $$; echo $?; kill -USR2 $$ 2>/dev/null; echo $?';
    expect(await box.sh(script, patch)).toBe('0\n1');
  });

  check('without it there is no filter', async (box) => {
    expect(await box.sh('grep Seccomp: /proc/self/status')).toMatch(/\s0$/);
  });

  check('no_new_privs is the configured, and so are the capabilities', async (box) => {
    for (const noNewPrivileges of [true, false]) {
      for (const uid of [0, 1000]) {
        const script = 'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status';
        const patch = (filtered: boolean) => (spec: Spec) => {
          spec.process.noNewPrivileges = noNewPrivileges;
          spec.process.user = { uid, gid: uid };
          if (filtered) except(mkdir('SCMP_ACT_ERRNO'))(spec);
        };
        const plain = await box.sh(script, patch(false));
        const filtered = await box.sh(script, patch(true));
        expect(filtered).toBe(plain.replace(/Seccomp:\s*0/, 'Seccomp:\t2'));
        expect(plain).toContain(`NoNewPrivs:\t${noNewPrivileges ? 1 : 0}`);
      }
    }
  });

  check('exec comes under it too', async (box) => {
    const container = await box.start(
      box.bundle(['sleep', '100'], except(mkdir('SCMP_ACT_ERRNO', { errnoRet: 122 }))),
    );
    const outcome = await box.verb(['exec', container.id, 'mkdir', '/tmp/x']);
    expect(outcome.stderr).toMatch(/Disk quota exceeded|Quota exceeded/);
    expect(outcome.status).toBe(1);
    await box.silent(['delete', '--force', container.id]);
  });

  check('exec has the profile of the creation', async (box) => {
    const bundle = box.bundle(['sleep', '100'], except(mkdir('SCMP_ACT_ERRNO')));
    const container = await box.start(bundle);
    box.rewrite(bundle, (spec) => {
      delete spec.linux['seccomp'];
    });
    const text = await box.exec(container, ['grep', 'Seccomp:', '/proc/self/status']);
    expect(text).toMatch(/\s2$/);
    await box.silent(['delete', '--force', container.id]);
  });

  check(
    'a hook of the container is under it',
    { notRunc: 'runc 1.1 has the hook alone' },
    async (box) => {
      const bundle = box.bundle(['cat', '/dev/shm/hook'], (spec) => {
        except(mkdir('SCMP_ACT_ERRNO'))(spec);
        const script = 'grep Seccomp: /proc/self/status > /dev/shm/hook';
        spec.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', script] }] };
      });
      expect(await box.printed(bundle)).toMatch(/\s2$/);
    },
  );

  /** Statically linked busybox `true`, and no more; the runtime needs nothing but execve. */
  const MINIMAL = [
    ...['execve', 'brk', 'arch_prctl', 'set_tid_address', 'set_robust_list', 'rseq', 'prlimit64'],
    ...['readlinkat', 'readlink', 'getrandom', 'mprotect', 'exit_group', 'uname', 'mmap', 'munmap'],
    ...['getuid', 'getgid', 'setuid', 'setgid', 'prctl', 'access', 'openat', 'read', 'close'],
    ...['fstat', 'newfstatat', 'pread64', 'faccessat', 'geteuid', 'getegid'],
  ];

  check(
    'nothing is asked of the profile for the runtime',
    { notRunc: 'runc needs more' },
    async (box) => {
      for (const noNewPrivileges of [true, false]) {
        const bundle = box.bundle(['true'], (spec) => {
          spec.process.noNewPrivileges = noNewPrivileges;
          const rule = { names: MINIMAL, action: 'SCMP_ACT_ALLOW' };
          spec.linux['seccomp'] = { defaultAction: 'SCMP_ACT_KILL_PROCESS', syscalls: [rule] };
        });
        expect(await box.run(bundle)).toMatchObject({ status: 0, stderr: '' });
      }
    },
  );

  check('execve that is refused is told', { notRunc: 'runc says it nowhere' }, async (box) => {
    const bundle = box.bundle(['true'], except({ names: ['execve'], action: 'SCMP_ACT_ERRNO' }));
    const { status, stderr } = await box.run(bundle);
    expect(status).not.toBe(0);
    expect(stderr).toContain('operation not permitted');
  });

  check('the filter is kept by content', { notRunc: 'it has no cache' }, async (box) => {
    const names = () => box.command('ls', [`${box.root}/seccomp`]).then(({ stdout }) => stdout);
    const patch = except(mkdir('SCMP_ACT_ERRNO'));
    expect(await box.sh(TRY, patch)).toMatch(/not permitted/);
    const first = await names();
    expect(first.trim().split('\n')).toHaveLength(1);
    expect(await box.sh(TRY, patch)).toMatch(/not permitted/);
    expect(await names()).toBe(first);
    // A damaged entry is made again.
    const file = `${box.root}/seccomp/${first.trim()}`;
    const whole = readFileSync(file);
    const damaged = Buffer.from(whole);
    damaged[damaged.length - 5]! ^= 0xff;
    writeFileSync(file, damaged);
    expect(await box.sh(TRY, patch)).toMatch(/not permitted/);
    expect(readFileSync(file).equals(whole)).toBe(true);
  });
});

const NOTIFY = { notRunc: 'runc 1.1.5 of Debian: the same test needs an agent of its own' };

describe('linux.seccomp.listenerPath', () => {
  const patch = (path: string) => (spec: Spec) => {
    spec.linux['seccomp'] = {
      defaultAction: 'SCMP_ACT_ALLOW',
      listenerPath: path,
      listenerMetadata: 'who: me',
      syscalls: [mkdir('SCMP_ACT_NOTIFY')],
    };
  };

  check('an agent answers for the container', NOTIFY, async (box) => {
    for (const noNewPrivileges of [true, false]) {
      using agent = new DescriptorSocket(box.path(`agent${noNewPrivileges}`));
      const bundle = box.bundle(['sh', '-c', TRY], (spec) => {
        patch(agent.path)(spec);
        spec.process.noNewPrivileges = noNewPrivileges;
      });
      const container = await box.create(bundle);
      const { fd, data } = await agent.receive();
      const state = JSON.parse(data.toString());
      expect(state).toMatchObject({
        ociVersion: '1.3.0',
        fds: ['seccompFd'],
        pid: container.pid,
        metadata: 'who: me',
        state: { id: container.id, status: 'creating', pid: container.pid, bundle: bundle.dir },
      });
      await box.silent(['start', container.id]);
      await answerNext(fd, { error: 13 });
      await box.until(container.id, 'stopped');
      expect(container.out()).toMatch(/Permission denied\n1/);
      close(fd);
      await box.silent(['delete', container.id]);
    }
  });

  check('exec has a listener of its own', NOTIFY, async (box) => {
    const first = new DescriptorSocket(box.path('agent'));
    const container = await box.create(box.bundle(['sleep', '100'], patch(first.path)));
    close((await first.receive()).fd);
    first[Symbol.dispose]();
    await box.silent(['start', container.id]);
    rmSync(first.path);
    using second = new DescriptorSocket(first.path);
    const running = box.verb(['exec', container.id, 'mkdir', '/tmp/x']);
    const { fd, data } = await second.receive();
    const message = JSON.parse(data.toString());
    expect(message.state).toMatchObject({ status: 'running', pid: container.pid });
    expect(message.pid).not.toBe(container.pid);
    await answerNext(fd, { error: 28 });
    expect((await running).stderr).toContain('No space left');
    close(fd);
    await box.silent(['delete', '--force', container.id]);
  });

  check('no agent, no container', NOTIFY, async (box) => {
    const bundle = box.bundle(['true'], patch(box.path('nobody')));
    const message = refusal(await box.run(bundle));
    expect(message).toContain('linux.seccomp.listenerPath');
    expect(message).toContain('no such file or directory');
  });
});
