/**
 * The lines of a resctrl schemata file, `L3:0=ff;1=c0`: put together from linux.intelRdt and compared
 * with what a class of service has (runtime-spec 1.3 config-linux.md#intelrdt). Pure.
 */

import type { LinuxIntelRdt } from '@opencontainers-ts/spec';

/** The parts of the configuration that are lines. */
export type Schemas = Pick<LinuxIntelRdt, 'l3CacheSchema' | 'memBwSchema' | 'schemata'>;

/**
 * The lines to write, in the order of the specification. Bandwidth lines among those of the cache
 * give way to memBwSchema.
 */
export function schemataLines({ l3CacheSchema, memBwSchema, schemata }: Schemas): string[] {
  const cache = lines(l3CacheSchema).filter((line) => !memBwSchema || !line.startsWith('MB:'));
  return [...cache, ...lines(memBwSchema), ...(schemata ?? [])].filter((line) => line !== '');
}

function lines(text: string | undefined): string[] {
  return (text ?? '').split('\n').map((line) => line.trim());
}

interface Schema {
  readonly resource: string;
  /** Value by the number of its domain. */
  readonly values: ReadonlyMap<string, string>;
}

/** Undefined: this is no line of a schemata file. */
export function parseSchema(line: string): Schema | undefined {
  const colon = line.indexOf(':');
  if (colon <= 0) return undefined;
  const resource = line.slice(0, colon).trim();
  const values = new Map<string, string>();
  for (const token of line.slice(colon + 1).split(';')) {
    if (token.trim() === '') continue;
    const [domain, value, ...more] = token.split('=').map((part) => part.trim());
    if (!domain || !value || more.length > 0) return undefined;
    values.set(domain, normal(resource, value));
  }
  return values.size === 0 ? undefined : { resource, values };
}

/** Masks are hexadecimal and may have zeros in front; bandwidths are decimal. */
function normal(resource: string, value: string): string {
  const isMask = !/^S?MBA?$/.test(resource);
  const digits = isMask ? /^[0-9a-f]+$/i : /^[0-9]+$/;
  if (!digits.test(value)) return value;
  return isMask ? BigInt(`0x${value}`).toString(16) : BigInt(value).toString();
}

/**
 * The first of the wanted lines that a schemata file does not say, undefined when it says them all.
 * What is not wanted may be anything: the file has a line for every resource of the machine.
 */
export function differingLine(wanted: readonly string[], file: string): string | undefined {
  const present = new Map<string, Schema>();
  for (const line of file.split('\n')) {
    const schema = parseSchema(line);
    if (schema !== undefined) present.set(schema.resource, schema);
  }
  return wanted.find((line) => {
    const schema = parseSchema(line);
    if (schema === undefined) return true;
    const values = present.get(schema.resource)?.values;
    return [...schema.values].some(([domain, value]) => values?.get(domain) !== value);
  });
}
