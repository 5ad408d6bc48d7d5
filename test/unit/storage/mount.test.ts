/** storage mount and umount on the host, and the words that are refused. */

import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkProgram } from '../../../src/libcontainer/program/check.ts';
import { hostBuilder } from '../../../src/storage/host-program.ts';
import {
  mountStorage,
  planHostMount,
  resolveMount,
  umountStorage,
} from '../../../src/storage/mount.ts';
import { Fixture } from './fixture.ts';

function newTarget(fixture: Fixture): string {
  const target = `${fixture.directory}/target`;
  mkdirSync(target);
  return target;
}

/** Options, optional fields, type and superblock options of what is mounted on `target`. */
function mountLine(fixture: Fixture, target: string): string {
  const shown = target.replaceAll(' ', '\\040');
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const line = lines.findLast((one) => one.split(' ')[4] === shown);
  if (line === undefined) throw new Error(`nothing on ${target}: ${fixture.mounts()}`);
  return line.split(' ').slice(5).join(' ');
}

test.each([
  [['ro', 'private']],
  [['rbind', 'rro', 'rslave']],
  [['type=tmpfs', 'ro', 'sync', 'size=1m', 'shared']],
])('the program passes the static checks [%j]', (options) => {
  const mount = resolveMount({ source: '/a', target: '/b', options }, '/');
  expect(checkProgram(planHostMount(hostBuilder(), mount))).toEqual([]);
});

test('mountStorage binds a directory unless told otherwise, umountStorage takes it away', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  mountStorage(fixture.context, { source: 'image', target: 'target', options: [] });
  expect(readFileSync(`${target}/hello`, 'utf8')).toBe('from the image');
  expect(fixture.mounts()).toEqual([target]);
  umountStorage(fixture.context, { target: 'target' });
  expect(fixture.mounts()).toEqual([]);
});

test('mountStorage binds a file', () => {
  using fixture = new Fixture();
  const target = `${fixture.directory}/file`;
  writeFileSync(target, '');
  const source = `${fixture.image}/hello`;
  mountStorage(fixture.context, { source, target, options: ['bind', 'ro'] });
  expect(readFileSync(target, 'utf8')).toBe('from the image');
  expect(() => writeFileSync(target, 'x')).toThrow('EROFS');
  umountStorage(fixture.context, { target });
  expect(readFileSync(target, 'utf8')).toBe('');
});

test.each([
  [['ro', 'nosuid', 'nodev', 'noexec', 'noatime'], /^ro,nosuid,nodev,noexec,noatime - /],
  [['rw', 'relatime', 'private'], /^rw,relatime - /],
  [['shared'], /^rw,relatime shared:\d+ - /],
  [['rbind', 'rro', 'nosymfollow'], /^ro,relatime,nosymfollow - /],
])('mountStorage [%j]', (options, line) => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  mountStorage(fixture.context, { source: fixture.image, target, options });
  expect(mountLine(fixture, target)).toMatch(line);
});

test('mountStorage binds what is mounted below only with rbind, read-only with rro', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  const below = { source: 'tmpfs', target: `${fixture.image}/etc`, options: ['type=tmpfs'] };
  mountStorage(fixture.context, below);
  writeFileSync(`${fixture.image}/etc/file`, '');
  mountStorage(fixture.context, { source: fixture.image, target, options: ['bind'] });
  expect(existsSync(`${target}/etc/file`)).toBe(false);
  umountStorage(fixture.context, { target });
  mountStorage(fixture.context, { source: fixture.image, target, options: ['rbind', 'rro'] });
  expect(existsSync(`${target}/etc/file`)).toBe(true);
  expect(() => writeFileSync(`${target}/etc/file`, 'x')).toThrow('EROFS');
});

test('mountStorage makes a filesystem of the type it is told', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  const options = ['type=tmpfs', 'size=64k', 'mode=0711', 'nosuid', 'ro'];
  mountStorage(fixture.context, { source: 'scratch', target, options });
  expect(mountLine(fixture, target)).toMatch(
    /^ro,nosuid,relatime - tmpfs scratch ro,size=64k,mode=711/,
  );
});

