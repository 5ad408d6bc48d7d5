/** storage pull and cleanup: the overlay, what a kill leaves, and what must never be removed. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { expect, test } from 'vitest';
import { readBootId, readProcStat } from '../../../src/libcontainer/store/process.ts';
import { prepareRoot } from '../../../src/libcontainer/store/state-dir.ts';
import { namespacePathsOf, writeState } from '../../../src/libcontainer/store/state-file.ts';
import { cleanupImage } from '../../../src/storage/cleanup.ts';
import { mountStorage } from '../../../src/storage/mount.ts';
import { pullImage } from '../../../src/storage/pull.ts';
import { Fixture } from './fixture.ts';

function pull(fixture: Fixture, containerId = 'c1', image = fixture.image) {
  return pullImage(fixture.context, { image, containerId });
}

function cleanup(fixture: Fixture, containerId = 'c1'): void {
  cleanupImage(fixture.context, { containerId });
}

/** Everything below a directory with mode, owner, size and change time. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { mode, uid, size, ctimeMs } = statSync(`${directory}/${name}`);
      return [name, mode, uid, size, ctimeMs].join(' ');
    });
}

test('pullImage mounts the image below the container, and writes do not reach it', async () => {
  using fixture = new Fixture();
  const before = snapshot(fixture.image);
  const { rootfs } = await pull(fixture);
  expect(rootfs).toBe(`${fixture.context.root}/containers/c1/rootfs`);
  writeFileSync(`${rootfs}/hello`, 'changed');
  rmSync(`${rootfs}/etc`, { recursive: true });
  mkdirSync(`${rootfs}/new`);
  expect(snapshot(fixture.image)).toEqual(before);
  cleanup(fixture);
  expect(fixture.mounts()).toEqual([]);
  expect(readdirSync(`${fixture.context.root}/containers`)).toEqual([]);
  expect(readdirSync(fixture.context.root).sort()).toEqual(['bundles', 'containers', 'states']);
  expect(snapshot(fixture.image)).toEqual(before);
});

test('pullImage keeps containers of one image apart', async () => {
  using fixture = new Fixture();
  const one = await pull(fixture, 'one');
  const two = await pull(fixture, 'two');
  writeFileSync(`${one.rootfs}/hello`, 'one');
  expect(readFileSync(`${two.rootfs}/hello`, 'utf8')).toBe('from the image');
  cleanup(fixture, 'one');
  expect(readFileSync(`${two.rootfs}/hello`, 'utf8')).toBe('from the image');
  expect(fixture.mounts()).toEqual([two.rootfs]);
});

test('pullImage gives the root the mode and owner of the image, and nobody the rest', async () => {
  using fixture = new Fixture();
  chownSync(fixture.image, 12, 34);
  chmodSync(fixture.image, 0o1771);
  const umask = process.umask(0o077);
  const { rootfs } = await pull(fixture).finally(() => process.umask(umask));
  expect(statSync(rootfs)).toMatchObject({ mode: 0o041771, uid: 12, gid: 34 });
  expect(statSync(fixture.containerDirectory('c1')).mode & 0o777).toBe(0o700);
  expect(statSync(`${fixture.containerDirectory('c1')}/image.json`).mode & 0o777).toBe(0o600);
});

test('pullImage mounts nodev, and privately also on a shared mount', async () => {
  using fixture = new Fixture();
  mkdirSync(fixture.context.root, { mode: 0o700 });
  const options = ['type=tmpfs', 'mode=0700', 'shared'];
  mountStorage(fixture.context, { source: 'tmpfs', target: fixture.context.root, options });
  await pull(fixture);
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const parent = lines.find((line) => line.includes(`${fixture.shown}/root `));
  const overlay = lines.find((line) => line.includes('/containers/c1/rootfs '));
  expect(parent).toContain(' shared:');
  expect(overlay).toMatch(/ rw,nodev,relatime - overlay overlay /);
});

test.each([
  ['image on tmpfs', 'image'],
  ['state root on tmpfs', 'root'],
])('pullImage [%s]', async (_, place) => {
  using fixture = new Fixture();
  const target = `${fixture.directory}/${place}`;
  mkdirSync(target, { recursive: true, mode: 0o700 });
  const options = ['type=tmpfs', 'mode=0755'];
  mountStorage(fixture.context, { source: 'tmpfs', target, options });
  writeFileSync(`${fixture.image}/on`, 'tmpfs');
  const { rootfs } = await pull(fixture);
  expect(readFileSync(`${rootfs}/on`, 'utf8')).toBe('tmpfs');
  writeFileSync(`${rootfs}/on`, 'changed');
  cleanup(fixture);
  expect(readFileSync(`${fixture.image}/on`, 'utf8')).toBe('tmpfs');
  expect(fixture.mounts()).toEqual([target]);
});

test('pullImage refuses an id that has an image, and leaves that one as it is', async () => {
  using fixture = new Fixture();
  const { rootfs } = await pull(fixture);
  writeFileSync(`${rootfs}/mine`, '');
  await expect(pull(fixture)).rejects.toThrow(
    'image of container c1: already exists - `storage cleanup --container-id c1` removes it',
  );
  expect(existsSync(`${rootfs}/mine`)).toBe(true);
});

test.each([
  ['../c1', 'invalid container ID format'],
  ['', 'container id cannot be empty'],
])('pullImage refuses the id %j before it makes anything', async (id, line) => {
  using fixture = new Fixture();
  await expect(pull(fixture, id)).rejects.toThrow(line);
  expect(existsSync(fixture.context.root)).toBe(false);
});

test('pullImage refuses an image that contains the storage', async () => {
  using fixture = new Fixture();
  await expect(pull(fixture, 'c1', fixture.directory)).rejects.toThrow(
    `contains ${fixture.context.root}/containers, where its own containers would be`,
  );
  expect(readdirSync(`${fixture.context.root}/containers`)).toEqual([]);
});

test('pullImage leaves nothing when the kernel refuses the overlay', async () => {
  using fixture = new Fixture();
  await expect(pull(fixture, 'c1', '/proc')).rejects.toThrow(/^mount overlay .*EINVAL/);
  expect(readdirSync(`${fixture.context.root}/containers`)).toEqual([]);
  expect(fixture.mounts()).toEqual([]);
});

test('cleanupImage of an id without an image is an error', () => {
  using fixture = new Fixture();
  expect(() => cleanup(fixture)).toThrow('container c1: has no image');
  prepareRoot(fixture.context.root, { explicit: true });
  expect(() => cleanup(fixture)).toThrow('container c1: has no image');
});

/** What a pull that was killed after each of its steps leaves. */
const HALVES: [string, (directory: string, image: string) => void][] = [
  ['mkdir', () => {}],
  ['half a record', (d) => writeFileSync(`${d}/.image.json.new`, '{"ver')],
  ['the record', (d) => record(d)],
  [
    'the link',
    (d, image) => {
      record(d);
      symlinkSync(image, `${d}/image`);
    },
  ],
  [
    'the layers',
    (d, image) => {
      record(d);
      symlinkSync(image, `${d}/image`);
      for (const name of ['upper', 'work', 'rootfs']) mkdirSync(`${d}/${name}`);
    },
  ],
  [
    'half of a removal',
    (d) => {
      record(d);
      mkdirSync(`${d}/trash/0/x/y`, { recursive: true });
      mkdirSync(`${d}/work`);
    },
  ],
];

