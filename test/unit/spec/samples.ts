/**
 * Documents made from a schema: one that has every property, and what becomes of a document when each
 * of its values is in turn replaced or left out.
 */

import type { Json, Schema } from './module.ts';

/** A text for each pattern that the schemas have. */
const MATCHES: { [pattern: string]: string } = {
  '^RLIMIT_[A-Z]+$': 'RLIMIT_CPU',
  '^[0-9, -]*$': '0-3,7',
  '^[1-9][0-9]*[KMG]B$': '2MB',
  '^MB:[^\\n]*$': 'MB:0=70',
  '^[cbup]$': 'c',
  '^CAP_[A-Z_]+$': 'CAP_KILL',
};

/** `resolve` gives the schema a reference stands for. */
export function sampleOf(schema: Schema, resolve: (reference: string) => Schema): Json {
  const of = (part: Json | undefined) => sampleOf((part ?? {}) as Schema, resolve);
  if (typeof schema['$ref'] === 'string') return sampleOf(resolve(schema['$ref']), resolve);
  for (const keyword of ['anyOf', 'allOf']) {
    const parts = schema[keyword] as Json[] | undefined;
    if (parts !== undefined) return Object.assign({}, ...parts.map(of)) as Json;
  }
  if (Array.isArray(schema['enum'])) return schema['enum'][0]!;
  switch (schema['type']) {
    case 'string':
      return textFor(schema['pattern'] as string | undefined);
    case 'integer':
      return Math.max(1, (schema['minimum'] as number | undefined) ?? 1);
    case 'boolean':
      return true;
    case 'array':
      return Array.isArray(schema['items']) ? schema['items'].map(of) : [of(schema['items'])];
    default:
      return objectOf(schema, of);
  }
}

function textFor(pattern: string | undefined): string {
  if (pattern === undefined) return 'text';
  const match = MATCHES[pattern];
  if (match === undefined) throw new Error(`no text is known for ${pattern}`);
  return match;
}

function objectOf(schema: Schema, of: (part: Json | undefined) => Json): Json {
  const properties = (schema['properties'] ?? {}) as Schema;
  const sample: { [key: string]: Json } = {};
  for (const [key, part] of Object.entries(properties)) sample[key] = of(part);
  if (typeof schema['additionalProperties'] === 'object') {
    sample['any'] = of(schema['additionalProperties']);
  }
  for (const part of Object.values((schema['patternProperties'] ?? {}) as Schema)) {
    sample['any'] = of(part);
  }
  return sample;
}

const REPLACEMENTS: Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  512,
  65536,
  2 ** 32,
  2 ** 63,
  2 ** 64,
  2 ** 65,
  -(2 ** 64),
  '',
  'other',
  [],
  [1],
  ['other'],
  {},
  { '': 1 },
  { any: 1 },
  { any: 'other' },
];

export interface Mutant {
  readonly change: string;
  readonly value: Json;
}

/** Every value of the document replaced by every replacement, and every property left out. */
export function* mutantsOf(document: Json): Generator<Mutant> {
  yield* mutate(document, '$', (value) => value);
}

function* mutate(node: Json, at: string, rebuild: (value: Json) => Json): Generator<Mutant> {
  for (const value of REPLACEMENTS) {
    yield { change: `${at} = ${JSON.stringify(value)}`, value: rebuild(value) };
  }
  if (typeof node !== 'object' || node === null) return;
  if (Array.isArray(node)) {
    for (const [index, item] of node.entries()) {
      yield* mutate(item, `${at}[${index}]`, (value) => rebuild(node.with(index, value)));
    }
    return;
  }
  for (const [key, item] of Object.entries(node)) {
    const { [key]: _left, ...rest } = node;
    yield { change: `${at}.${key} left out`, value: rebuild(rest) };
    yield* mutate(item, `${at}.${key}`, (value) => rebuild({ ...node, [key]: value }));
  }
}
