/**
 * The storage verbs and the containers over images, from the command line (the usage document in
 * shared/seeds; issue 2, items 3, 5 and 6).
 *
 * An image is only ever read: every test that writes compares it with what it was.
 */

import type { ChildProcess } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Outcome } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { makeRootfs } from '../helpers/rootfs.ts';
import { isRuncell } from '../helpers/runtime.ts';

const notRunc = 'runc has no such verb';

/** The one thing runc is asked: whether it is right to leave it out. */
if (!isRuncell) {
  describe('storage', () => {
    check('runc has none of these verbs', async (box) => {
      for (const verb of ['storage', 'container']) {
        expect((await box.verb([verb, 'pull'])).status).toBe(3);
      }
    });
  });
}

/** A suite that runc has no part in. */
const suite: typeof describe | (() => void) = isRuncell ? describe : () => {};

function newImage(box: Box, name = 'image'): string {
  return makeRootfs(box.path(name));
}

/** Names, types, sizes, owners and change times below a directory. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { mode, uid, gid, size, ctimeMs } = lstatSync(`${directory}/${name}`);
      return [name, mode, uid, gid, size, ctimeMs].join(' ');
    });
}

function mountedBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((target) => target.startsWith(`${directory}/`));
}

/** The one line on stderr of a verb that failed. */
function refused({ status, stdout, stderr }: Outcome): string {
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  return stderr;
}

/** Kills the verb `delayMs` after the directory has appeared. */
function killAfter(directory: string, delayMs: number): (child: ChildProcess) => void {
  return (child) => {
    const watch = (): void => {
      if (existsSync(directory)) setTimeout(() => child.kill('SIGKILL'), delayMs);
      else if (child.exitCode === null) setImmediate(watch);
    };
    watch();
  };
}

function left(box: Box): string[] {
  const names = ['states', 'bundles', 'containers'].flatMap((name) => {
    const directory = `${box.root}/${name}`;
    return existsSync(directory) ? readdirSync(directory) : [];
  });
  return [...names, ...mountedBelow(box.root)];
}

/** Keeps a container busy without a terminal. */
const SLEEP = ['--command', '/bin/sleep', '--args', '1000'];

async function runDetached(box: Box, id: string, image: string): Promise<void> {
  const args = ['container', 'run', '--id', id, '--image', image, ...SLEEP, '--detach'];
  const { status, stdout, stderr } = await box.verb(args, { detached: true });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `${id}\n`, stderr: '' });
}

