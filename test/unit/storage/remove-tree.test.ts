/** Removal of what a container wrote: hostile names, depths, links and mounts. */

import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { expect, test } from 'vitest';
import { mountStorage } from '../../../src/storage/mount.ts';
import { OpenDirectory, removeTrees, TRASH } from '../../../src/storage/remove-tree.ts';
import { Fixture } from './fixture.ts';

function remove(path: string, names: readonly string[]): void {
  using parent = new OpenDirectory(path);
  removeTrees(parent, names);
}

function newTree(fixture: Fixture): { parent: string; tree: string } {
  const parent = `${fixture.directory}/parent`;
  mkdirSync(`${parent}/tree`, { recursive: true });
  return { parent, tree: `${parent}/tree` };
}

test('removeTrees removes the trees it is given and nothing beside them', () => {
  using fixture = new Fixture();
  const { parent, tree } = newTree(fixture);
  mkdirSync(`${tree}/a/b/c`, { recursive: true });
  writeFileSync(`${tree}/a/b/file`, '');
  writeFileSync(`${tree}/a/0`, 'a name that the trash uses too');
  mkdirSync(`${tree}/1`);
  writeFileSync(`${parent}/kept`, '');
  remove(parent, ['tree', 'missing']);
  expect(readdirSync(parent)).toEqual(['kept']);
});

test('removeTrees removes links to a canary and leaves the canary', () => {
  using fixture = new Fixture();
  const { parent, tree } = newTree(fixture);
  const canary = `${fixture.directory}/canary`;
  mkdirSync(canary);
  writeFileSync(`${canary}/precious`, 'kept');
  symlinkSync(canary, `${tree}/absolute`);
  symlinkSync('../../canary', `${tree}/relative`);
  linkSync(`${canary}/precious`, `${tree}/hard`);
  symlinkSync(canary, `${parent}/top`);
  remove(parent, ['tree', 'top']);
  expect(readdirSync(parent)).toEqual([]);
  expect(readFileSync(`${canary}/precious`, 'utf8')).toBe('kept');
});

test('OpenDirectory does not open what was swapped for a link', () => {
  using fixture = new Fixture();
  const { tree } = newTree(fixture);
  symlinkSync(fixture.image, `${tree}/swapped`);
  using parent = new OpenDirectory(tree);
  expect(() => parent.open('swapped')).toThrow(/ENOTDIR|ELOOP/);
  expect(() => new OpenDirectory(`${tree}/swapped`)).toThrow(/ENOTDIR|ELOOP/);
});

test('removeTrees removes names that are not UTF-8, and directories without permissions', () => {
  using fixture = new Fixture();
  const { parent, tree } = newTree(fixture);
  const odd = Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe, 0x0a])]);
  mkdirSync(odd);
  writeFileSync(Buffer.concat([odd, Buffer.from([0x2f, 0xc0])]), '');
  chmodSync(odd, 0);
  remove(parent, ['tree']);
  expect(readdirSync(parent)).toEqual([]);
});

test('removeTrees removes a tree deeper than PATH_MAX', () => {
  using fixture = new Fixture();
  const { parent, tree } = newTree(fixture);
  const name = 'd'.repeat(250);
  let deepest = new OpenDirectory(tree);
  for (let depth = 0; depth < 400; depth++) {
    mkdirSync(deepest.at(name));
    const next = deepest.open(name);
    deepest[Symbol.dispose]();
    deepest = next;
  }
  writeFileSync(deepest.at('file'), '');
  deepest[Symbol.dispose]();
  remove(parent, ['tree']);
  expect(readdirSync(parent)).toEqual([]);
});

test('removeTrees goes on where a killed removal stopped', () => {
  using fixture = new Fixture();
  const { parent, tree } = newTree(fixture);
  mkdirSync(`${parent}/${TRASH}/0/left`, { recursive: true });
  mkdirSync(`${tree}/x`);
  remove(parent, ['tree']);
  expect(readdirSync(parent)).toEqual([]);
});

test('removeTrees stops at a mount and leaves what is mounted', () => {
  using fixture = new Fixture();
  const { parent, tree } = newTree(fixture);
  const canary = `${fixture.directory}/canary`;
  mkdirSync(canary);
  writeFileSync(`${canary}/precious`, '');
  mkdirSync(`${tree}/on`);
  mountStorage(fixture.context, { source: canary, target: `${tree}/on`, options: [] });
  expect(() => remove(parent, ['tree'])).toThrow(`remove: ${parent}`.replace(': ', ' '));
  expect(existsSync(`${canary}/precious`)).toBe(true);
});
