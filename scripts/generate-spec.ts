/**
 * Writes packages/spec/generated/ from schema/: the types (json-schema-to-typescript) and the
 * validators (ajv standalone code, so that nothing is compiled when runcell runs).
 *
 * index.d.ts     types of every definition, and of the functions
 * is-common.cjs  isCommonConfig, isCommonProcess: small, loaded by the hot verbs; a yes is a yes, a
 *                no may also mean that the document has something of RARE
 * explain.cjs    isConfig, explainConfig … : every problem with its path; loaded only after a no
 * index.cjs      both, the second loaded at its first use
 *
 * Integers are checked by a keyword of our own (`range`): ajv knows no bigint, and a 64-bit integer
 * that was read exactly is one. Nothing generated here requires ajv at run time.
 */

import fs from 'node:fs';
import path from 'node:path';
import { _, Ajv, type Code, type CodeKeywordDefinition, type KeywordCxt } from 'ajv';
import { _Code } from 'ajv/dist/compile/codegen/code.js';
import standalone from 'ajv/dist/standalone/index.js';
import { buildSync, transformSync } from 'esbuild';
import { compile, type JSONSchema } from 'json-schema-to-typescript';

/** A CommonJS default export: Node gives the module, vitest what is in it. */
const standaloneCode =
  (standalone as unknown as { default?: typeof standalone }).default ?? standalone;

type Node = { [key: string]: unknown };
type Definitions = { [name: string]: Node };

const repository = path.resolve(import.meta.dirname, '..');
const schemaDir = path.join(repository, 'schema');
const packageDir = path.join(repository, 'packages', 'spec');

const COMMON = ['isCommonConfig', 'isCommonProcess'];

/** Documents of their own, and the definition each of them is. */
const DOCUMENTS: { [name: string]: string } = {
  Config: 'Config',
  Process: 'Process',
  Resources: 'LinuxResources',
  State: 'State',
  Features: 'Features',
};

/**
 * Properties by definition that the small validators refuse unseen: rare, and together half of the
 * code. What Docker, containerd and Podman send without being asked must not be here.
 */
export const RARE: { [definition: string]: readonly string[] } = {
  Config: ['solaris', 'windows', 'vm', 'zos', 'freebsd'],
  Process: ['commandLine', 'scheduler', 'ioPriority', 'execCPUAffinity'],
  Linux: ['netDevices', 'intelRdt', 'memoryPolicy', 'timeOffsets'],
  LinuxResources: ['rdma', 'network'],
  LinuxBlockIO: [
    'weightDevice',
    'throttleReadBpsDevice',
    'throttleWriteBpsDevice',
    'throttleReadIOPSDevice',
    'throttleWriteIOPSDevice',
  ],
};

export interface Generated {
  readonly file: string;
  readonly bytes: number;
}

/** Writes all files into `outDir` and says how large they are. */
export async function generateSpec(
  outDir = path.join(packageDir, 'generated'),
): Promise<Generated[]> {
  const definitions = readDefinitions();
  const files: { [name: string]: string } = {
    'index.d.ts': await typesOf(definitions),
    'is-common.cjs': commonValidators(definitions),
    'explain.cjs': explainers(definitions),
    'index.cjs': indexModule(),
  };
  files['is-common.d.cts'] = declarations(COMMON);
  fs.mkdirSync(outDir, { recursive: true });
  return Object.entries(files).map(([name, text]) => {
    writeWhole(path.join(outDir, name), text);
    return { file: path.join(outDir, name), bytes: Buffer.byteLength(text) };
  });
}

/** All definitions of all schemas under one roof; a reference becomes a local one. */
export function readDefinitions(): Definitions {
  const all: Definitions = {};
  for (const file of fs.readdirSync(schemaDir).sort()) {
    if (!file.endsWith('.schema.json')) continue;
    const schema = JSON.parse(fs.readFileSync(path.join(schemaDir, file), 'utf8')) as Node;
    for (const [name, definition] of Object.entries(schema['definitions'] as Definitions)) {
      if (all[name] !== undefined) throw new Error(`${file}: ${name} is defined twice`);
      all[name] = mapNodes(definition, localReference);
    }
  }
  return all;
}

