/** Bundles that runcell makes, what it calls its own, and what it takes back. */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { expect, test } from 'vitest';
import { claimId, prepareRoot } from '../../../src/libcontainer/store/state-dir.ts';
import { loadBundle } from '../../../src/oci/bundle.ts';
import { defaultSpec } from '../../../src/oci/default-spec.ts';
import {
  buildBundle,
  bundleForRootfs,
  removeLeftovers,
  removeOwned,
} from '../../../src/storage/bundle.ts';
import { pullImage } from '../../../src/storage/pull.ts';
import { Fixture } from './fixture.ts';

function build(fixture: Fixture, id = 'c1', more: { tty?: boolean; image?: string } = {}) {
  return buildBundle(fixture.context, {
    id,
    image: more.image ?? fixture.image,
    command: '/bin/sleep',
    args: ['180'],
    tty: more.tty ?? false,
    interactive: false,
  });
}

function configOf(bundle: string): Config {
  return JSON.parse(readFileSync(`${bundle}/config.json`, 'utf8')) as Config;
}

function made(fixture: Fixture): string[] {
  const { root } = fixture.context;
  return ['bundles', 'containers'].flatMap((name) => readdirSync(`${root}/${name}`));
}

test('buildBundle makes a bundle over an overlay of the image', () => {
  using fixture = new Fixture();
  const { bundle, rootfs, owned } = build(fixture);
  expect(bundle).toBe(fixture.bundleDirectory('c1'));
  expect(owned).toEqual({ bundle, image: fixture.containerDirectory('c1') });
  expect(readFileSync(`${rootfs}/hello`, 'utf8')).toBe('from the image');
  const { config, rootfsPath, warnings } = loadBundle(bundle);
  expect(rootfsPath).toBe(rootfs);
  expect(warnings).toEqual([]);
  expect(config.root).toEqual({ path: rootfs, readonly: false });
  expect(config.hostname).toBe('c1');
  expect(config.process).toMatchObject({
    args: ['/bin/sleep', '180'],
    cwd: '/',
    terminal: false,
    noNewPrivileges: false,
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=c1'],
  });
  expect(config.process.capabilities?.bounding).toHaveLength(14);
  expect(config.process.capabilities?.ambient).toBeUndefined();
  expect(config.process.rlimits).toBeUndefined();
  expect(config.linux?.namespaces?.map(({ type }) => type)).toContain('cgroup');
  expect(statSync(bundle).mode & 0o777).toBe(0o700);
  expect(statSync(`${bundle}/config.json`).mode & 0o777).toBe(0o600);
});

test('buildBundle with a terminal sets TERM', () => {
  using fixture = new Fixture();
  const { process } = configOf(build(fixture, 'c1', { tty: true }).bundle);
  expect(process?.terminal).toBe(true);
  expect(process?.env).toContain('TERM=xterm');
});

test.each([
  ['a.b-c', 'a.b-c'],
  ['under_score', 'runcell'],
  ['-dash', 'runcell'],
  ['x'.repeat(64), 'runcell'],
])('buildBundle of %j has the host name %j', (id, hostname) => {
  using fixture = new Fixture();
  const config = configOf(build(fixture, id).bundle);
  expect(config.hostname).toBe(hostname);
  expect(config.process?.env).toContain(`HOSTNAME=${hostname}`);
});

test('buildBundle refuses an id that is taken before it makes anything', () => {
  using fixture = new Fixture();
  prepareRoot(fixture.context.root, { explicit: true });
  claimId(fixture.context.root, 'c1');
  expect(() => build(fixture)).toThrow('c1: container with given ID already exists');
  expect(made(fixture)).toEqual([]);
});

test('buildBundle refuses a bad id or image before it makes anything', () => {
  using fixture = new Fixture();
  expect(() => build(fixture, 'a/b')).toThrow('invalid container ID format');
  expect(() => build(fixture, 'c1', { image: 'docker://x' })).toThrow('only local directories');
  expect(existsSync(fixture.context.root)).toBe(false);
});

