/**
 * Which descriptors a container gets and which it never sees: --preserve-fds, LISTEN_FDS, stdio,
 * --pidfd-socket. runtime-cli.md §4.3, §4.5, §4.7; sd_listen_fds(3).
 */

import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { close, signalPidfd } from '../helpers/native.ts';
import { isAlive, openFds } from '../helpers/proc.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';
import { DescriptorSocket } from '../helpers/sockets.ts';
import { type Spec, useUserNamespace } from '../helpers/spec.ts';

/** Opens `count` files, the n-th with the text `file n`, and passes them from 3 on. */
async function withFiles<T>(
  box: Box,
  count: number,
  body: (fds: number[]) => Promise<T>,
): Promise<T> {
  const fds = Array.from({ length: count }, (_, index) => {
    writeFileSync(box.path(`file${index}`), `file ${index}\n`);
    return openSync(box.path(`file${index}`), 'r');
  });
  try {
    return await body(fds);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

describe('descriptors', () => {
  check('a container has 0, 1 and 2 and nothing else', async (box) => {
    const out = await withFiles(box, 5, (extraFds) =>
      box.sh('ls /proc/self/fd', undefined, { extraFds }),
    );
    // The last is the directory that ls reads.
    expect(out.split('\n')).toEqual(['0', '1', '2', '3']);
  });

  check('a created init holds no descriptor of the caller, of a host directory', async (box) => {
    mkdirSync(box.path('hostdir'));
    const dirs = Array.from({ length: 20 }, () => openSync(box.path('hostdir'), 'r'));
    const bundle = box.bundle(['sleep', '100']);
    const { pid } = await box.create(bundle, [], { extraFds: dirs });
    for (const fd of dirs) closeSync(fd);
    for (const [fd, target] of Object.entries(openFds(pid))) {
      if (Number(fd) < 3) continue;
      expect(target, `fd ${fd}`).not.toContain('hostdir');
      // FIFOs, pipes, sockets, eventfds: nothing one could walk from.
      if (isRuncell)
        expect(target, `fd ${fd}`).toMatch(/exec\.|^pipe:|^socket:|^anon_inode:|memfd:/);
    }
  });

  check('the started program has 0, 1 and 2 only', async (box) => {
    const { pid } = await box.start(box.bundle(['sleep', '100']));
    await eventually('exec', () => readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n');
    expect(Object.keys(openFds(pid))).toEqual(['0', '1', '2']);
  });

  for (const verb of ['run', 'exec'] as const) {
    check(`${verb} --preserve-fds passes that many from 3 on`, async (box) => {
      const script = 'cat <&3; cat <&4; cat <&5 2>/dev/null || echo no fifth';
      await withFiles(box, 3, async (extraFds) => {
        const flags = ['--preserve-fds', '2'];
        if (verb === 'run') {
          const { stdout } = await box.run(box.bundle(['sh', '-c', script]), flags, { extraFds });
          expect(stdout).toBe('file 0\nfile 1\nno fifth\n');
        } else {
          const { id } = await box.start(box.bundle(['sleep', '100']));
          const args = ['exec', ...flags, id, 'sh', '-c', script];
          expect((await box.verb(args, { extraFds })).stdout).toBe('file 0\nfile 1\nno fifth\n');
        }
      });
    });

    const own = { notRunc: 'its own epoll descriptor may be the fourth' };
    check(`${verb} --preserve-fds fails for one that is not open`, own, async (box) => {
      const flags = ['--preserve-fds', '2'];
      await withFiles(box, 1, async (extraFds) => {
        const outcome =
          verb === 'run'
            ? await box.run(box.bundle(['true']), flags, { extraFds })
            : await inContainer(box, ['exec', ...flags], { extraFds });
        const line = refusal(outcome, verb === 'run' ? 1 : 255);
        expect(line).toMatch(/preserve/);
        expect(line).toMatch(/4|file descriptor/);
      });
    });
  }

  check('more than eight preserved descriptors arrive in order', async (box) => {
    const script = 'for n in 3 4 5 6 7 8 9; do cat <&$n; done; cat /proc/self/fd/17';
    await withFiles(box, 15, async (extraFds) => {
      const bundle = box.bundle(['sh', '-c', script]);
      const { stdout } = await box.run(bundle, ['--preserve-fds', '15'], { extraFds });
      const lines = [0, 1, 2, 3, 4, 5, 6, 14].map((index) => `file ${index}\n`);
      expect(stdout).toBe(lines.join(''));
    });
  });

  check('a preserved descriptor survives create and start', async (box) => {
    const out = await withFiles(box, 1, async (extraFds) => {
      const bundle = box.bundle(['cat', '/proc/self/fd/3']);
      const container = await box.create(bundle, ['--preserve-fds', '1'], { extraFds });
      await box.silent(['start', container.id]);
      await box.until(container.id, 'stopped');
      return container.out();
    });
    expect(out).toBe('file 0\n');
  });

  check("detached stdio is the caller's own, owner unchanged", async (box) => {
    const { pid } = await box.create(box.bundle(['sleep', '100']));
    const fds = openFds(pid);
    expect(fds[1]).toMatch(new RegExp(`^${box.dir}/out`));
    expect(fds[2]).toMatch(new RegExp(`^${box.dir}/err`));
  });

  check('stdin of a foreground run reaches the program, and its end', async (box) => {
    const bundle = box.bundle(['wc', '-c']);
    const input = 'x'.repeat(300_000);
    const { stdout } = await box.run(bundle, [], { input });
    expect(stdout.trim()).toBe('300000');
  });

  check('output of a foreground run arrives whole', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'head -c 1000000 /dev/zero; echo err >&2']);
    const { stdout, stderr } = await box.run(bundle);
    expect(stdout).toHaveLength(1_000_000);
    expect(stderr).toBe('err\n');
  });

  const others: Record<string, (spec: Spec) => void> = {
    'another user': (spec) => {
      spec.process.user = { uid: 1000, gid: 1000 };
    },
    'a user namespace': (spec) => useUserNamespace(spec, 100_000, 65_536),
  };
  for (const [who, patch] of Object.entries(others)) {
    check(`/dev/stdout and /dev/stderr open a pipe again, for ${who}`, async (box) => {
      const script = 'cat /dev/stdin; echo one >/dev/stdout; echo two >/dev/stderr';
      const { dir } = box.bundle(['sh', '-c', script], patch);
      const run = `${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
      const ran = await box.command('sh', ['-c', `echo in | ${run} 2>&1 | cat`]);
      expect(ran.stdout.split('\n').sort()).toEqual(['', 'in', 'one', 'two']);
      const container = await box.start(box.bundle(['sleep', '100'], patch));
      const exec = `${runtime.path} --root ${box.root} exec --user 1001 ${container.id}`;
      const executed = await box.command('sh', [
        '-c',
        `echo in | ${exec} sh -c '${script}' 2>&1 | cat`,
      ]);
      expect(executed.stdout.split('\n').sort()).toEqual(['', 'in', 'one', 'two']);
    });
  }

  check('a file of the caller stays as it is for another user', async (box) => {
    const file = box.path('output');
    const bundle = box.bundle(['sh', '-c', 'echo said'], others['another user']);
    const run = `${runtime.path} --root ${box.root} run --bundle ${bundle.dir} ${box.id()}`;
    await box.command('sh', ['-c', `umask 077; ${run} >${file}`]);
    const { mode, uid, size } = statSync(file);
    expect({ mode: mode & 0o777, uid, size }).toEqual({ mode: 0o600, uid: 0, size: 5 });
  });

  check('/dev/stdout and /dev/stderr open a pipe of the caller again', async (box) => {
    const { dir } = box.bundle(['sh', '-c', 'echo one >/dev/stdout; echo two >/dev/stderr']);
    const words = `${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
    const outcome = await box.command('sh', ['-c', `${words} 2>&1 | cat`]);
    expect(outcome.stdout.split('\n').sort()).toEqual(['', 'one', 'two']);
  });

  check('a closed stdin, stdout or stderr is tolerated', async (box) => {
    for (const redirection of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-']) {
      const { dir } = box.bundle(['true']);
      const words = [runtime.path, '--root', box.root, 'run', '--bundle', dir, box.id()];
      const outcome = await box.command('sh', ['-c', `${words.join(' ')} ${redirection}`]);
      expect({ redirection, ...outcome }).toMatchObject({ redirection, status: 0 });
    }
  });

  check('stdout and stderr opened read-only are tolerated', async (box) => {
    const { dir } = box.bundle(['sleep', '100']);
    const words = [runtime.path, '--root', box.root, 'create', '--bundle', dir, box.id()];
    const script = `${words.join(' ')} </dev/null 1</dev/null 2</dev/null`;
    expect(await box.command('sh', ['-c', script])).toMatchObject({ status: 0 });
  });

  check('a detached verb leaves nobody holding its stdout but the container', async (box) => {
    const { id } = await box.create(box.bundle(['sleep', '100']));
    // `verb` waits for the end of the pipes.
    const started = await box.verb(['start', id]);
    expect(started.milliseconds).toBeLessThan(5000);
    const bundle = box.bundle(['sh', '-c', 'exec sleep 100 >/dev/null 2>&1']);
    const args = ['run', '--detach', '--bundle', bundle.dir, box.id()];
    const outcome = await box.verb(args, { timeoutMs: 10_000 });
    expect(outcome).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });
});

async function inContainer(box: Box, args: string[], options: { extraFds: number[] }) {
  const { id } = await box.start(box.bundle(['sleep', '100']));
  return box.verb([...args, id, 'true'], options);
}

describe('LISTEN_FDS', () => {
  /** A shell replaced by the runtime knows the runtime's pid. */
  const activated = (words: string, listenPid = '$$') =>
    `export LISTEN_PID=${listenPid} LISTEN_FDS=2 LISTEN_FDNAMES=a:b; exec ${words}`;

  check('of the runtime come first, with LISTEN_PID 1 and without names', async (box) => {
    const script = 'env | grep ^LISTEN | sort; cat <&3; cat <&4; cat <&5';
    const { dir } = box.bundle(['sh', '-c', script]);
    const words = `${runtime.path} --root ${box.root} run --bundle ${dir} --preserve-fds 1 ${box.id()}`;
    await withFiles(box, 3, async (extraFds) => {
      const { stdout, stderr } = await box.command('sh', ['-c', activated(words)], { extraFds });
      expect(stderr).toBe('');
      expect(stdout).toBe('LISTEN_FDS=2\nLISTEN_PID=1\nfile 0\nfile 1\nfile 2\n');
    });
  });

  check('meant for another pid are not passed', async (box) => {
    const { dir } = box.bundle(['sh', '-c', 'env | grep ^LISTEN; ls /proc/self/fd | wc -l']);
    const words = `${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
    await withFiles(box, 2, async (extraFds) => {
      const { stdout } = await box.command('sh', ['-c', activated(words, '1')], { extraFds });
      expect(stdout).toBe('4\n');
    });
  });

  check('are passed through create and start', async (box) => {
    const { dir } = box.bundle(['sh', '-c', 'env | grep ^LISTEN | sort; cat <&3; cat <&4']);
    const id = box.id();
    const words = `${runtime.path} --root ${box.root} create --bundle ${dir} ${id}`;
    const out = box.path('container-out');
    await withFiles(box, 2, async (extraFds) => {
      const script = `${activated(words)} >${out} 2>&1`;
      await box.command('sh', ['-c', script], { extraFds });
      await box.silent(['start', id]);
      await box.until(id, 'stopped');
      expect(readFileSync(out, 'utf8')).toBe('LISTEN_FDS=2\nLISTEN_PID=1\nfile 0\nfile 1\n');
    });
  });
});

describe('--pidfd-socket', () => {
  const since = { notRunc: 'came with runc 1.2' };

  check('create sends one pidfd of init', since, async (box) => {
    using socket = new DescriptorSocket(box.path('pidfd.sock'));
    const flags = ['--pidfd-socket', socket.path];
    const creating = box.create(box.bundle(['sleep', '100']), flags);
    const { fd, data } = await socket.receive();
    const { id, pid } = await creating;
    expect(data.toString().replaceAll('\0', '')).toBe('standard');
    expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')).toMatch(
      new RegExp(`^Pid:\\t${pid}$`, 'm'),
    );
    await box.silent(['start', id]);
    expect(signalPidfd(fd, 9)).toBe(true);
    await eventually('init ended', () => !isAlive(pid));
    close(fd);
  });

  check('exec sends one pidfd of its process', since, async (box) => {
    const { id } = await box.start(box.bundle(['sleep', '100']));
    using socket = new DescriptorSocket(box.path('pidfd.sock'));
    const file = box.path('exec.pid');
    const flags = ['--detach', '--pid-file', file, '--pidfd-socket', socket.path];
    const running = box.verb(['exec', ...flags, id, 'sleep', '100'], { detached: true });
    const { fd, data } = await socket.receive();
    expect(await running).toMatchObject({ status: 0, stderr: '' });
    expect(data.toString().replaceAll('\0', '')).toBe('setns');
    const pid = readFileSync(file, 'latin1');
    expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')).toMatch(
      new RegExp(`^Pid:\\t${pid}$`, 'm'),
    );
    close(fd);
  });

  check('that is not there fails create and leaves nothing', since, async (box) => {
    const { dir } = box.bundle(['sleep', '100']);
    const id = box.id();
    const args = ['create', '--bundle', dir, '--pidfd-socket', box.path('no.sock'), id];
    expect(refusal(await box.verb(args))).toContain('no.sock');
    expect((await box.verb(['state', id])).status).toBe(1);
  });
});
