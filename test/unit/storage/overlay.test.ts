/** The programs of overlay and unmount, printed, and the overlay on this kernel both ways. */

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkProgram } from '../../../src/libcontainer/program/check.ts';
import { printProgram } from '../../../src/libcontainer/program/print.ts';
import { hostBuilder } from '../../../src/storage/host-program.ts';
import { mountOverlay, planOverlay, planUnmount, unmountAt } from '../../../src/storage/overlay.ts';
import { Fixture } from './fixture.ts';

const overlay = { imageDirectory: '/srv/a:b,c', containerDirectory: '/run/containers/c1' };

function lines(text: string, syscall: string): string[] {
  return text.split('\n').filter((line) => line.includes(`${syscall}(`));
}

test.each([
  ['overlay by descriptor', () => planOverlay(hostBuilder(), overlay)],
  ['overlay by name', () => planOverlay(hostBuilder(), { ...overlay, byName: true })],
  [
    'unmount',
    () => planUnmount(hostBuilder(), { parent: '/srv', name: 'x', detachWhenBusy: true }),
  ],
])('the program passes the static checks [%s]', (_, plan) => {
  expect(checkProgram(plan())).toEqual([]);
});

test('planOverlay gives layers by descriptor, with the names as the way for older kernels', () => {
  const text = printProgram(planOverlay(hostBuilder(), overlay));
  const keys = lines(text, 'fsconfig').map((line) => /"(\w+\+?)"/.exec(line)?.[1] ?? 'create');
  expect(keys).toEqual([
    'source',
    'lowerdir+',
    'upperdir',
    'workdir',
    'source',
    'lowerdir',
    'upperdir',
    'workdir',
    'index',
    'create',
  ]);
  expect(lines(text, 'fsconfig').join('\n')).not.toContain('/srv');
  expect(lines(text, 'fsmount')[0]).toContain('NODEV');
  expect(lines(text, 'mount_setattr')[0]).toContain('MS_PRIVATE');
});

test('planUnmount never follows a link, and detaches only when it is told to', () => {
  const at = { parent: '/run/containers/c1', name: 'rootfs' };
  const strict = printProgram(planUnmount(hostBuilder(), { ...at, detachWhenBusy: false }));
  expect(lines(strict, 'umount2')).toHaveLength(1);
  expect(strict).not.toContain('MNT_DETACH');
  const lenient = printProgram(planUnmount(hostBuilder(), { ...at, detachWhenBusy: true }));
  expect(lines(lenient, 'umount2')).toHaveLength(2);
  for (const line of lines(strict + lenient, 'umount2')) expect(line).toContain('UMOUNT_NOFOLLOW');
});

test.each([
  ['by descriptor', false],
  ['by name', true],
])('mountOverlay [%s, : , \\ space and unicode in both paths]', (_, byName) => {
  using fixture = new Fixture('a:b,c\\d é');
  const containerDirectory = `${fixture.directory}/c:1,2`;
  makeLayers(containerDirectory, fixture.image);
  mountOverlay({ imageDirectory: fixture.image, containerDirectory, byName });
  const rootfs = `${containerDirectory}/rootfs`;
  expect(fixture.mounts()).toEqual([rootfs]);
  expect(readFileSync(`${rootfs}/hello`, 'utf8')).toBe('from the image');
  writeFileSync(`${rootfs}/hello`, 'changed');
  expect(readFileSync(`${fixture.image}/hello`, 'utf8')).toBe('from the image');
  expect(readFileSync(`${containerDirectory}/upper/hello`, 'utf8')).toBe('changed');
  expect(unmountAt({ parent: containerDirectory, name: 'rootfs', detachWhenBusy: false })).toBe(
    false,
  );
  expect(fixture.mounts()).toEqual([]);
});

function makeLayers(containerDirectory: string, image: string): void {
  for (const name of ['upper', 'work', 'rootfs']) {
    mkdirSync(`${containerDirectory}/${name}`, { recursive: true });
  }
  symlinkSync(image, `${containerDirectory}/image`);
}

test('mountOverlay quotes what the kernel says [upper layer on an overlay]', () => {
  using fixture = new Fixture();
  const outer = `${fixture.directory}/outer`;
  makeLayers(outer, fixture.image);
  mountOverlay({ imageDirectory: fixture.image, containerDirectory: outer });
  const containerDirectory = `${outer}/rootfs/c1`;
  makeLayers(containerDirectory, fixture.image);
  const attempt = () => mountOverlay({ imageDirectory: fixture.image, containerDirectory });
  expect(attempt).toThrow(/^mount overlay .*\/c1\/rootfs: overlay: .* not supported as upperdir/);
  expect(attempt).toThrow(/ \(EINVAL\) - put --root on a filesystem /);
  expect(fixture.mounts()).toEqual([`${outer}/rootfs`]);
});

test.each([
  ['image inside of the storage', 'upper', / \(ELOOP\) - the image and /],
  ['image on procfs', '/proc', / \(EINVAL\) - the image's filesystem /],
])('mountOverlay says what to do where the kernel says nothing [%s]', (_, image, line) => {
  using fixture = new Fixture();
  const containerDirectory = `${fixture.directory}/c1`;
  const imageDirectory = image.startsWith('/') ? image : `${containerDirectory}/${image}`;
  makeLayers(containerDirectory, imageDirectory);
  expect(() => mountOverlay({ imageDirectory, containerDirectory })).toThrow(line);
  expect(fixture.mounts()).toEqual([]);
});
