/** `org.systemd.property.*` annotations (runtime-cli.md §6.2, security.md CVE-2024-3154). */

import { expect, test } from 'vitest';
import { annotationProperties } from '../../../src/libcontainer/cgroups/systemd-annotations.ts';

const read = (name: string, text: string) =>
  annotationProperties({ [`org.systemd.property.${name}`]: text });

test('annotations of others are none', () => {
  expect(annotationProperties(undefined)).toEqual([]);
  expect(annotationProperties({ 'org.systemd.propertyX': '1', a: 'b' })).toEqual([]);
});

test.each([
  [
    'TimeoutStopUSec',
    'uint64 5000000',
    { name: 'TimeoutStopUSec', signature: 't', value: 5000000n },
  ],
  ['TimeoutStopSec', '5', { name: 'TimeoutStopUSec', signature: 't', value: 5000000n }],
  ['TimeoutStopSec', 'uint64 5', { name: 'TimeoutStopUSec', signature: 't', value: 5000000n }],
  ['TimeoutStopSec', 'int32 5', { name: 'TimeoutStopUSec', signature: 't', value: 5000000n }],
  ['TimeoutStopSec', '1.5', { name: 'TimeoutStopUSec', signature: 't', value: 1500000n }],
  ['RuntimeMaxSec', 'byte 2', { name: 'RuntimeMaxUSec', signature: 't', value: 2000000n }],
  [
    'CollectMode',
    "'inactive-or-failed'",
    { name: 'CollectMode', signature: 's', value: 'inactive-or-failed' },
  ],
  ['DefaultDependencies', 'true', { name: 'DefaultDependencies', signature: 'b', value: true }],
  ['After', "['crio.service']", { name: 'After', signature: 'as', value: ['crio.service'] }],
  ['KillSignal', '15', { name: 'KillSignal', signature: 'i', value: 15n }],
])('%s %s', (name, text, property) => {
  expect(read(name, text)).toEqual([property]);
});

test.each([
  'ExecStartPre',
  'ExecStart',
  'ExecStopPost',
  'FailureAction',
  'SuccessAction',
  'Wants',
  'Requires',
  'BindsTo',
  'Conflicts',
  'OnFailure',
  'PropagatesStopTo',
  'Slice',
  'PIDs',
  'Delegate',
  'DevicePolicy',
  'DeviceAllow',
  'BPFProgram',
  'IPIngressFilterPath',
  'User',
  'RequiresMountsFor',
  'constructor',
  'toString',
])('%s is refused by name', (name) => {
  expect(() => read(name, "'x'")).toThrow(
    `annotations["org.systemd.property.${name}"] ${name}: not one of the properties that a container may set`,
  );
});

test.each(['', 'AB', 'Memory-Max', 'Memory.Max', 'Mémoire', 'A B C', '__proto__'])(
  '%j is no name of a property',
  (name) => {
    expect(() => read(name, '1')).toThrow('not a property name: three or more letters');
  },
);

test.each([
  ['TimeoutStopUSec', "'5'", 'expected a whole number'],
  ['TimeoutStopUSec', 'int32 5', 'expected a value of type t'],
  ['TimeoutStopSec', '-5', 'out of range'],
  ['TimeoutStopSec', '18446744073709551615', 'out of range'],
  ['TimeoutStopSec', '1e300', 'out of range'],
  ['TimeoutStopSec', "'5s'", 'expected a number'],
  ['After', "'crio.service'", 'expected "["'],
])('%s %s is refused: %s', (name, text, reason) => {
  expect(() => read(name, text)).toThrow(reason);
});

test('only a name that ends in Sec after a small letter counts seconds', () => {
  expect(read('CPUQuotaPerSecUSec', '1')).toMatchObject([{ value: 1n }]);
  expect(() => read('CPUQuotaPerSec', '1')).toThrow('not one of the properties');
});
