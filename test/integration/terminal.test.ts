/**
 * Terminals: `--console-socket` for detached containers, and foreground sessions as a person has
 * them. runtime-cli.md §4.2 to §4.4; pty(7), tty_ioctl(4).
 */

import { createHash } from 'node:crypto';
import { fstatSync, readSync, writeSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Bundle, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { close } from '../helpers/native.ts';
import { openFds, procStat } from '../helpers/proc.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';
import { DescriptorSocket } from '../helpers/sockets.ts';
import { type Patch, useUserNamespace } from '../helpers/spec.ts';
import { Terminal } from '../helpers/terminal.ts';

function terminalBundle(box: Box, args: readonly string[], patch?: Patch): Bundle {
  return box.bundle(args, (spec) => {
    spec.process.terminal = true;
    spec.process.env?.push('PS1=cell> ', 'HOME=/root');
    patch?.(spec);
  });
}

/** What a pty's master shows until its hangup or until `until` is there. */
async function readMaster(fd: number, until: string): Promise<string> {
  let text = '';
  const buffer = Buffer.alloc(4096);
  await eventually(`"${until}" on the master, shown: ${text}`, () => {
    try {
      text += buffer.toString('utf8', 0, readSync(fd, buffer));
    } catch (error) {
      // EIO: the last slave was closed.
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
      return true;
    }
    return text.includes(until);
  });
  return text;
}

describe('--console-socket', () => {
  check('create sends the master, init has the terminal on 0, 1 and 2', async (box) => {
    const script = 'tty; stty size; ls -l /dev/console | cut -c1; readlink /proc/self/fd/0';
    const bundle = terminalBundle(box, ['sh', '-c', `${script}; sleep 100`], (spec) => {
      spec.process['consoleSize'] = { width: 91, height: 37 };
    });
    using socket = new DescriptorSocket(box.path('console.sock'));
    const creating = box.create(bundle, ['--console-socket', socket.path]);
    const { fd, data } = await socket.receive();
    const { id } = await creating;
    expect(data.length).toBeGreaterThan(0);
    expect(data.length).toBeLessThan(4096);
    expect(fstatSync(fd).isCharacterDevice()).toBe(true);
    await box.silent(['start', id]);
    const shown = await readMaster(fd, '/dev/pts/0\r\n37 91\r\nc\r\n/dev/pts/0\r\n');
    expect(shown).toContain('37 91');
    close(fd);
  });

  check('what is typed on the master reaches the program', async (box) => {
    using socket = new DescriptorSocket(box.path('console.sock'));
    const creating = box.create(terminalBundle(box, ['sh']), ['--console-socket', socket.path]);
    const { fd } = await socket.receive();
    const { id } = await creating;
    await box.silent(['start', id]);
    await readMaster(fd, 'cell> ');
    writeSync(fd, 'echo $((6*7)) done\n');
    expect(await readMaster(fd, '42 done')).toContain('42 done');
    close(fd);
  });

  check('run --detach and exec --detach send a master each', async (box) => {
    using first = new DescriptorSocket(box.path('first.sock'));
    const starting = box.runDetached(terminalBundle(box, ['sh']), ['--console-socket', first.path]);
    const { fd } = await first.receive();
    const { id } = await starting;
    await readMaster(fd, 'cell> ');
    using second = new DescriptorSocket(box.path('second.sock'));
    const flags = ['--tty', '--detach', '--console-socket', second.path];
    const executing = box.verb(['exec', ...flags, id, 'sh', '-c', 'tty; sleep 100'], {
      detached: true,
    });
    const other = await second.receive();
    expect(await executing).toMatchObject({ status: 0, stderr: '' });
    expect(await readMaster(other.fd, '/dev/pts/1')).toContain('/dev/pts/1');
    close(fd);
    close(other.fd);
  });

  check('in a user namespace the terminal belongs to the user', async (box) => {
    const bundle = terminalBundle(
      box,
      ['sh', '-c', 'stat -c %u:%g:%a /dev/pts/0; sleep 10'],
      (spec) => {
        useUserNamespace(spec);
        spec.process.user = { uid: 1001, gid: 1001 };
      },
    );
    using socket = new DescriptorSocket(box.path('console.sock'));
    const creating = box.create(bundle, ['--console-socket', socket.path]);
    const { fd } = await socket.receive();
    const { id } = await creating;
    await box.silent(['start', id]);
    expect(await readMaster(fd, '\n')).toBe('1001:5:620\r\n');
    close(fd);
  });

  check('no descriptor of the master stays in the container', async (box) => {
    using socket = new DescriptorSocket(box.path('console.sock'));
    const creating = box.create(terminalBundle(box, ['sleep', '100']), [
      '--console-socket',
      socket.path,
    ]);
    const { fd } = await socket.receive();
    const { id, pid } = await creating;
    await box.silent(['start', id]);
    await eventually('exec', () => procStat(pid)?.comm === 'sleep');
    expect(openFds(pid)).toEqual({ 0: '/dev/pts/0', 1: '/dev/pts/0', 2: '/dev/pts/0' });
    close(fd);
  });

  check('a detached terminal without it is refused', async (box) => {
    const { dir } = terminalBundle(box, ['sh']);
    const line = refusal(await box.verb(['create', '--bundle', dir, box.id()]));
    expect(line).toContain(
      'cannot allocate tty if runc will detach without setting console socket',
    );
  });

  check('without a terminal it is refused', async (box) => {
    const { dir } = box.bundle(['sh']);
    using socket = new DescriptorSocket(box.path('console.sock'));
    const args = ['create', '--bundle', dir, '--console-socket', socket.path, box.id()];
    const line = refusal(await box.verb(args));
    expect(line).toContain('cannot use console socket if runc will not detach or allocate tty');
  });

  check('that nobody listens on is an error and leaves nothing', async (box) => {
    const { dir } = terminalBundle(box, ['sh']);
    const id = box.id();
    const args = ['create', '--bundle', dir, '--console-socket', box.path('none.sock'), id];
    expect(refusal(await box.verb(args))).toMatch(/none\.sock/);
    expect((await box.verb(['state', id])).status).toBe(1);
  });
});

describe('a person at a terminal', () => {
  const start = (box: Box, bundle: Bundle, id: string, size = {}) =>
    new Terminal(runtime.path, ['--root', box.root, 'run', '--bundle', bundle.dir, id], size);

  check('run: prompt, commands, exit code', async (box) => {
    const id = box.id();
    await using screen = start(box, terminalBundle(box, ['sh']), id);
    await screen.sees('cell> ');
    screen.type('tty; hostname\r');
    await screen.sees(/\/dev\/pts\/0\r+\ntestcell\r+\n/);
    await screen.sees('cell> ');
    screen.type('exit 41\r');
    expect(await screen.ends()).toBe(41);
    expect((await box.verb(['state', id])).status).toBe(1);
  });

  check('run: has the size of the window from the start', async (box) => {
    // runc copies the size in a race with the program.
    const sizeScript = isRuncell ? 'stty size' : 'sleep 0.3; stty size';
    await using screen = start(box, terminalBundle(box, ['sh', '-c', sizeScript]), box.id(), {
      columns: 101,
      rows: 33,
    });
    await screen.sees('33 101');
    expect(await screen.ends()).toBe(0);
  });

  check('run: follows the window', async (box) => {
    await using screen = start(box, terminalBundle(box, ['sh']), box.id());
    await screen.sees('cell> ');
    for (const [columns, rows] of [
      [120, 40],
      [40, 10],
    ] as const) {
      screen.resize(columns, rows);
      await eventually('the new size arrived', async () => {
        screen.type('stty size\r');
        const [, height, width] = await screen.sees(/(\d+) (\d+)\r+\n/);
        return Number(height) === rows && Number(width) === columns;
      });
    }
    screen.type('exit\r');
    expect(await screen.ends()).toBe(0);
  });

  check('run: the program is told of the new size', async (box) => {
    const script = 'trap "echo resized; stty size" WINCH; echo ready; while :; do sleep 0.05; done';
    await using screen = start(box, terminalBundle(box, ['sh', '-c', script]), box.id());
    await screen.sees('ready');
    screen.resize(77, 22);
    await screen.sees(/resized\r+\n22 77/);
  });

  check('run: ctrl-C ends the program, not the shell', async (box) => {
    await using screen = start(box, terminalBundle(box, ['sh']), box.id());
    await screen.sees('cell> ');
    screen.type('sleep 1000\r');
    await screen.sees('sleep 1000');
    await sleep(300);
    screen.type('\x03');
    await screen.sees('cell> ');
    screen.type('echo code $?\r');
    await screen.sees('code 130');
    screen.type('exit 3\r');
    expect(await screen.ends()).toBe(3);
  });

  check('run: ctrl-D ends the shell', async (box) => {
    await using screen = start(box, terminalBundle(box, ['sh']), box.id());
    await screen.sees('cell> ');
    screen.type('\x04');
    expect(await screen.ends()).toBe(0);
  });

  check('run: job control works', async (box) => {
    await using screen = start(box, terminalBundle(box, ['sh']), box.id());
    await screen.sees('cell> ');
    screen.type('sleep 1000\r');
    await screen.sees('sleep 1000');
    await sleep(300);
    screen.type('\x1a');
    await screen.sees(/Stopped/);
    await screen.sees('cell> ');
    screen.type('kill %1; exit\r');
    await screen.sees(/exit/);
    screen.type('exit\r');
    expect(await screen.ends()).toBeLessThan(256);
  });

  check('run: the last output is whole', async (box) => {
    const script = 'i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done; echo the end';
    await using screen = start(box, terminalBundle(box, ['sh', '-c', script]), box.id());
    expect(await screen.ends(30_000)).toBe(0);
    const lines = screen.shown.split(/\r*\n/);
    expect(lines.slice(0, 3000)).toEqual(
      Array.from({ length: 3000 }, (_, index) => `line ${index}`),
    );
    expect(lines[3000]).toBe('the end');
  });

  check('run: much pasted input arrives', async (box) => {
    await using screen = start(
      box,
      terminalBundle(box, ['sh', '-c', 'stty -echo -icanon; echo go; head -c 20000 | md5sum']),
      box.id(),
    );
    await screen.sees('go');
    const text = 'abcdefghi\n'.repeat(2000);
    screen.type(text);
    await screen.sees(createHash('md5').update(text).digest('hex'));
    expect(await screen.ends()).toBe(0);
  });

  /** The user's own shell on the terminal, which starts the runtime. */
  const shell = () =>
    new Terminal('/bin/sh', ['-i'], {
      env: { PATH: process.env['PATH']!, PS1: 'host> ', TERM: 'xterm' },
    });
  const command = (box: Box, bundle: Bundle, id = box.id()) =>
    `${runtime.path} --root ${box.root} run --bundle ${bundle.dir} ${id}`;

  for (const [how, script] of [
    ['an exit', 'exit 0'],
    ['an error', 'no-such-command'],
    ['death', 'kill -KILL $$'],
  ]) {
    check(`run: the user's terminal is as before after ${how}`, async (box) => {
      await using screen = shell();
      await screen.sees('host> ');
      screen.type('stty -g\r');
      const [before] = await screen.sees(/[0-9a-f]+(:[0-9a-f]+){10,}/);
      await screen.sees('host> ');
      screen.type(`${command(box, terminalBundle(box, ['sh', '-c', script!]))}; echo back $?\r`);
      await screen.sees(/back \d+\r+\n/);
      await screen.sees('host> ');
      screen.type('stty -g\r');
      const [after] = await screen.sees(/[0-9a-f]+(:[0-9a-f]+){10,}/);
      expect(after).toBe(before);
    });
  }

  check("run: the user's terminal is as before when the runtime gets TERM", async (box) => {
    await using screen = shell();
    await screen.sees('host> ');
    screen.type('stty -g\r');
    const [before] = await screen.sees(/[0-9a-f]+(:[0-9a-f]+){10,}/);
    const id = box.id();
    const bundle = terminalBundle(box, [
      'sh',
      '-c',
      'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done',
    ]);
    screen.type(`${command(box, bundle, id)}; echo code $?\r`);
    await screen.sees(/^up|\nup/);
    await box.silent(['kill', id, 'TERM']);
    await screen.sees(/code 9\r+\n/);
    screen.type('stty -g\r');
    const [after] = await screen.sees(/[0-9a-f]+(:[0-9a-f]+){10,}/);
    expect(after).toBe(before);
  });

  check('run: a hangup of the terminal ends the session', async (box) => {
    const id = box.id();
    {
      await using screen = start(box, terminalBundle(box, ['sh']), id);
      await screen.sees('cell> ');
    }
    // The runtime was killed with its terminal; the container is deleted like any other.
    await box.silent(['delete', '--force', id]);
  });

  check('run: stdin from a pipe, terminal for output', async (box) => {
    const bundle = terminalBundle(box, ['sh', '-c', 'read line; echo "got $line"']);
    await using screen = new Terminal('/bin/sh', ['-c', `echo typed | ${command(box, bundle)}`]);
    await screen.sees('got typed');
    expect(await screen.ends()).toBe(0);
  });

  check('exec -t: prompt, size, ctrl-C, exit code', async (box) => {
    const container = await box.start(box.bundle(['sleep', '1000']));
    const args = ['--root', box.root, 'exec', '-t', '-e', 'PS1=cell> ', container.id, 'sh'];
    await using screen = new Terminal(runtime.path, args, { columns: 99, rows: 31 });
    await screen.sees('cell> ');
    screen.type('tty; stty size\r');
    await screen.sees(/\/dev\/pts\/0\r+\n31 99\r+\n/);
    await screen.sees('cell> ');
    screen.type('cat\r');
    await screen.sees(/cat\r+\n/);
    await sleep(300);
    screen.type('\x03');
    await screen.sees('cell> ');
    screen.type('exit 17\r');
    expect(await screen.ends()).toBe(17);
    expect(await box.status(container.id)).toBe('running');
  });

  check('exec without -t has no terminal even where the container has one', async (box) => {
    using socket = new DescriptorSocket(box.path('console.sock'));
    const creating = box.create(terminalBundle(box, ['sleep', '100']), [
      '--console-socket',
      socket.path,
    ]);
    const { fd } = await socket.receive();
    const container = await creating;
    const outcome = await box.verb(['exec', container.id, 'tty']);
    expect(outcome).toMatchObject({ status: 1, stdout: 'not a tty\n' });
    close(fd);
  });

  check('nothing but what the program writes is shown', async (box) => {
    await using screen = start(box, terminalBundle(box, ['echo', 'only this']), box.id());
    expect(await screen.ends()).toBe(0);
    expect(screen.shown).toBe('only this\r\n');
  });
});