/** Files are replaced whole, so that a test that reads them while another builds sees either. */
function writeWhole(file: string, text: string): void {
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, text);
  fs.renameSync(temporary, file);
}

function localReference(node: Node): Node {
  const reference = node['$ref'];
  if (typeof reference !== 'string') return node;
  return { ...node, $ref: reference.slice(reference.indexOf('#')) };
}

/** Rebuilds a schema bottom-up, every object through `change`. */
function mapNodes(node: Node, change: (node: Node) => Node): Node {
  const rebuilt = Object.entries(node).map(([key, value]) => [key, mapValue(value, change)]);
  return change(Object.fromEntries(rebuilt) as Node);
}

function mapValue(value: unknown, change: (node: Node) => Node): unknown {
  if (Array.isArray(value)) return value.map((item) => mapValue(item, change));
  return typeof value === 'object' && value !== null ? mapNodes(value as Node, change) : value;
}

// --- types ---

async function typesOf(definitions: Definitions): Promise<string> {
  const named = mapNodes(definitions as Node, (node) => {
    const reference = node['$ref'];
    if (typeof reference !== 'string' || node['description'] === undefined) return node;
    // A description beside a reference would make the tool copy the type instead of naming it.
    return { description: node['description'], tsType: reference.replace('#/definitions/', '') };
  });
  const schema = { title: 'Spec', type: 'object', definitions: named } as unknown as JSONSchema;
  const text = await compile(schema, 'Spec', {
    additionalProperties: false,
    bannerComment: '// Generated by scripts/generate-spec.ts from schema/; edit those.\n',
    ignoreMinAndMaxItems: true,
    unreachableDefinitions: true,
  });
  const types = text
    .replace(/export interface Spec \{[^}]*\}\n*/, '')
    .replace(
      / \*\n \* This interface was referenced by `Spec`'s JSON-Schema\n \* via the `definition` "\w+"\.\n/g,
      '',
    );
  const names = Object.keys(DOCUMENTS);
  return `${types}\n${declarations([...COMMON, ...names.map((n) => `is${n}`), ...names.map((n) => `explain${n}`)])}`;
}

function declarations(functions: string[]): string {
  const problem = functions.some((name) => name.startsWith('explain'))
    ? [
        '/** One thing that is wrong with a document. */',
        'export interface Problem {',
        '  /** Where, as `mounts[3].options`; empty for the document itself. */',
        '  readonly path: string;',
        '  /** Why, as `must be a string`. */',
        '  readonly reason: string;',
        '}',
      ]
    : [];
  return `${[...problem, ...functions.map(declaration)].join('\n')}\n`;
}

function declaration(name: string): string {
  return name.startsWith('is')
    ? `export function ${name}(value: unknown): boolean;`
    : `export function ${name}(value: unknown): Problem[];`;
}

// --- validators ---

/**
 * Yes-or-no validators. ajv would build an error object at every exit; those are taken out of its
 * code here, which leaves a quarter of it. That can only be done because the code stops at the
 * first error and has no `anyOf` or `not`; should ajv write anything this does not know, a name
 * is left over and the build fails.
 */
