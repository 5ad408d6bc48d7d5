/**
 * Writes oclif.manifest.json from the classes in src/help: `node scripts/manifest.ts [--check]`.
 *
 * The global flags, which oclif would repeat in every verb, stand once under `globals`. A unit test
 * keeps file and classes the same, so this is run by hand after a class has changed.
 */

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Manifest } from '../src/argv.ts';
import { CONTAINER_VERBS, STORAGE_VERBS } from '../src/help/container-verbs.ts';
import { RUNC_VERBS } from '../src/help/runc-verbs.ts';
import { Verb } from '../src/help/verb.ts';

const root = path.join(import.meta.dirname, '..');
const require = createRequire(import.meta.url);

type Row = Record<string, unknown>;

/** The whole file as text. */
export async function manifestText(): Promise<string> {
  // By path, since the package exports it not: the function that oclif itself makes manifests with.
  const oclif = path.dirname(require.resolve('@oclif/core/package.json'));
  const { cacheCommand } = require(path.join(oclif, 'lib/util/cache-command.js')) as {
    cacheCommand(command: unknown): Promise<Row>;
  };
  const classes = { ...RUNC_VERBS, ...CONTAINER_VERBS, ...STORAGE_VERBS };
  const globalNames = Object.keys(Verb.baseFlags);
  let globals: Row = {};
  const commands: Row = {};
  for (const [id, command] of Object.entries(classes)) {
    const row = tidy(await cacheCommand(command));
    const flags = row['flags'] as Row;
    globals = Object.fromEntries(globalNames.map((name) => [name, flags[name]]));
    // A verb may have a flag of a global's name, as spec its --rootless.
    const ownNames = Object.keys((command as { flags?: object }).flags ?? {});
    const own = Object.entries(flags).filter(
      ([name]) => !globalNames.includes(name) || ownNames.includes(name),
    );
    commands[id] = { id, ...row, flags: Object.fromEntries(own) };
  }
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  return `${JSON.stringify({ version, globals, commands }, null, 2)}\n`;
}

export interface FullManifest {
  readonly version: string;
  readonly globals: Readonly<Record<string, Row>>;
  readonly commands: Readonly<Record<string, Row>>;
}

const FLAG_KEYS = ['type', 'char', 'multiple', 'required'];
const ARG_KEYS = ['required', 'multiple'];
const VERB_KEYS = ['payload', 'rest', 'bundling'];

/** What src/argv.ts reads, for the bundle of one verb: of the others only that they are. */
export function compactManifest(full: FullManifest, has: (id: string) => boolean): Manifest {
  const rows = (table: unknown, keys: readonly string[]): Row =>
    Object.fromEntries(
      Object.entries((table ?? {}) as Record<string, Row>).map(([name, row]) => [
        name,
        pick(row, keys),
      ]),
    );
  const commands = Object.entries(full.commands).map(([id, row]) => [
    id,
    has(id)
      ? {
          ...pick(row, VERB_KEYS),
          flags: rows(row['flags'], FLAG_KEYS),
          args: rows(row['args'], ARG_KEYS),
        }
      : { elsewhere: true },
  ]);
  return {
    version: full.version,
    globals: rows(full.globals, FLAG_KEYS),
    commands: Object.fromEntries(commands),
  } as unknown as Manifest;
}

function pick(row: Row, keys: readonly string[]): Row {
  return Object.fromEntries(keys.filter((key) => key in row).map((key) => [key, row[key]]));
}

/** Without the keys that say nothing. */
function tidy(value: Row): Row {
  const out: Row = {};
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined || item === false) continue;
    if (Array.isArray(item) && item.length === 0) continue;
    const nested = typeof item === 'object' && item !== null && !Array.isArray(item);
    out[key] = nested ? tidy(item as Row) : item;
  }
  return out;
}

if (process.argv[1] === import.meta.filename) {
  const file = path.join(root, 'oclif.manifest.json');
  const text = await manifestText();
  if (process.argv[2] === '--check') {
    if (fs.readFileSync(file, 'utf8') !== text) {
      console.error('oclif.manifest.json differs from the classes: run node scripts/manifest.ts');
      process.exit(1);
    }
  } else {
    fs.writeFileSync(file, text);
  }
}
