/** Where an image comes from, and what is refused by name. */

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findImage } from '../../../src/storage/image-source.ts';
import { Fixture } from './fixture.ts';

test.each([
  ['an absolute path', (f: Fixture) => f.image],
  ['a relative path, from the caller', () => 'image'],
  ['a path with dots', () => './root/../image'],
  ['dir://', (f: Fixture) => `dir://${f.image}`],
  ['file://, a URL', (f: Fixture) => `file://${f.image.replaceAll(' ', '%20')}`],
  ['file:// of this host', (f: Fixture) => `file://localhost${f.image}`],
])('findImage takes %s', (_, image) => {
  using fixture = new Fixture();
  mkdirSync(`${fixture.directory}/root`);
  expect(findImage(image(fixture), fixture.directory).directory).toBe(fixture.image);
});

test('findImage follows a link of the user and tells the mode of the directory', () => {
  using fixture = new Fixture();
  symlinkSync('image', `${fixture.directory}/link`);
  mkdirSync(`${fixture.image}/sub`, { mode: 0o711 });
  expect(findImage('link/sub', fixture.directory)).toEqual({
    directory: `${fixture.image}/sub`,
    mode: 0o711,
    uid: 0,
    gid: 0,
  });
});

const ONLY = 'only local directories are supported yet';

test.each([
  ['docker://busybox', `image docker://busybox: ${ONLY}`],
  ['https://example.org/x.tar', `image https://example.org/x.tar: ${ONLY}`],
  ['oci-archive:///x', `image oci-archive:///x: ${ONLY}`],
  ['busybox:latest', `image busybox:latest: is not a directory, and ${ONLY}`],
  ['archive.tar', `image archive.tar: is not a directory, and ${ONLY}`],
  ['dir://here', 'image dir://here: names no absolute path - write three slashes, as dir:///path'],
  ['file:///a%zz', 'image file:///a%zz: is not a valid file URL'],
  ['file:///a%00b', 'image file:///a%00b: is not a valid file URL'],
  ['', 'image: is empty'],
])('findImage refuses %j', (image, line) => {
  using fixture = new Fixture();
  writeFileSync(`${fixture.directory}/archive.tar`, '');
  expect(() => findImage(image, fixture.directory)).toThrow(line);
  expect(() => findImage(image, fixture.directory)).toThrow(
    expect.objectContaining({ code: 'storage.source' }),
  );
});
