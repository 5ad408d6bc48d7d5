/**
 * One table of flags: oclif.manifest.json is what the classes say, oclif itself reads it as the fast
 * parser does, and the hot bundle's reduced form has lost no row.
 */

import fs from 'node:fs';
import { Parser } from '@oclif/core';
import { describe, expect, test } from 'vitest';
import manifest from '../../../oclif.manifest.json' with { type: 'json' };
import { compactManifest, type FullManifest, manifestText } from '../../../scripts/manifest.ts';
import { type Manifest, parseArgv, Values, type VerbRow } from '../../../src/argv.ts';
import { HOT_VERBS } from '../../../src/commands/verb.ts';
import { coldVerbs, helpText } from '../../../src/help/cold.ts';
import { VERB_CLASSES } from '../../../src/help/oclif.ts';

const FULL = manifest as unknown as Manifest;
const VERBS = Object.keys(FULL.commands);
/** `finish` is for runcell itself. */
const SHOWN = VERBS.filter((id) => id !== 'finish');

test('oclif.manifest.json is up to date', async () => {
  const file = fs.readFileSync(`${import.meta.dirname}/../../../oclif.manifest.json`, 'utf8');
  expect(file).toBe(await manifestText());
});

test('every verb has a class', () => {
  expect(Object.keys(VERB_CLASSES).sort()).toEqual(VERBS.toSorted());
});

test('every verb has a bundle of its own or is in the cold one', () => {
  expect([...HOT_VERBS, ...coldVerbs()].sort()).toEqual(VERBS.toSorted());
});

test('of the verbs of other bundles the reduced manifest has only the names', () => {
  const compact = compactManifest(manifest as unknown as FullManifest, (id) => id === 'state');
  expect(Object.keys(compact.commands)).toEqual(VERBS);
  const line = parseArgv(['kill', '--no-such-flag', 'a'], new Values(), compact);
  expect(line).toMatchObject({ action: 'run', verb: 'kill', args: [] });
  expect(() => parseArgv(['state', '--no-such-flag', 'a'], new Values(), compact)).toThrow();
});

test('the reduced manifest has every flag, type, letter and requirement', () => {
  const compact = compactManifest(manifest as unknown as FullManifest, () => true);
  const facts = (table: Manifest) => {
    const rows: Record<string, VerbRow> = {
      ...table.commands,
      '': { flags: table.globals, args: {} },
    };
    return Object.entries(rows).map(([id, row]) => [
      id,
      Object.entries(row.flags).map(([name, { type, char, multiple, required }]) => [
        name,
        type,
        char,
        multiple,
        required,
      ]),
      Object.entries(row.args).map(([name, arg]) => [name, arg.required, arg.multiple]),
      row.payload,
      row.rest,
      row.bundling,
    ]);
  };
  expect(facts(compact)).toEqual(facts(FULL));
  expect(JSON.stringify(compact)).not.toContain('description');
});

test('no flag of a verb is also a global one, but runc’s spec --rootless', () => {
  const both = ['spec --rootless'];
  const globals = Object.entries(FULL.globals).flatMap(([name, { char }]) => [name, char]);
  for (const [id, row] of Object.entries(FULL.commands)) {
    for (const [name, { char }] of Object.entries(row.flags)) {
      const flag = `${id} --${name}`;
      expect({ flag, clash: globals.includes(name) }).toEqual({ flag, clash: both.includes(flag) });
      if (char !== undefined) expect(globals).not.toContain(char);
    }
  }
});

test('a letter stands for one flag of a verb', () => {
  for (const row of Object.values(FULL.commands)) {
    const letters = Object.values(row.flags).flatMap(({ char }) => char ?? []);
    expect(new Set(letters).size).toBe(letters.length);
  }
});

describe('oclif and the fast parser agree', () => {
  for (const id of VERBS) {
    const row = FULL.commands[id]!;
    const required = Object.entries(row.flags)
      .filter(([, flag]) => flag.required)
      .flatMap(([name]) => [`--${name}`, `of-${name}`]);
    for (const [name, flag] of Object.entries(row.flags)) {
      const spellings = [`--${name}`, ...(flag.char === undefined ? [] : [`-${flag.char}`])];
      test.each(spellings)(`${id} %s`, async (spelling) => {
        const value = flag.type === 'boolean' ? [] : ['value'];
        const others = required.filter((_, at) => required[at - (at % 2)] !== `--${name}`);
        const words = [spelling, ...value, ...others];
        const args = Object.values(row.args).flatMap(({ required }) => (required ? ['a'] : []));
        const { flags } = await Parser.parse([...words, ...args], {
          flags: VERB_CLASSES[id]!.flags,
          args: VERB_CLASSES[id]!.args,
          strict: true,
        });
        const line = parseArgv([...id.split(':'), ...words, ...args], new Values());
        const expected = flag.multiple === true ? ['value'] : 'value';
        expect((flags as Record<string, unknown>)[name]).toEqual(
          flag.type === 'boolean' ? true : expected,
        );
        if (flag.type === 'boolean') expect(line.flags.on(name)).toBe(true);
        else expect(line.flags.list(name)).toEqual(['value']);
      });
    }
  }
});

describe('help', () => {
  test.each(VERBS)('of %s names it, its flags and its arguments', async (id) => {
    const text = await helpText(id);
    expect(text).toContain(`runcell ${id.replace(':', ' ')}`);
    const row = FULL.commands[id]!;
    for (const [name, flag] of Object.entries(row.flags)) {
      // Taken, and not advertised.
      if ('hidden' in flag) expect(text).not.toContain(`--${name}`);
      else expect(text).toContain(`--${name}`);
    }
    for (const name of Object.keys(row.args)) expect(text).toContain(name.toUpperCase());
    expect(text).not.toContain('\u001b');
  });

  test('of the whole names every verb, topic and global flag', async () => {
    const text = await helpText('');
    const words = SHOWN.map((id) => id.split(':')[0]!);
    for (const word of words) expect(text).toMatch(new RegExp(`^ +${word} `, 'm'));
    for (const name of Object.keys(FULL.globals)) expect(text).toContain(`--${name}`);
    expect(text).not.toContain('finish');
  });

  test('of a topic names its verbs', async () => {
    const text = await helpText('storage');
    for (const verb of ['pull', 'mount', 'umount', 'cleanup']) {
      expect(text).toContain(`storage ${verb}`);
    }
  });
});
