/**
 * The usage document's commands (../shared/seeds): `container …` and `storage …` word for word, its
 * table, its JSON and its data directories.
 */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { type CheckOptions, check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { hostMounts, isAlive } from '../helpers/proc.ts';
import { makeRootfs } from '../helpers/rootfs.ts';
import { runtime } from '../helpers/runtime.ts';
import { Terminal } from '../helpers/terminal.ts';

const own: CheckOptions = { notRunc: 'runc has no such verbs' };

/** An image: a directory that ends as a container's rootfs. */
function image(box: Box, name = 'image'): string {
  mkdirSync(box.path(name));
  return makeRootfs(box.path(`${name}/rootfs`));
}

const words = (text: string) => text.split(' ');

/** `container run -d`; its id is printed and nothing else. */
async function detached(box: Box, args: string, id = box.id()): Promise<string> {
  const flags = words(`container run --id ${id} --image ${box.path('image/rootfs')} ${args} -d`);
  const outcome = await box.verb(flags, { detached: true });
  expect(outcome).toMatchObject({ status: 0, stdout: `${id}\n`, stderr: '' });
  return id;
}

interface Listed {
  readonly id: string;
  readonly pid: number;
  readonly status: string;
  readonly rootfs: string;
  readonly bundle: string;
}

async function listed(box: Box, ...flags: string[]): Promise<Listed[]> {
  const { status, stdout, stderr } = await box.verb([
    'container',
    'list',
    '--format',
    'json',
    ...flags,
  ]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as Listed[];
}

describe('container run', () => {
  check('-it ends with the input, when that is no terminal', own, async (box) => {
    const run = ['container', 'run', '--image', image(box), '-it'];
    expect(await box.verb(run)).toMatchObject({ status: 0, stderr: '' });
    const typed = await box.verb(run, { input: 'echo so; exit 4\n' });
    expect(typed.status).toBe(4);
    expect(typed.stdout).toContain('\nso\n');
  });

  check('runs a command of the image with its arguments', own, async (box) => {
    const args = ['--command', '/bin/echo', '--args', 'one', '--args', 'two words', '--args', '-x'];
    const head = ['container', 'run', '--id', box.id(), '--image', image(box)];
    expect(await box.verb([...head, ...args])).toMatchObject({
      status: 0,
      stdout: 'one two words -x\n',
      stderr: '',
    });
  });

  check('the short flags of its table', own, async (box) => {
    const head = ['container', 'run', '-m', image(box), '-c', '/bin/echo', '-a', 'short'];
    expect(await box.verb(head)).toMatchObject({ status: 0, stdout: 'short\n', stderr: '' });
  });

  check("the exit code is the program's and nothing is left", own, async (box) => {
    const dir = image(box);
    const before = readdirSync(dir).sort();
    const head = ['container', 'run', '--image', dir];
    const outcome = await box.verb([
      ...head,
      '--command',
      '/bin/sh',
      '--args',
      '-c',
      '--args',
      'touch /made; exit 8',
    ]);
    expect(outcome).toMatchObject({ status: 8, stdout: '', stderr: '' });
    expect(readdirSync(dir).sort()).toEqual(before);
    expect(await listed(box, '--all')).toEqual([]);
  });

  check('one with a name stays, stopped, until it is deleted', own, async (box) => {
    const id = box.id();
    const head = ['container', 'run', '--id', id, '--image', image(box), '--command', '/bin/true'];
    expect(await box.verb(head)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(await listed(box)).toEqual([]);
    expect(await listed(box, '--all')).toMatchObject([{ id, status: 'Stopped' }]);
    expect((await box.verb(head)).status).toBe(1);
    await box.silent(['container', 'delete', '--id', id]);
    expect(await listed(box, '--all')).toEqual([]);
  });

  check('writes go to an overlay, the image stays as it was', own, async (box) => {
    const dir = image(box);
    const script =
      'echo changed >/etc/passwd; rm /etc/group; echo new >/new; cat /etc/passwd /new; ls /etc';
    const head = ['container', 'run', '--image', dir, '--command', '/bin/sh'];
    const { stdout } = await box.verb([...head, '--args', '-c', '--args', script]);
    expect(stdout).toMatch(/^changed\nnew\n/);
    expect(stdout).not.toContain('group');
    expect(readFileSync(`${dir}/etc/passwd`, 'utf8')).toContain('root:x:0:0');
    expect(existsSync(`${dir}/etc/group`)).toBe(true);
    expect(existsSync(`${dir}/new`)).toBe(false);
  });

  check('/bin/sh is the command when none is given, reading stdin with -i', own, async (box) => {
    const head = ['container', 'run', '--image', image(box), '-i'];
    const outcome = await box.verb(head, { input: 'echo from stdin; exit 6\n' });
    expect(outcome).toMatchObject({ status: 6, stdout: 'from stdin\n', stderr: '' });
  });

  check('without -i the program reads nothing', own, async (box) => {
    const head = ['container', 'run', '--image', image(box), '--command', '/bin/cat'];
    const outcome = await box.verb(head, { input: 'not for you\n' });
    expect(outcome).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  check('an id is made up when it is left out', own, async (box) => {
    const head = ['container', 'run', '--image', image(box), '--command', '/bin/sleep'];
    const ids = [];
    for (let round = 0; round < 2; round++) {
      const { stdout } = await box.verb([...head, '--args', '100', '-d'], { detached: true });
      ids.push(stdout.trim());
    }
    expect(ids[0]).toMatch(/^[A-Za-z0-9_.+-]{4,}$/);
    expect(ids[0]).not.toBe(ids[1]);
    expect((await listed(box)).map(({ id }) => id).sort()).toEqual(ids.sort());
    for (const id of ids) await box.silent(['container', 'delete', '--id', id]);
  });

  check('two containers of one image do not see each other', own, async (box) => {
    image(box);
    const first = await detached(box, '--command /bin/sleep --args 100');
    const second = await detached(box, '--command /bin/sleep --args 100');
    const exec = (id: string, script: string) =>
      box.verb([
        'container',
        'exec',
        '--id',
        id,
        '--command',
        '/bin/sh',
        '--args',
        '-c',
        '--args',
        script,
      ]);
    await exec(first, 'echo mine >/mine');
    expect((await exec(second, 'ls /')).stdout).not.toContain('mine');
    expect((await exec(first, 'cat /mine')).stdout).toBe('mine\n');
    for (const id of [first, second]) await box.silent(['container', 'delete', '--id', id]);
  });

  for (const [what, args, text] of [
    ['an image that is not there', '--image /no/such/image', /\/no\/such\/image/],
    ['an image that is a file', '--image /etc/passwd', /\/etc\/passwd/],
    ['no image', '', /image/],
    ['a bad id', '--image / --id a/b', /invalid container ID format/],
  ] as const) {
    check(`${what} is refused and leaves nothing`, own, async (box) => {
      const outcome = await box.verb(words(`container run ${args}`.trim()));
      expect(outcome.status).toBe(1);
      expect(outcome.stderr + outcome.stdout).toMatch(text);
    });
  }

  check('a command that is not there is refused and leaves nothing', own, async (box) => {
    const head = ['container', 'run', '--image', image(box), '--command', '/no/such'];
    expect(refusal(await box.verb(head))).toMatch(/\/no\/such.*no such file or directory/);
  });

  check('-t -i is a session', own, async (box) => {
    const id = box.id();
    const args = [
      '--root',
      box.root,
      'container',
      'run',
      '--id',
      id,
      '--image',
      image(box),
      '-t',
      '-i',
    ];
    await using screen = new Terminal(runtime.path, args, { columns: 70, rows: 20 });
    await screen.sees(/[#$] /);
    screen.type('tty; stty size\r');
    await screen.sees(/\/dev\/pts\/0\r+\n20 70\r+\n/);
    expect((await listed(box)).map((one) => one.id)).toEqual([id]);
    await using second = new Terminal(runtime.path, [
      '--root',
      box.root,
      'container',
      'exec',
      '--id',
      id,
      '-it',
    ]);
    await second.sees(/[#$] /);
    second.type('exit 4\r');
    expect(await second.ends()).toBe(4);
    screen.type('exit 5\r');
    expect(await screen.ends()).toBe(5);
    expect((await listed(box, '--all')).map((one) => one.id)).toEqual([id]);
    await box.silent(['container', 'delete', '--id', id]);
    expect(await listed(box, '--all')).toEqual([]);
  });

  check('-v before the verb logs and changes nothing else', own, async (box) => {
    const head = [
      'container',
      'run',
      '--image',
      image(box),
      '--command',
      '/bin/echo',
      '--args',
      'out',
    ];
    const outcome = await box.verb(head, { global: ['-v'] });
    expect(outcome).toMatchObject({ status: 0, stdout: 'out\n' });
    expect(outcome.stderr).toMatch(/level=debug/);
  });
});

describe('container list', () => {
  check('is a table of the running ones, --all of all', own, async (box) => {
    image(box);
    const running = await detached(box, '--command /bin/sleep --args 100');
    const stopped = await detached(box, '--command /bin/true');
    await box.until(stopped, 'stopped');
    const table = async (...flags: string[]) =>
      (await box.verb(['container', 'list', ...flags])).stdout.trimEnd().split('\n');
    const [title, ...rows] = await table();
    expect(title).toBe(
      `${'CONTAINER ID'.padEnd(21)}${'PID'.padEnd(9)}${'STATUS'.padEnd(11)}${'CREATED'.padEnd(21)}ROOTFS`,
    );
    expect(rows).toHaveLength(1);
    const pid = String((await box.state(running))['pid']);
    const rootfs = `${box.root}/containers/${running}/rootfs`;
    const date = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`;
    expect(rows[0]).toMatch(
      new RegExp(`^${running.padEnd(20)} ${pid.padEnd(8)} Running    ${date}  ${rootfs}$`),
    );
    const all = await table('--all');
    expect(all).toHaveLength(3);
    expect(all.find((row) => row.startsWith(stopped))).toMatch(/ 0 +Stopped /);
    expect(await table('-a')).toEqual(all);
    for (const id of [running, stopped]) await box.silent(['container', 'delete', '--id', id]);
  });

  check('--format json', own, async (box) => {
    image(box);
    const id = await detached(box, '--command /bin/sleep --args 100');
    const [one] = await listed(box);
    expect(one).toMatchObject({ id, rootfs: `${box.root}/containers/${id}/rootfs` });
    expect(one?.bundle).toBe(`${box.root}/bundles/${id}`);
    expect(isAlive(one!.pid)).toBe(true);
    await box.silent(['container', 'delete', '--id', id]);
    expect(await listed(box, '--all')).toEqual([]);
  });

  check('CREATED is local time', own, async (box) => {
    image(box);
    const id = await detached(box, '--command /bin/sleep --args 100');
    const date = async (zone: string) => {
      const env = { PATH: process.env['PATH']!, TZ: zone };
      const { stdout } = await box.verb(['container', 'list'], { env });
      const text = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(stdout)!;
      return Date.parse(`${text[1]}T${text[2]}Z`);
    };
    expect((await date('Etc/GMT-5')) - (await date('UTC'))).toBe(5 * 3600 * 1000);
    await box.silent(['container', 'delete', '--id', id]);
  });
});

describe('container exec', () => {
  check('runs a command, default /bin/sh, with its exit code', own, async (box) => {
    image(box);
    const id = await detached(box, '--command /bin/sleep --args 100');
    const head = ['container', 'exec', '--id', id];
    const ls = await box.verb([...head, '--command', '/bin/cat', '--args', '/etc/os-release']);
    expect(ls).toMatchObject({ status: 0, stderr: '' });
    expect(ls.stdout).toContain('runcelltest');
    const shell = await box.verb([...head, '-i'], { input: 'exit 9\n' });
    expect(shell).toMatchObject({ status: 9, stdout: '', stderr: '' });
    await box.silent(['container', 'delete', '--id', id]);
  });

  check("of a missing and of a stopped container fails with runc's words", own, async (box) => {
    image(box);
    const head = ['container', 'exec', '--command', '/bin/true', '--id'];
    expect(refusal(await box.verb([...head, 'nobody']), 255)).toContain('does not exist');
    const id = await detached(box, '--command /bin/true');
    await box.until(id, 'stopped');
    expect(refusal(await box.verb([...head, id]), 255)).toContain(
      'cannot exec in a stopped container',
    );
    await box.silent(['container', 'delete', '--id', id]);
  });
});

describe('container create and start', () => {
  check(
    '--rootfs makes a bundle, start runs it, delete removes what was made only',
    own,
    async (box) => {
      const rootfs = image(box);
      const id = box.id();
      await box.silent(['container', 'create', '--id', id, '--rootfs', rootfs], { detached: true });
      expect(await box.status(id)).toBe('created');
      expect(existsSync(`${box.root}/bundles/${id}/config.json`)).toBe(true);
      await box.silent(['container', 'start', '--id', id]);
      await eventually('started', async () => (await box.status(id)) !== 'created');
      await box.silent(['container', 'delete', '--id', id]);
      expect(existsSync(`${box.root}/bundles/${id}`)).toBe(false);
      expect(existsSync(`${rootfs}/bin/busybox`)).toBe(true);
    },
  );

  check("--bundle is the user's and stays", own, async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    await box.silent(['container', 'create', '--id', id, '--bundle', bundle.dir], {
      detached: true,
    });
    await box.silent(['container', 'start', '--id', id]);
    expect((await listed(box))[0]).toMatchObject({ id, bundle: bundle.dir, rootfs: bundle.rootfs });
    await box.silent(['container', 'delete', '--id', id]);
    expect(existsSync(`${bundle.dir}/config.json`)).toBe(true);
    expect(existsSync(`${bundle.rootfs}/bin/busybox`)).toBe(true);
  });

  check('the verbs of runc and of the document meet the same containers', own, async (box) => {
    const { id } = await box.start(box.bundle(['sleep', '100']));
    expect((await listed(box)).map((one) => one.id)).toEqual([id]);
    await box.silent(['container', 'delete', '--id', id]);
    expect((await box.verb(['state', id])).status).toBe(1);
  });
});

describe('container delete', () => {
  check(
    'ends a running container and removes bundle, state and image directory',
    own,
    async (box) => {
      const dir = image(box);
      const id = await detached(box, '--command /bin/sleep --args 100');
      const { pid } = await box.state(id);
      await box.silent(['container', 'delete', '--id', id]);
      expect(isAlive(pid as number)).toBe(false);
      for (const kind of ['bundles', 'states', 'containers']) {
        expect(existsSync(`${box.root}/${kind}/${id}`)).toBe(false);
      }
      expect(existsSync(`${dir}/bin/busybox`)).toBe(true);
    },
  );

  check('of a missing container says so', own, async (box) => {
    expect(refusal(await box.verb(['container', 'delete', '--id', 'nobody']))).toContain(
      'does not exist',
    );
  });

  check('without --id says what is missing', own, async (box) => {
    const outcome = await box.verb(['container', 'delete']);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr + outcome.stdout).toMatch(/id/);
  });
});

describe('storage', () => {
  check(
    'pull prepares a directory as the image of a container, cleanup removes it',
    own,
    async (box) => {
      const dir = image(box);
      const id = box.id();
      await box.silent(['storage', 'pull', '--image', dir, '--container-id', id]);
      expect(statSync(`${box.root}/containers/${id}`).isDirectory()).toBe(true);
      await box.silent(['storage', 'cleanup', '--container-id', id]);
      expect(existsSync(`${box.root}/containers/${id}`)).toBe(false);
      expect(existsSync(`${dir}/bin/busybox`)).toBe(true);
    },
  );

  check('mount binds with options, umount undoes it', own, async (box) => {
    mkdirSync(box.path('source'));
    mkdirSync(box.path('target'));
    writeFileSync(box.path('source/file'), 'shared');
    const target = box.path('target');
    const flags = [
      '--source',
      box.path('source'),
      '--target',
      target,
      '--options',
      'bind,ro,nosuid',
    ];
    await box.silent(['storage', 'mount', ...flags]);
    expect(readFileSync(`${target}/file`, 'utf8')).toBe('shared');
    const mount = hostMounts().find((one) => one.target === target);
    expect(mount?.options).toEqual(expect.arrayContaining(['ro', 'nosuid']));
    await box.silent(['storage', 'umount', '--target', target]);
    expect(hostMounts().some((one) => one.target === target)).toBe(false);
  });

  check('umount of what is no mount point and mount of a missing source fail', own, async (box) => {
    mkdirSync(box.path('plain'));
    expect(refusal(await box.verb(['storage', 'umount', '--target', box.path('plain')]))).toContain(
      'plain',
    );
    const flags = [
      '--source',
      box.path('none'),
      '--target',
      box.path('plain'),
      '--options',
      'bind',
    ];
    expect(refusal(await box.verb(['storage', 'mount', ...flags]))).toMatch(/none.*no such file/);
  });

  check('cleanup of a running container is refused', own, async (box) => {
    image(box);
    const id = await detached(box, '--command /bin/sleep --args 100');
    refusal(await box.verb(['storage', 'cleanup', '--container-id', id]));
    expect(await box.status(id)).toBe('running');
    await box.silent(['container', 'delete', '--id', id]);
  });

  check('an image removed behind its back is an error, not a crash', own, async (box) => {
    image(box);
    const id = await detached(box, '--command /bin/sleep --args 100');
    rmSync(box.path('image'), { recursive: true });
    await box.silent(['container', 'delete', '--id', id]);
  });
});