async function execIn(box: Box, id: string, script: string): Promise<string> {
  const words = ['--command', '/bin/sh', '--args', '-c', '--args', script];
  const { status, stdout, stderr } = await box.verb(['container', 'exec', '--id', id, ...words]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

suite('storage pull and cleanup', () => {
  check(
    'pull mounts an overlay, cleanup takes it away, both are silent',
    { notRunc },
    async (box) => {
      const image = newImage(box);
      const before = snapshot(image);
      const id = box.id();
      await box.silent(['storage', 'pull', '--image', image, '--container-id', id]);
      const rootfs = `${box.root}/containers/${id}/rootfs`;
      expect(mountedBelow(box.root)).toEqual([rootfs]);
      writeFileSync(`${rootfs}/etc/passwd`, 'changed');
      await box.silent(['storage', 'cleanup', '--container-id', id]);
      expect(left(box)).toEqual([]);
      expect(snapshot(image)).toEqual(before);
    },
  );

  for (const name of ['a:b', 'a,b', 'with space', 'ünïcödé \u6587', 'back\\slash', 'q"uote']) {
    check(`pull [image and root below ${JSON.stringify(name)}]`, { notRunc }, async (box) => {
      mkdirSync(box.path(name));
      const image = newImage(box, `${name}/image`);
      const id = box.id();
      const root = ['--root', `${box.path(name)}/root`];
      const options = { withoutRoot: true, global: root };
      await box.silent(['storage', 'pull', '--image', image, '--container-id', id], options);
      const rootfs = `${box.path(name)}/root/containers/${id}/rootfs`;
      expect(existsSync(`${rootfs}/bin/busybox`)).toBe(true);
      await box.silent(['storage', 'cleanup', '--container-id', id], options);
      expect(existsSync(rootfs)).toBe(false);
    });
  }

  check('eight pulls of one image at once', { notRunc }, async (box) => {
    const image = newImage(box);
    const ids = Array.from({ length: 8 }, () => box.id());
    const pull = (id: string) =>
      box.silent(['storage', 'pull', '--image', image, '--container-id', id]);
    await Promise.all(ids.map(pull));
    expect(mountedBelow(box.root)).toHaveLength(8);
    await Promise.all(ids.map((id) => box.silent(['storage', 'cleanup', '--container-id', id])));
    expect(left(box)).toEqual([]);
  });

  check('one of two pulls for one id wins', { notRunc }, async (box) => {
    const image = newImage(box);
    const id = box.id();
    const args = ['storage', 'pull', '--image', image, '--container-id', id];
    const outcomes = await Promise.all([box.verb(args), box.verb(args)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual([0, 1]);
    expect(mountedBelow(box.root)).toHaveLength(1);
    await box.silent(['storage', 'cleanup', '--container-id', id]);
  });

  check(
    'a killed pull is cleaned up and delays nobody',
    { notRunc, timeoutMs: 120_000 },
    async (box) => {
      const image = newImage(box);
      const before = snapshot(image);
      let kills = 0;
      for (let round = 0; round < 12; round++) {
        const id = box.id();
        const args = ['storage', 'pull', '--image', image, '--container-id', id];
        const directory = `${box.root}/containers/${id}`;
        const killed = await box.verb(args, { onSpawn: killAfter(directory, round / 2) });
        if (killed.signal === 'SIGKILL') kills++;
        await box.silent(['storage', 'cleanup', '--container-id', id]);
        expect(left(box)).toEqual([]);
        const next = await box.verb(args);
        expect(next).toMatchObject({ status: 0, stderr: '' });
        expect(next.milliseconds).toBeLessThan(5000);
        await box.silent(['storage', 'cleanup', '--container-id', id]);
      }
      // On a busy machine a pull may be faster than its killer, but not each time.
      expect(kills).toBeGreaterThan(0);
      expect(snapshot(image)).toEqual(before);
    },
  );

  for (const [image, line] of [
    ['docker://busybox', 'image docker://busybox: only local directories are supported yet'],
    ['busybox:latest', 'image busybox:latest: is not a directory, and only local directories'],
  ] as const) {
    check(`pull refuses ${image}`, { notRunc }, async (box) => {
      const args = ['storage', 'pull', '--image', image, '--container-id', box.id()];
      expect(refused(await box.verb(args))).toContain(line);
      expect(left(box)).toEqual([]);
    });
  }

  check('cleanup refuses while the container runs', { notRunc }, async (box) => {
    const image = newImage(box);
    const id = box.id();
    await runDetached(box, id, image);
    const outcome = await box.verb(['storage', 'cleanup', '--container-id', id]);
    expect(refused(outcome)).toContain(`container ${id}: is running and uses the image`);
    await box.silent(['container', 'delete', '--id', id]);
    expect(left(box)).toEqual([]);
  });

  check('cleanup never follows a link that was planted', { notRunc }, async (box) => {
    const image = newImage(box);
    const canary = box.path('canary');
    mkdirSync(canary);
    writeFileSync(`${canary}/precious`, '');
    const before = snapshot(canary);
    const id = box.id();
    await box.silent(['storage', 'pull', '--image', image, '--container-id', id]);
    symlinkSync(canary, `${box.root}/containers/${id}/rootfs/link`);
    await box.silent(['storage', 'cleanup', '--container-id', id]);
    expect(snapshot(canary)).toEqual(before);
  });
});

suite('storage mount and umount', () => {
  check('mount binds, umount takes it away, both are silent', { notRunc }, async (box) => {
    const image = newImage(box);
    const target = box.path('target');
    mkdirSync(target);
    const words = ['--source', image, '--target', target, '--options', 'bind,ro,nosuid'];
    await box.silent(['storage', 'mount', ...words]);
    expect(existsSync(`${target}/bin/busybox`)).toBe(true);
    expect(() => writeFileSync(`${target}/new`, '')).toThrow('EROFS');
    await box.silent(['storage', 'umount', '--target', target]);
    expect(readdirSync(target)).toEqual([]);
  });

  check('umount refuses what is not a mount point', { notRunc }, async (box) => {
    const outcome = await box.verb(['storage', 'umount', '--target', box.dir]);
    expect(refused(outcome)).toContain(`umount ${box.dir}: not a mount point`);
  });
});

suite('containers over images', () => {
  check('what a container writes never reaches the image', { notRunc }, async (box) => {
    const image = newImage(box);
    const before = snapshot(image);
    const id = box.id();
    await runDetached(box, id, image);
    const script = 'echo new > /new; rm /etc/group; chmod 700 /etc; cat /new';
    expect(await execIn(box, id, script)).toBe('new\n');
    expect(snapshot(image)).toEqual(before);
    await box.silent(['container', 'delete', '--id', id]);
    expect(snapshot(image)).toEqual(before);
    expect(left(box)).toEqual([]);
  });

  check('two containers of one image do not see each other', { notRunc }, async (box) => {
    const image = newImage(box);
    const [one, two] = [box.id(), box.id()];
    await runDetached(box, one, image);
    await runDetached(box, two, image);
    await execIn(box, one, 'echo one > /mine');
    expect(await execIn(box, two, 'ls / | grep -c mine; true')).toBe('0\n');
    await box.silent(['container', 'delete', '--id', one]);
    expect(await execIn(box, two, 'cat /etc/os-release')).toContain('runcelltest');
    await box.silent(['container', 'delete', '--id', two]);
    expect(left(box)).toEqual([]);
  });

  check(
    'a foreground run ends with the status of its program, and without a trace',
    { notRunc },
    async (box) => {
      const image = newImage(box);
      const args = ['container', 'run', '--image', image, '--command', '/bin/sh'];
      const { status, stdout, stderr } = await box.verb([
        ...args,
        ...['--args', '-c', '--args', 'echo out; exit 7'],
      ]);
      expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: 'out\n', stderr: '' });
      expect(left(box)).toEqual([]);
    },
  );

  check('a device node of the image cannot be opened', { notRunc }, async (box) => {
    const image = newImage(box);
    await box.command('mknod', [`${image}/zero`, 'c', '1', '5']);
    const id = box.id();
    await runDetached(box, id, image);
    expect(await execIn(box, id, 'head -c 1 /zero 2>&1; true')).toContain('Permission denied');
    await box.silent(['container', 'delete', '--id', id]);
  });

  check('run refuses an id that is taken and leaves that container', { notRunc }, async (box) => {
    const image = newImage(box);
    const id = box.id();
    await runDetached(box, id, image);
    const again = await box.verb(['container', 'run', '--id', id, '--image', image, ...SLEEP]);
    expect(refused(again)).toContain('container with given ID already exists');
    expect(await execIn(box, id, 'echo here')).toBe('here\n');
    await box.silent(['container', 'delete', '--id', id]);
  });

  check('run that fails takes everything back', { notRunc }, async (box) => {
    const image = newImage(box);
    const args = ['container', 'run', '--id', box.id(), '--image', image];
    const outcome = await box.verb([...args, '--command', '/missing']);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain('/missing');
    expect(left(box)).toEqual([]);
  });

  check(
    'delete --force clears up after a killed run',
    { notRunc, timeoutMs: 120_000 },
    async (box) => {
      const image = newImage(box);
      for (let round = 0; round < 16; round++) {
        const id = box.id();
        const args = ['container', 'run', '--id', id, '--image', image, ...SLEEP, '--detach'];
        const onSpawn = killAfter(`${box.root}/containers/${id}`, 2 * round);
        const killed = await box.verb(args, { detached: true, onSpawn });
        if (round === 0) expect(killed.signal).toBe('SIGKILL');
        await box.silent(['delete', '--force', id]);
        expect(left(box)).toEqual([]);
      }
    },
  );
});

suite('container create', () => {
  check(
    '--rootfs makes a bundle that delete removes, and leaves the rootfs',
    { notRunc },
    async (box) => {
      const rootfs = newImage(box, 'rootfs');
      const id = box.id();
      await box.silent(['container', 'create', '--id', id, '--rootfs', rootfs], { detached: true });
      expect(existsSync(`${box.root}/bundles/${id}/config.json`)).toBe(true);
      await box.silent(['container', 'start', '--id', id]);
      await box.silent(['container', 'delete', '--id', id]);
      expect(left(box)).toEqual([]);
      expect(existsSync(`${rootfs}/bin/busybox`)).toBe(true);
    },
  );

  check('--bundle is the user’s and stays', { notRunc }, async (box) => {
    const { dir, rootfs } = box.bundle(['sleep', '1000']);
    const id = box.id();
    const flags = ['--rootfs', rootfs, '--bundle', dir];
    await box.silent(['container', 'create', '--id', id, ...flags], { detached: true });
    await box.silent(['container', 'start', '--id', id]);
    await box.silent(['container', 'delete', '--id', id]);
    expect(readdirSync(dir).sort()).toEqual(['config.json', 'rootfs']);
    expect(left(box)).toEqual([]);
  });

  check('--rootfs of what was pulled: delete removes that too', { notRunc }, async (box) => {
    const image = newImage(box);
    const id = box.id();
    await box.silent(['storage', 'pull', '--image', image, '--container-id', id]);
    const rootfs = `${box.root}/containers/${id}/rootfs`;
    await box.silent(['container', 'create', '--id', id, '--rootfs', rootfs], { detached: true });
    await box.silent(['container', 'delete', '--id', id]);
    expect(left(box)).toEqual([]);
  });

  check(
    'a rootfs and a bundle that disagree are refused, naming both',
    { notRunc },
    async (box) => {
      const { dir, rootfs } = box.bundle();
      const other = newImage(box, 'other');
      const flags = ['--rootfs', other, '--bundle', dir];
      const outcome = await box.verb(['container', 'create', '--id', box.id(), ...flags]);
      expect(refused(outcome)).toContain(rootfs);
      expect(refused(outcome)).toContain(other);
      expect(left(box)).toEqual([]);
    },
  );
});