function commonValidators(definitions: Definitions): string {
  const code = validatorCode(withoutRare(definitions), { isCommonConfig: 'Config' }, false);
  const lean = code
    .replace(/^const schema\d+ = .*;$/gm, '')
    .replace(/validate\d+\.errors = \[\{.*\}\];\nreturn false;/g, 'return false;')
    .replace(
      /if\(!\((validate\d+)\((.+?), \{instancePath.*\}\)\)\)\{\nvErrors = .*\nerrors = vErrors\.length;\n\}/g,
      'if(!$1($2)) return false;',
    )
    .replace(/validate\d+\.errors = vErrors;\nreturn errors === 0;/g, 'return true;')
    .replace(/, \{instancePath="", parentData, parentDataProperty, rootData=data\}=\{\}/g, '')
    .replace(/let vErrors = null;\nlet errors = 0;\n/g, '')
    .replace(/const _errs\d+ = errors;\n/g, '')
    .replace(/_errs\d+ === errors|errors === _errs\d+|errors === 0/g, 'true')
    .replace(/var valid\d+ = (true;\n|false;\n(?=return false;))/g, '')
    .replace(/if\(!valid\d+\)\{\nbreak;\n\}\n/g, '')
    .replace(/if\(valid\d+\)\{/g, 'if(true){')
    .replace(/let missing\d+;\n/g, '')
    .replace(/ && \(missing\d+ = "\w+"\)/g, '');
  const rest = lean.match(/.*\b(errors|_errs\d+|vErrors|valid\d+|missing\d+|instancePath)\b.*/);
  if (rest !== null) throw new Error(`ajv wrote something unknown: ${rest[0]}`);
  // A process is what a configuration with nothing else has: its own copy would be 1 KB.
  const isProcess = `exports.isCommonProcess = (process) =>
    process !== undefined && exports.isCommonConfig({ ociVersion: '', process });`;
  return transformSync([compact(lean), isProcess].join('\n'), {
    minify: true,
    target: 'node26',
    format: 'cjs',
  }).code;
}

/** What ajv writes out each time becomes a call. */
function compact(code: string): string {
  const helpers = [
    'const isObject = (it) => it && typeof it == "object" && !Array.isArray(it);',
    'const isEach = (it, test) => Array.isArray(it) && it.findIndex((item) => !test(item)) < 0;',
    'const isType = (it, type) => it === undefined || typeof it === type;',
    'const isGiven = (it, test) => it === undefined || test(it);',
  ];
  const short = code
    .replace(/(data\d*) && typeof \1 == "object" && !Array\.isArray\(\1\)/g, 'isObject($1)')
    .replace(
      /if\(Array\.isArray\((\w+)\)\)\{\nconst len\d+ = .*;\nfor\(.*\)\{\nif\(!(validate\d+)\(\1\[i\d+\]\)\) return false;\n\}\n\}\nelse \{\nreturn false;\n\}/g,
      'if(!isEach($1, $2)) return false;',
    )
    .replace(
      /if\((data\.\w+) !== undefined\)\{\nif\(typeof \1 !== ("\w+")\)\{\nreturn false;\n\}\n\}/g,
      'if(!isType($1, $2)){\nreturn false;\n}',
    )
    .replace(
      /if\((data\.\w+) !== undefined\)\{\nif\(!(validate\d+)\(\1\)\) return false;\n\}/g,
      'if(!isGiven($1, $2)){\nreturn false;\n}',
    );
  return [...helpers, short].join('\n');
}

/** The definitions with `false` for what the small validators refuse unseen. */
function withoutRare(definitions: Definitions): Definitions {
  const common = { ...definitions };
  for (const [name, rare] of Object.entries(RARE)) {
    const definition = definitions[name]!;
    const properties = { ...(definition['properties'] as Node) };
    for (const property of rare) {
      if (properties[property] === undefined) throw new Error(`${name} has no ${property}`);
      properties[property] = false;
    }
    common[name] = { ...definition, properties };
  }
  return common;
}

/** The complete validators and what turns ajv's errors into paths and reasons, as one file. */
function explainers(definitions: Definitions): string {
  const checks = Object.entries(DOCUMENTS).map(([name, definition]) => [
    `check${name}`,
    definition,
  ]);
  const code = validatorCode(definitions, Object.fromEntries(checks), true);
  const contents = [
    `import { problemsOf } from './src/problems.ts';`,
    code.replace(/^exports\.(check\w+) = /gm, 'const $1 = '),
    ...Object.keys(DOCUMENTS).flatMap((name) => [
      `export const is${name} = (value) => check${name}(value);`,
      `export const explain${name} = (value) => problemsOf(check${name}, value);`,
    ]),
  ].join('\n');
  const result = buildSync({
    stdin: { contents, resolveDir: packageDir, loader: 'ts' },
    bundle: true,
    write: false,
    minify: true,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
  });
  return result.outputFiles[0]!.text;
}

/** The common documents are recognised by the small file; the other is loaded when it is needed. */
function indexModule(): string {
  const names = Object.keys(DOCUMENTS).flatMap((name) => [`is${name}`, `explain${name}`]);
  return [
    `'use strict';`,
    `const { isCommonConfig, isCommonProcess } = require('./is-common.cjs');`,
    'exports.isCommonConfig = isCommonConfig;',
    'exports.isCommonProcess = isCommonProcess;',
    ...names.map((name) => {
      const complete = `require('./explain.cjs').${name}(value)`;
      const common = COMMON.includes(`isCommon${name.slice(2)}`) && name.startsWith('is');
      return `exports.${name} = (value) => ${common ? `isCommon${name.slice(2)}(value) || ` : ''}${complete};`;
    }),
    '',
  ].join('\n');
}

function validatorCode(
  definitions: Definitions,
  exported: { [name: string]: string },
  allErrors: boolean,
): string {
  const bare = mapNodes(definitions as Node, (node) => {
    const { description: _description, tsType: _tsType, ...rest } = node;
    return typeof rest['$ref'] === 'string' ? { $ref: rest['$ref'] } : exactIntegers(rest);
  });
  const ajv = new Ajv({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    allErrors,
    messages: false,
    inlineRefs: false,
    code: { source: true, lines: true, optimize: 2 },
    keywords: [rangeKeyword],
  });
  ajv.addSchema({ $id: 'spec', definitions: bare });
  const references = Object.entries(exported).map(([name, definition]) => [
    name,
    `spec#/definitions/${definition}`,
  ]);
  return standaloneCode(ajv, Object.fromEntries(references));
}

/** `{ type: integer, minimum, maximum }` becomes `{ range: [minimum, maximum] }`. */
function exactIntegers(node: Node): Node {
  if (node['type'] !== 'integer') return node;
  const { type: _type, minimum, maximum, ...rest } = node;
  return { ...rest, range: [exactBound(minimum), exactBound(maximum)] };
}

/** JSON.parse rounded the upper bounds of 64 bits to the power of two above them. */
function exactBound(bound: unknown): string | null {
  if (bound === undefined) return null;
  const value = BigInt(bound as number);
  return String(value > 2n ** 53n ? value - 1n : value);
}

const rangeKeyword: CodeKeywordDefinition = {
  keyword: 'range',
  schemaType: 'array',
  error: { message: 'must be in range', params: ({ schemaValue }) => _`{range: ${schemaValue}}` },
  code(cxt: KeywordCxt) {
    const { data } = cxt;
    const [minimum, maximum] = cxt.schema as [string | null, string | null];
    // A number beyond 2^53 is a 64-bit integer someone let JSON.parse round: judged as it is.
    const outside = (suffix: string) =>
      [
        minimum === null ? '' : `<${minimum}${suffix}`,
        maximum === null ? '' : `>${maximum}${suffix}`,
      ]
        .filter((test) => test !== '')
        .map((test) => _`${data} ${new _Code(test)}`);
    const any = (tests: Code[]) => tests.reduce((all, test) => _`${all} || ${test}`, _`false`);
    cxt.fail(
      _`typeof ${data} == "bigint" ? ${any(outside('n'))} : !Number.isInteger(${data}) || ${any(outside(''))}`,
    );
  },
};

if (import.meta.main) {
  for (const { file, bytes } of await generateSpec()) {
    console.log(`${String(bytes).padStart(7)} ${path.relative(repository, file)}`);
  }
}
