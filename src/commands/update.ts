/**
 * `update [FLAGS] ID`: other limits for a container (reference/runtime-cli.md §1.8). A document of
 * `--resources` replaces the flags, as in runc.
 */

import fs from 'node:fs';
import type { LinuxResources } from '@opencontainers-ts/spec';
import type { CommandLine, Values } from '../argv.ts';
import { RuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { updateContainer } from '../libcontainer/container/update.ts';
import { JSON_BYTES_MAX, stringifyJson } from '../oci/json.ts';
import { parseResources } from '../oci/resources-document.ts';
import { absolutePath } from './path.ts';

/** Flags by the field that they are. */
const INTEGERS = [
  ['blkio-weight', 'blockIO', 'weight'],
  ['cpu-period', 'cpu', 'period'],
  ['cpu-quota', 'cpu', 'quota'],
  ['cpu-burst', 'cpu', 'burst'],
  ['cpu-share', 'cpu', 'shares'],
  ['cpu-rt-period', 'cpu', 'realtimePeriod'],
  ['cpu-rt-runtime', 'cpu', 'realtimeRuntime'],
  ['cpu-idle', 'cpu', 'idle'],
  ['pids-limit', 'pids', 'limit'],
] as const;

const TEXTS = [
  ['cpuset-cpus', 'cpu', 'cpus'],
  ['cpuset-mems', 'cpu', 'mems'],
] as const;

const SIZES = [
  ['memory', 'memory', 'limit'],
  ['memory-reservation', 'memory', 'reservation'],
  ['memory-swap', 'memory', 'swap'],
] as const;

/** Linux 5.16 and later have no limit of kernel memory; runc takes the flags and warns. */
const IGNORED = ['kernel-memory', 'kernel-memory-tcp'];

export function update(context: Context, line: CommandLine): Promise<undefined> {
  const { flags } = line;
  for (const name of IGNORED) {
    if (flags.has(name))
      context.log.warn(`--${name}: no kernel has this limit any more, it is ignored`);
  }
  const { resources, warnings, debug } = readResources(context, flags);
  for (const warning of warnings) context.log.warn(warning);
  for (const text of debug) context.log.debug(text);
  if (resources.devices !== undefined)
    context.log.debug('devices: an update leaves them as they are');
  const schemas = {
    l3CacheSchema: flags.text('l3-cache-schema') ?? '',
    memBwSchema: flags.text('mem-bw-schema') ?? '',
  };
  return updateContainer(context, line.args[0]!, resources, schemas);
}

function readResources(context: Context, flags: Values): ReturnType<typeof parseResources> {
  const file = flags.text('resources');
  if (file === undefined) return parseResources(stringifyJson(resourcesOf(flags)), 'flags');
  const unused = [...INTEGERS, ...TEXTS, ...SIZES].filter(([name]) => flags.has(name));
  for (const [name] of unused) context.log.warn(`--${name}: is ignored beside --resources`);
  if (file === '-') return parseResources(readAll(0, 'standard input'), 'standard input');
  const path = absolutePath(file, context.cwd);
  return parseResources(readAll(path, path), path);
}

function readAll(file: string | number, target: string): Uint8Array {
  try {
    const bytes = fs.readFileSync(file);
    if (bytes.length <= JSON_BYTES_MAX) return bytes;
  } catch (thrown) {
    const errno = Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
    const fields = { operation: 'read resources', target, errno, cause: thrown };
    throw new RuncellError({ code: 'usage', ...fields });
  }
  throw new RuncellError({ code: 'usage', target, reason: 'is larger than 16 MiB' });
}

/** The object that the flags stand for. */
export function resourcesOf(flags: Values): LinuxResources {
  const parts: { [part: string]: { [field: string]: unknown } } = {};
  const put = (part: string, field: string, value: unknown): void => {
    parts[part] = { ...parts[part], [field]: value };
  };
  const each = (
    rows: readonly (readonly [string, string, string])[],
    read: (name: string, text: string) => unknown,
  ): void => {
    for (const [name, part, field] of rows) {
      const text = flags.text(name);
      if (text !== undefined && text !== '') put(part, field, read(name, text));
    }
  };
  each(INTEGERS, integerOf);
  each(TEXTS, (_name, text) => text);
  each(SIZES, sizeOf);
  return parts as LinuxResources;
}

function integerOf(name: string, text: string): bigint {
  if (/^[+-]?[0-9]{1,20}$/.test(text)) return BigInt(text.replace(/^\+/, ''));
  throw invalid(name, text, 'it is no integer');
}

const UNITS = ['', 'k', 'm', 'g', 't', 'p'];

/** Bytes, or with k, m, g: powers of 1024; `-1` is no limit. As docker/go-units RAMInBytes. */
export function sizeOf(name: string, text: string): bigint {
  if (text === '-1') return -1n;
  const match = /^([0-9]+)(?:\.([0-9]+))? ?([kmgtp]?)i?b?$/i.exec(text);
  if (match === null) throw invalid(name, text, 'it is no size as 512m');
  const [, whole = '', fraction = '', unit = ''] = match;
  const scale = 1024n ** BigInt(UNITS.indexOf(unit.toLowerCase()));
  const digits = 10n ** BigInt(fraction.length);
  return (BigInt(whole + fraction) * scale) / digits;
}

function invalid(name: string, text: string, why: string): RuncellError {
  const reason = `invalid value for ${name}: ${JSON.stringify(text)}, ${why}`;
  return new RuncellError({ code: 'usage', reason });
}