test('buildBundle takes the image back when the bundle cannot be made', () => {
  using fixture = new Fixture();
  const { bundles } = prepareRoot(fixture.context.root, { explicit: true });
  mkdirSync(`${bundles}/c1`);
  writeFileSync(`${bundles}/c1/mine`, '');
  expect(() => build(fixture)).toThrow(
    'bundle of container c1: already exists - `delete --force c1` removes it',
  );
  expect(made(fixture)).toEqual(['c1']);
  expect(readdirSync(`${bundles}/c1`)).toEqual(['mine']);
  expect(fixture.mounts()).toEqual([]);
});

test('removeOwned removes what was made, and again nothing', () => {
  using fixture = new Fixture();
  const { owned, rootfs } = build(fixture);
  writeFileSync(`${rootfs}/written`, '');
  removeOwned(fixture.context, 'c1', owned);
  removeOwned(fixture.context, 'c1', owned);
  expect(made(fixture)).toEqual([]);
  expect(fixture.mounts()).toEqual([]);
  expect(existsSync(`${fixture.image}/hello`)).toBe(true);
});

test('removeOwned leaves what somebody put into the bundle, and still removes the image', () => {
  using fixture = new Fixture();
  const { owned, bundle } = build(fixture);
  writeFileSync(`${bundle}/mine`, '');
  expect(() => removeOwned(fixture.context, 'c1', owned)).toThrow(
    `remove ${bundle}: mine in it is not runcell's`,
  );
  expect(readdirSync(bundle).sort()).toEqual(['bundle.json', 'config.json', 'mine']);
  expect(fixture.mounts()).toEqual([]);
});

test.each([
  ['an image of another id', 'image'],
  ['a directory without a record', 'bundle'],
])('removeOwned never removes %s', (_, kind) => {
  using fixture = new Fixture();
  const { root } = prepareRoot(fixture.context.root, { explicit: true });
  const foreign = `${root}/containers/other`;
  mkdirSync(foreign);
  writeFileSync(`${foreign}/config.json`, '');
  const attempt = () => removeOwned(fixture.context, 'c1', { [kind]: foreign });
  if (kind === 'bundle') expect(attempt).toThrow('no bundle.json says that runcell made it');
  else attempt();
  expect(existsSync(`${foreign}/config.json`)).toBe(true);
});

test('bundleForRootfs makes a bundle over the directory, which stays the user’s', () => {
  using fixture = new Fixture();
  const { image: rootfs } = fixture;
  const { bundle, owned } = bundleForRootfs(fixture.context, { id: 'c1', rootfs });
  expect(bundle).toBe(fixture.bundleDirectory('c1'));
  expect(owned).toEqual({ bundle });
  expect(configOf(bundle)).toMatchObject({
    root: { path: rootfs, readonly: false },
    process: { args: ['/bin/sh'], terminal: false },
  });
  removeOwned(fixture.context, 'c1', owned);
  expect(made(fixture)).toEqual([]);
  expect(existsSync(`${rootfs}/hello`)).toBe(true);
});

test('bundleForRootfs writes the missing document into a bundle of the user’s', () => {
  using fixture = new Fixture();
  const bundle = `${fixture.directory}/bundle`;
  mkdirSync(bundle);
  const { owned } = bundleForRootfs(fixture.context, { id: 'c1', rootfs: fixture.image, bundle });
  expect(owned).toEqual({});
  expect(readdirSync(bundle)).toEqual(['config.json']);
  expect(loadBundle(bundle).rootfsPath).toBe(fixture.image);
});

test('bundleForRootfs makes a bundle directory that is not there, and owns it', () => {
  using fixture = new Fixture();
  const bundle = `${fixture.directory}/bundle`;
  const { owned } = bundleForRootfs(fixture.context, { id: 'c1', rootfs: fixture.image, bundle });
  expect(owned).toEqual({ bundle });
  removeOwned(fixture.context, 'c1', owned);
  expect(existsSync(bundle)).toBe(false);
});

