/**
 * The schema and the documents of the runtime-spec Go module, as the Go client fetches them: what our
 * own schema is compared with. Nothing of it is checked in.
 */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Ajv } from 'ajv';

const MODULE = 'github.com/opencontainers/runtime-spec@v1.3.0';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Schema = { [keyword: string]: Json };

/** The three documents and the file of the module that describes each. */
export const SCHEMA_FILES = {
  config: 'config-schema.json',
  state: 'state-schema.json',
  features: 'features-schema.json',
} as const;

export type Kind = keyof typeof SCHEMA_FILES;

/** Directory of the module's `schema`, in Go's module cache. */
export function fetchSchemaDir(): string {
  // Outside any Go module, so that no go.mod has a say.
  const answer = execFileSync('go', ['mod', 'download', '-json', MODULE], {
    cwd: os.tmpdir(),
    encoding: 'utf8',
    timeout: 120_000,
  });
  return path.join((JSON.parse(answer) as { Dir: string }).Dir, 'schema');
}

/** Its schemas by file name; draft-04, of which only the name has to go. */
export function readSchemas(dir: string): { [file: string]: Schema } {
  const schemas: { [file: string]: Schema } = {};
  for (const file of fs.readdirSync(dir).filter((name) => name.endsWith('.json'))) {
    // One reference of the module lacks the slash of a JSON pointer.
    const text = fs.readFileSync(path.join(dir, file), 'utf8').replaceAll('"#def', '"#/def');
    const { $schema: _draft, ...schema } = JSON.parse(text) as Schema;
    schemas[file] = { ...schema, $id: file };
  }
  return schemas;
}

/** The module's verdict on a plainly parsed document. */
export function moduleValidator(dir: string): (kind: Kind, value: unknown) => boolean {
  const ajv = new Ajv({ strict: false, logger: false });
  for (const schema of Object.values(readSchemas(dir))) ajv.addSchema(schema);
  return (kind, value) => ajv.getSchema(SCHEMA_FILES[kind])!(value) as boolean;
}

/** `good` and `bad` of the module's own test documents. */
export function listDocuments(dir: string, kind: Kind, verdict: 'good' | 'bad'): string[] {
  const folder = path.join(dir, 'test', kind, verdict);
  return fs.readdirSync(folder).map((name) => path.join(folder, name));
}