function record(directory: string): void {
  const rootfs = `${directory}/rootfs`;
  const content = { version: 1, id: 'c1', maker: 'storage pull', image: '/x', rootfs, created: 1 };
  writeFileSync(`${directory}/image.json`, JSON.stringify(content));
}

test.each(HALVES)('cleanupImage [killed after %s]', (_, make) => {
  using fixture = new Fixture();
  const layout = prepareRoot(fixture.context.root, { explicit: true });
  mkdirSync(`${layout.containers}/c1`);
  make(`${layout.containers}/c1`, fixture.image);
  cleanup(fixture);
  expect(readdirSync(layout.containers)).toEqual([]);
  expect(existsSync(`${fixture.image}/hello`)).toBe(true);
});

test('pull and cleanup through a link to the storage, as the default root has one', async () => {
  using fixture = new Fixture();
  const { containers } = prepareRoot(fixture.context.root, { explicit: true });
  const kept = `${fixture.directory}/var`;
  mkdirSync(kept);
  rmSync(containers, { recursive: true });
  symlinkSync(kept, containers);
  const { rootfs } = await pull(fixture);
  expect(rootfs).toBe(`${containers}/c1/rootfs`);
  expect(fixture.mounts()).toEqual([`${kept}/c1/rootfs`]);
  cleanup(fixture);
  expect(readdirSync(kept)).toEqual([]);
  expect(fixture.mounts()).toEqual([]);
});

test('cleanupImage never follows links that a container planted', async () => {
  using fixture = new Fixture();
  const canary = `${fixture.directory}/canary`;
  mkdirSync(`${canary}/deep`, { recursive: true });
  writeFileSync(`${canary}/deep/precious`, '');
  const before = snapshot(canary);
  const { rootfs } = await pull(fixture);
  symlinkSync(canary, `${rootfs}/link`);
  symlinkSync('../../../../canary', `${fixture.containerDirectory('c1')}/upper/relative`);
  cleanup(fixture);
  expect(snapshot(canary)).toEqual(before);
});