test.each([
  ['relative', (f: Fixture) => ({ path: '../image', rootfs: f.image })],
  ['absolute', (f: Fixture) => ({ path: f.image, rootfs: f.image })],
  ['through a link', (f: Fixture) => ({ path: f.image, rootfs: `${f.directory}/link` })],
])('bundleForRootfs uses a document that means the same directory [%s]', (_, given) => {
  using fixture = new Fixture();
  const bundle = `${fixture.directory}/bundle`;
  mkdirSync(bundle);
  symlinkSync('image', `${fixture.directory}/link`);
  const { path, rootfs } = given(fixture);
  const text = JSON.stringify({ ...defaultSpec({ rootless: false }), root: { path } });
  writeFileSync(`${bundle}/config.json`, text);
  const { owned } = bundleForRootfs(fixture.context, { id: 'c1', rootfs, bundle });
  expect(owned).toEqual({});
  expect(readFileSync(`${bundle}/config.json`, 'utf8')).toBe(text);
});

test.each(['/etc', 'missing'])(
  'bundleForRootfs refuses a document over %s, naming both',
  (path) => {
    using fixture = new Fixture();
    const bundle = `${fixture.directory}/bundle`;
    mkdirSync(bundle);
    const text = JSON.stringify({ ...defaultSpec({ rootless: false }), root: { path } });
    writeFileSync(`${bundle}/config.json`, text);
    const configured = path.startsWith('/') ? path : `${bundle}/${path}`;
    const line =
      `root.path ${configured}: ${bundle}/config.json names another directory than ` +
      `--rootfs ${fixture.image} - leave one of the two out`;
    const attempt = () =>
      bundleForRootfs(fixture.context, { id: 'c1', rootfs: fixture.image, bundle });
    expect(attempt).toThrow(line);
    expect(made(fixture)).toEqual([]);
  },
);

test('bundleForRootfs refuses a rootfs that is no directory', () => {
  using fixture = new Fixture();
  const attempt = (name: string) => () =>
    bundleForRootfs(fixture.context, { id: 'c1', rootfs: `${fixture.directory}/${name}` });
  expect(attempt('image/hello')).toThrow(/^rootfs .*hello: is not a directory$/);
  expect(attempt('missing')).toThrow(/^rootfs .*missing: no such file or directory \(ENOENT\)$/);
});

test('bundleForRootfs owns the image that was pulled for the id', async () => {
  using fixture = new Fixture();
  const image = fixture.image;
  const { rootfs } = await pullImage(fixture.context, { image, containerId: 'c1' });
  const { owned } = bundleForRootfs(fixture.context, { id: 'c1', rootfs });
  expect(owned.image).toBe(fixture.containerDirectory('c1'));
  const other = bundleForRootfs(fixture.context, { id: 'c2', rootfs });
  expect(other.owned.image).toBeUndefined();
  removeOwned(fixture.context, 'c1', owned);
  expect(fixture.mounts()).toEqual([]);
});

test('removeLeftovers removes what a killed run left', () => {
  using fixture = new Fixture();
  build(fixture);
  expect(removeLeftovers(fixture.context, 'c1')).toBe(true);
  expect(made(fixture)).toEqual([]);
  expect(fixture.mounts()).toEqual([]);
  expect(removeLeftovers(fixture.context, 'c1')).toBe(false);
});

test('removeLeftovers removes directories that a kill left empty', () => {
  using fixture = new Fixture();
  const { bundles, containers } = prepareRoot(fixture.context.root, { explicit: true });
  mkdirSync(`${bundles}/c1`);
  mkdirSync(`${containers}/c1`);
  writeFileSync(`${containers}/c1/.image.json.new`, '{');
  expect(removeLeftovers(fixture.context, 'c1')).toBe(true);
  expect(made(fixture)).toEqual([]);
});

test('removeLeftovers leaves what was pulled, and what is not runcell’s', async () => {
  using fixture = new Fixture();
  const image = fixture.image;
  await pullImage(fixture.context, { image, containerId: 'c1' });
  mkdirSync(fixture.bundleDirectory('c1'));
  writeFileSync(`${fixture.bundleDirectory('c1')}/config.json`, '{}');
  expect(removeLeftovers(fixture.context, 'c1')).toBe(false);
  expect(made(fixture)).toEqual(['c1', 'c1']);
  expect(fixture.mounts()).toHaveLength(1);
});
