/**
 * Our validators and the schema of the runtime-spec Go module say the same: on the module's own
 * documents, on a document with every property of either schema, and on everything one change away
 * from them.
 */

import fs from 'node:fs';
import path from 'node:path';
import {
  explainConfig,
  explainFeatures,
  explainProcess,
  explainState,
  isCommonConfig,
  isCommonProcess,
  isConfig,
  isFeatures,
  isState,
} from '@opencontainers-ts/spec';
import { beforeAll, describe, expect, test } from 'vitest';
import { RARE, readDefinitions } from '../../../scripts/generate-spec.ts';
import { parseJson } from '../../../src/oci/json.ts';
import {
  fetchSchemaDir,
  type Json,
  type Kind,
  listDocuments,
  moduleValidator,
  readSchemas,
  SCHEMA_FILES,
  type Schema,
} from './module.ts';
import { mutantsOf, sampleOf } from './samples.ts';

const KINDS = ['config', 'state', 'features'] as const;
const OURS = {
  config: { accepts: isConfig, explain: explainConfig, definition: 'Config' },
  state: { accepts: isState, explain: explainState, definition: 'State' },
  features: { accepts: isFeatures, explain: explainFeatures, definition: 'Features' },
};

let dir: string;
let theirs: (kind: Kind, value: unknown) => boolean;

beforeAll(() => {
  dir = fetchSchemaDir();
  theirs = moduleValidator(dir);
}, 180_000);

/** The verdict of parser and validator together, as runcell reads a file. */
function verdict(kind: Kind, text: string): boolean {
  try {
    return OURS[kind].accepts(parseJson(text, { source: 'document' }));
  } catch {
    return false;
  }
}

function moduleVerdict(kind: Kind, text: string): boolean {
  try {
    return theirs(kind, JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

/** Changes on which the two differ, or on which our small and our complete validator do. */
function differences(kind: Kind, document: Json): string[] {
  const found: string[] = [];
  for (const { change, value } of mutantsOf(document)) {
    const ours = OURS[kind].accepts(value);
    if (ours !== theirs(kind, value)) found.push(`${change}: we say ${ours}`);
    const explained = OURS[kind].explain(value);
    if (ours !== (explained.length === 0)) found.push(`${change}: explained ${explained.length}`);
  }
  return found;
}

describe.each(KINDS)('%s', (kind) => {
  test.each(['good', 'bad'] as const)('verdicts on the %s documents of the module', (folder) => {
    const files = listDocuments(dir, kind, folder);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const text = fs.readFileSync(file, 'utf8');
      expect(verdict(kind, text), file).toBe(folder === 'good');
      expect(moduleVerdict(kind, text), file).toBe(folder === 'good');
    }
  });

  test('verdicts one change away from the good documents of the module', () => {
    for (const file of listDocuments(dir, kind, 'good')) {
      expect(differences(kind, JSON.parse(fs.readFileSync(file, 'utf8')) as Json)).toEqual([]);
    }
  });

  test('verdicts one change away from every property of the module', () => {
    const schemas = readSchemas(dir);
    const document = wholeDocument(schemas, SCHEMA_FILES[kind], '');
    expect(theirs(kind, document)).toBe(true);
    expect(differences(kind, document)).toEqual([]);
  });

  test('verdicts one change away from every property of ours', () => {
    const folder = path.resolve(import.meta.dirname, '../../../schema');
    const schemas = Object.fromEntries(
      fs.readdirSync(folder).map((file) => [file, readSchema(path.join(folder, file))]),
    );
    const document = wholeDocument(
      schemas,
      `${kind}.schema.json`,
      `/definitions/${OURS[kind].definition}`,
    );
    expect(OURS[kind].explain(document)).toEqual([]);
    expect(differences(kind, document)).toEqual([]);
  });
});

describe('the small validators', () => {
  const explain = { Config: explainConfig, Process: explainProcess };
  const accepts = { Config: isCommonConfig, Process: isCommonProcess };
  const definitions = readDefinitions() as { [name: string]: Schema };

  /** A document with every property, or with all but the rare ones. */
  const sample = (name: string, rare: boolean): Json => {
    const of = (definition: string): Schema => {
      const schema = definitions[definition] as { properties?: Schema };
      const left = rare ? [] : (RARE[definition] ?? []);
      const properties = Object.entries(schema.properties ?? {});
      const kept = properties.filter(([property]) => !left.includes(property));
      return { ...schema, properties: Object.fromEntries(kept) };
    };
    return sampleOf(of(name), (reference) => of(reference.replace('#/definitions/', '')));
  };

  test.each(['Config', 'Process'] as const)('%s: the same verdict without RARE', (name) => {
    const document = sample(name, false);
    expect(accepts[name](document)).toBe(true);
    const different = [...mutantsOf(document)]
      .filter(({ value }) => accepts[name](value) !== (explain[name](value).length === 0))
      .map(({ change }) => change);
    expect(different).toEqual([]);
  });

  test.each(['Config', 'Process'] as const)('%s: never a yes alone', (name) => {
    const document = sample(name, true);
    expect(accepts[name](document)).toBe(false);
    const different = [...mutantsOf(document)]
      .filter(({ value }) => accepts[name](value) && explain[name](value).length > 0)
      .map(({ change }) => change);
    expect(different).toEqual([]);
  });

  test('each of RARE is a no, whatever it is', () => {
    const document = sample('Config', false) as { [key: string]: Json };
    for (const property of RARE['Config']!) {
      expect(isCommonConfig({ ...document, [property]: {} }), property).toBe(false);
    }
    const { process } = document as { process: Schema };
    for (const property of RARE['Process']!) {
      expect(isCommonProcess({ ...process, [property]: {} }), property).toBe(false);
    }
  });
});

function readSchema(file: string): Schema {
  return JSON.parse(fs.readFileSync(file, 'utf8')) as Schema;
}

/** A document with every property; references are followed from file to file. */
function wholeDocument(schemas: { [file: string]: Schema }, file: string, pointer: string): Json {
  const [target, at] = resolve(schemas, file, `#${pointer}`);
  return sampleWithin(schemas, target, at);
}

function sampleWithin(schemas: { [file: string]: Schema }, schema: Schema, file: string): Json {
  let base = file;
  return sampleOf(absolute(schema, base), (reference) => {
    const [target, at] = resolve(schemas, base, reference);
    base = at;
    return absolute(target, at);
  });
}

/** Local references get the name of their file, so that they mean the same everywhere. */
function absolute(schema: Schema, file: string): Schema {
  return JSON.parse(JSON.stringify(schema), (key, value: unknown) =>
    key === '$ref' && typeof value === 'string' && value.startsWith('#') ? file + value : value,
  ) as Schema;
}

function resolve(
  schemas: { [file: string]: Schema },
  base: string,
  reference: string,
): [Schema, string] {
  const [name, pointer = ''] = reference.split('#') as [string, string?];
  const file = name === '' ? base : name;
  let node: Json = schemas[file]!;
  for (const step of pointer.split('/').filter((part) => part !== '')) {
    node = (node as Schema)[step]!;
  }
  return [node as Schema, file];
}
