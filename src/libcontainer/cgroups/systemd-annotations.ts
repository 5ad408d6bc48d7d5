/**
 * `org.systemd.property.NAME` annotations: properties of the container's scope that its configuration
 * asks for, as GVariant text (runtime-cli.md §6.2; systemd.scope(5), systemd.resource-control(5)).
 *
 * Whoever may write annotations need not be who may tell systemd what to do (CVE-2024-3154: an
 * ExecStartPre of a pod ran as root on the host). So names and types come from a list: what orders,
 * describes, stops and limits this one scope. Not on it, and refused by name: what runs programs,
 * starts or stops other units (Wants=, Conflicts=, OnFailure=), acts on the host (FailureAction=),
 * or moves or takes away what the scope is for (Slice=, PIDs=, Delegate=, devices). Pure.
 */

import { RuncellError } from '../../error.ts';
import type { BusData, BusProperty } from '../native/bus-value.ts';
import { GvariantError, parseGvariant } from './gvariant.ts';

const PREFIX = 'org.systemd.property.';

/** What an annotation may set, with its type in D-Bus. */
const ALLOWED: Readonly<Record<string, string>> = {
  ...types('s', 'Description', 'KillMode', 'CollectMode', 'OOMPolicy'),
  ...types('s', 'ManagedOOMSwap', 'ManagedOOMMemoryPressure', 'ManagedOOMPreference'),
  ...types('as', 'Documentation', 'After', 'Before', 'PartOf'),
  ...types('b', 'DefaultDependencies', 'SendSIGKILL', 'SendSIGHUP'),
  ...types('b', 'CPUAccounting', 'MemoryAccounting', 'IOAccounting', 'TasksAccounting'),
  ...types('b', 'IPAccounting'),
  ...types('i', 'KillSignal', 'RestartKillSignal', 'FinalKillSignal'),
  ...types('u', 'ManagedOOMMemoryPressureLimit'),
  ...types('t', 'TimeoutStopUSec', 'RuntimeMaxUSec', 'RuntimeRandomizedExtraUSec'),
  ...types('t', 'CPUWeight', 'StartupCPUWeight', 'CPUQuotaPerSecUSec', 'CPUQuotaPeriodUSec'),
  ...types('t', 'MemoryMin', 'MemoryLow', 'MemoryHigh', 'MemoryMax'),
  ...types('t', 'MemorySwapMax', 'MemoryZSwapMax'),
  ...types('t', 'TasksMax', 'IOWeight', 'StartupIOWeight'),
  ...types('ay', 'AllowedCPUs', 'AllowedMemoryNodes'),
  ...types('a(st)', 'IODeviceWeight', 'IODeviceLatencyTargetUSec'),
  ...types('a(st)', 'IOReadBandwidthMax', 'IOWriteBandwidthMax', 'IOReadIOPSMax', 'IOWriteIOPSMax'),
};

function types(type: string, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, type]));
}

/** The properties in the order of the annotations. */
export function annotationProperties(
  annotations: Readonly<Record<string, string>> | undefined,
): BusProperty[] {
  const properties: BusProperty[] = [];
  for (const [key, text] of Object.entries(annotations ?? {})) {
    if (key.startsWith(PREFIX)) properties.push(property(key, text));
  }
  return properties;
}

function property(key: string, text: string): BusProperty {
  const given = key.slice(PREFIX.length);
  if (!/^[A-Za-z]{3,}$/.test(given)) {
    throw refusal(key, given, 'not a property name: three or more letters');
  }
  // What people write as seconds systemd takes on the bus as microseconds, under another name.
  const seconds = /[a-z]Sec$/.test(given);
  const name = seconds ? `${given.slice(0, -'Sec'.length)}USec` : given;
  const signature = Object.hasOwn(ALLOWED, name) ? ALLOWED[name]! : undefined;
  if (signature === undefined) {
    throw refusal(key, given, 'not one of the properties that a container may set');
  }
  try {
    const value = seconds ? microseconds(text) : parseGvariant(text, signature);
    return { name, signature, value };
  } catch (thrown) {
    if (!(thrown instanceof GvariantError)) throw thrown;
    throw refusal(key, text, thrown.message);
  }
}

const MICROSECONDS = 1_000_000n;
const UINT64_MAX = 0xffffffffffffffffn;

/** Whole seconds of any width, signed or not, or a fraction: all that times a million. */
function microseconds(text: string): BusData {
  for (const type of ['t', 'u', 'i', 'x', 'q', 'n', 'y'] as const) {
    const value = tryParse(text, type);
    if (value === undefined) continue;
    const product = BigInt(value as bigint) * MICROSECONDS;
    if (product < 0n || product > UINT64_MAX) throw new GvariantError('out of range');
    return product;
  }
  const fraction = parseGvariant(text, 'd') as number;
  if (!(fraction >= 0 && fraction < 1e13)) throw new GvariantError('out of range');
  return BigInt(Math.round(fraction * 1e6));
}

function tryParse(text: string, type: string): BusData | undefined {
  try {
    return parseGvariant(text, type);
  } catch (thrown) {
    if (thrown instanceof GvariantError) return undefined;
    throw thrown;
  }
}

function refusal(key: string, target: string, reason: string): RuncellError {
  return new RuncellError({
    code: 'config.value',
    specPath: `annotations["${key}"]`,
    target,
    reason,
  });
}