test('mountStorage makes an overlay of layers', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  for (const name of ['upper', 'work']) mkdirSync(`${fixture.directory}/${name}`);
  const layers = ['lowerdir', 'upperdir', 'workdir'].map((key, index) => {
    return `${key}=${fixture.directory}/${['image', 'upper', 'work'][index]}`;
  });
  mountStorage(fixture.context, { source: 'overlay', target, options: layers });
  writeFileSync(`${target}/hello`, 'changed');
  expect(readFileSync(`${fixture.image}/hello`, 'utf8')).toBe('from the image');
  expect(mountLine(fixture, target)).toContain(' - overlay overlay ');
});

test.each([
  [['size=1m'], 'mount option size=1m: not supported here - a bind mount has no filesystem'],
  [['sync'], 'mount option sync: not supported here - a bind mount has no filesystem'],
  [['bind', 'type=tmpfs'], 'mount option bind: not supported here - a bind mount has no type'],
  [['remount', 'ro'], 'mount option remount: not supported here - umount and mount again'],
  [['idmap'], 'mount option idmap: not supported here'],
  [['tmpcopyup', 'type=tmpfs'], 'mount option tmpcopyup: not supported here'],
  [['type=tmpfs', `a=${'x'.repeat(256)}`], 'a value has at most 255 bytes'],
])('mountStorage refuses %j', (options, line) => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  expect(() => mountStorage(fixture.context, { source: 'image', target, options })).toThrow(line);
  expect(fixture.mounts()).toEqual([]);
});

test.each([
  ['image', 'missing', /^mount target .*missing: no such file or directory \(ENOENT\)$/],
  ['missing', 'target', /^mount source .*missing: no such file or directory \(ENOENT\)$/],
  ['image', 'image/hello', /^mount .*hello: source is a directory and target none$/],
  ['image/hello', 'target', /^mount .*target: source is no directory and target one$/],
])('mountStorage says which path is wrong [%s on %s]', (source, target, line) => {
  using fixture = new Fixture();
  newTarget(fixture);
  expect(() => mountStorage(fixture.context, { source, target, options: [] })).toThrow(line);
});

test.each([
  [['type=nosuchfs'], /^mount nosuchfs on .*: no such device \(ENODEV\)$/],
  [['type=tmpfs', 'nosuch=1'], /^mount tmpfs on .*: tmpfs: Unknown parameter 'nosuch' \(EINVAL\)$/],
  [['type=tmpfs', 'size=x'], /: tmpfs: Bad value for 'size' \(EINVAL\)$/],
])('mountStorage quotes the kernel [%j]', (options, line) => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  expect(() => mountStorage(fixture.context, { source: 's', target, options })).toThrow(line);
  expect(fixture.mounts()).toEqual([]);
});

test('umountStorage takes away what is on top, by whatever path leads there', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  symlinkSync('target', `${fixture.directory}/link`);
  mountStorage(fixture.context, { source: 'image', target, options: [] });
  mountStorage(fixture.context, { source: 'tmpfs', target, options: ['type=tmpfs'] });
  umountStorage(fixture.context, { target: `${fixture.directory}/link/../link` });
  expect(existsSync(`${target}/hello`)).toBe(true);
});

test('umountStorage refuses what is not a mount point', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  expect(() => umountStorage(fixture.context, { target })).toThrow(
    `umount ${target}: not a mount point`,
  );
  expect(() => umountStorage(fixture.context, { target: 'gone' })).toThrow(
    `umount ${fixture.directory}/gone: no such file or directory (ENOENT)`,
  );
});

test('umountStorage leaves a mount that is in use, and names what is on it', () => {
  using fixture = new Fixture();
  const target = newTarget(fixture);
  mountStorage(fixture.context, { source: 'image', target, options: [] });
  const below = { source: 'tmpfs', target: `${target}/etc`, options: ['type=tmpfs'] };
  mountStorage(fixture.context, below);
  expect(() => umountStorage(fixture.context, { target })).toThrow(
    `umount ${target}: device or resource busy (EBUSY) - ${target}/etc is mounted below it`,
  );
  expect(fixture.mounts()).toEqual([target, `${target}/etc`]);
});