test.each([
  ['in the bare mount point', 'rootfs/precious', /rootfs: not empty without its overlay/],
  ['beside the layers', 'precious', /precious in it is not runcell's - move away/],
])('cleanupImage leaves files that are not its own [%s]', async (_, name, line) => {
  using fixture = new Fixture();
  await pull(fixture);
  const directory = fixture.containerDirectory('c1');
  spawnSync('umount', [`${directory}/rootfs`]);
  writeFileSync(`${directory}/${name}`, 'kept');
  writeFileSync(`${directory}/upper/written`, 'kept too');
  expect(() => cleanup(fixture)).toThrow(line);
  expect(readFileSync(`${directory}/${name}`, 'utf8')).toBe('kept');
  expect(readFileSync(`${directory}/upper/written`, 'utf8')).toBe('kept too');
  rmSync(`${directory}/${name}`);
  if (name.startsWith('rootfs')) mkdirSync(`${directory}/rootfs`, { recursive: true });
  cleanup(fixture);
  expect(existsSync(directory)).toBe(false);
});

test('cleanupImage leaves a directory that has no record', () => {
  using fixture = new Fixture();
  const layout = prepareRoot(fixture.context.root, { explicit: true });
  mkdirSync(`${layout.containers}/c1/upper`, { recursive: true });
  expect(() => cleanup(fixture)).toThrow('no image.json says that runcell made it');
  expect(existsSync(`${layout.containers}/c1/upper`)).toBe(true);
});

test('cleanupImage does not delete below a mount on one of the layers', async () => {
  using fixture = new Fixture();
  await pull(fixture);
  const upper = `${fixture.containerDirectory('c1')}/upper`;
  mkdirSync(`${upper}/on`);
  mountStorage(fixture.context, { source: fixture.image, target: `${upper}/on`, options: [] });
  expect(() => cleanup(fixture)).toThrow(`${upper}/on is still mounted - unmount it first`);
  expect(existsSync(`${fixture.image}/hello`)).toBe(true);
  spawnSync('umount', [`${upper}/on`]);
  cleanup(fixture);
  expect(existsSync(upper)).toBe(false);
});

test('cleanupImage detaches a root that is in use, and says why', async () => {
  using fixture = new Fixture();
  const { rootfs } = await pull(fixture);
  mountStorage(fixture.context, {
    source: fixture.image,
    target: `${rootfs}/etc`,
    options: [],
  });
  cleanup(fixture);
  expect(fixture.warnings).toEqual([
    expect.stringContaining(`detached instead: ${rootfs}/etc is mounted below`),
  ]);
  expect(fixture.mounts()).toEqual([]);
  expect(existsSync(`${fixture.image}/hello`)).toBe(true);
});

function writeLivingState(fixture: Fixture, id: string, rootfs: string, pid: number): void {
  const layout = prepareRoot(fixture.context.root, { explicit: true });
  mkdirSync(`${layout.states}/${id}`);
  writeState(`${layout.states}/${id}`, {
    version: 1,
    id,
    init_process_pid: pid,
    init_process_start_time: 0,
    init_start_ticks: readProcStat(process.pid)!.startTicks,
    boot_id: readBootId(),
    status: 'Running',
    bundle: '/b',
    rootfs,
    created: 0,
    created_at: '',
    oci_version: '1.3.0',
    namespace_paths: namespacePathsOf(pid),
    namespaces: [],
    cgroup_path: '',
    owned: {},
    rootless: false,
    systemd_cgroup: false,
    terminal: false,
    no_new_keyring: false,
  });
}

test.each([
  ['of that id', 'c1'],
  ['of another id, in that root', 'other'],
])('cleanupImage refuses while a container runs [%s]', async (_, id) => {
  using fixture = new Fixture();
  const { rootfs } = await pull(fixture);
  symlinkSync(rootfs, `${fixture.directory}/another path`);
  writeLivingState(fixture, id, `${fixture.directory}/another path`, process.pid);
  expect(() => cleanup(fixture)).toThrow(`container ${id}: is running and uses the image`);
  expect(fixture.mounts()).toEqual([rootfs]);
  rmSync(`${fixture.context.root}/states/${id}`, { recursive: true });
  writeLivingState(fixture, id, rootfs, 0);
  cleanup(fixture);
  expect(fixture.mounts()).toEqual([]);
});

test('pullImage is not held up by a holder of the storage lock that was killed', async () => {
  using fixture = new Fixture();
  const { root } = prepareRoot(fixture.context.root, { explicit: true });
  const holder = spawn('sleep', ['60']);
  const startTicks = readProcStat(holder.pid!)!.startTicks;
  mkdirSync(`${root}/storage.lock`);
  const identity = { pid: holder.pid, startTicks, bootId: readBootId() };
  writeFileSync(`${root}/storage.holder`, JSON.stringify(identity));
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const begun = performance.now();
  await pull(fixture);
  expect(performance.now() - begun).toBeLessThan(2000);
});

test('cleanupImage clears the lock of a pull that was killed', () => {
  using fixture = new Fixture();
  const { root } = prepareRoot(fixture.context.root, { explicit: true });
  const before = readdirSync(root);
  mkdirSync(`${root}/storage.lock`);
  const identity = { pid: 1, startTicks: 123456789, bootId: readBootId() };
  writeFileSync(`${root}/storage.holder`, JSON.stringify(identity));
  expect(() => cleanup(fixture)).toThrow('has no image');
  expect(readdirSync(root)).toEqual(before);
});
