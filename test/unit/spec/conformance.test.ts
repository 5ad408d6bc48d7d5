/** docs/spec-conformance.md has a row for every field of the schema, and none for another. */

import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readDefinitions } from '../../../scripts/generate-spec.ts';

type Definition = ReturnType<typeof readDefinitions>[string];

const definitions = readDefinitions();
const page = path.resolve(import.meta.dirname, '../../../docs/spec-conformance.md');

/** `mounts[].options`, `linux.netDevices{}.name`: every property below a definition. */
function fieldsOf(definition: Definition, above: string): string[] {
  return Object.entries((definition['properties'] ?? {}) as { [key: string]: Definition }).flatMap(
    ([key, property]) => {
      const items = property['items'] as Definition | undefined;
      const values = property['additionalProperties'] as Definition | undefined;
      const list = items !== undefined && !Array.isArray(items);
      const mark = list ? '[]' : values === undefined ? '' : '{}';
      const field = `${above}${key}${mark}`;
      const inner = list ? items : (values ?? property);
      const reference = inner['$ref'] as string | undefined;
      const below = reference === undefined ? inner : definitions[reference.split('/').at(-1)!]!;
      return [field, ...fieldsOf(below, `${field}.`)];
    },
  );
}

test('every field has a row, in the order of the schema', () => {
  const rows = fs.readFileSync(page, 'utf8').match(/^\| `[\w.[\]{}]+` \|(?= src)/gm);
  const fields = fieldsOf(definitions['Config']!, '');
  expect(fields.length).toBeGreaterThan(250);
  expect(rows?.map((row) => row.slice(3, -3))).toEqual(fields);
});
