/** The state document: runc's keys in runc's order, and what hooks read. */

import { isState } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { stringifyJson } from '../../../src/oci/json.ts';
import { hookState, stateDocument } from '../../../src/oci/state.ts';

const view = {
  owner: '',
  created: '2026-01-02T03:04:05.123456789Z',
  rootfs: '/b/rootfs',
  bundle: '/b',
  status: 'running',
  pid: 4422,
  id: 'c1',
} as const;

describe('stateDocument', () => {
  test('has the keys of runc in its order', () => {
    expect(stringifyJson(stateDocument({ ...view, annotations: { k: 'v' } }), 2)).toBe(
      [
        '{',
        '  "ociVersion": "1.3.0",',
        '  "id": "c1",',
        '  "pid": 4422,',
        '  "status": "running",',
        '  "bundle": "/b",',
        '  "rootfs": "/b/rootfs",',
        '  "created": "2026-01-02T03:04:05.123456789Z",',
        '  "annotations": {',
        '    "k": "v"',
        '  },',
        '  "owner": ""',
        '}',
      ].join('\n'),
    );
  });

  test.each([undefined, {}])('has no annotations for %j', (annotations) => {
    expect(stateDocument({ ...view, annotations })).not.toHaveProperty('annotations');
  });

  test('keeps pid 0 of a stopped container', () => {
    expect(stateDocument({ ...view, pid: 0, status: 'stopped' }).pid).toBe(0);
  });

  test.each(['creating', 'created', 'running', 'stopped'] as const)('%s is valid', (status) => {
    expect(isState(stateDocument({ ...view, status }))).toBe(true);
  });
});

describe('hookState', () => {
  const input = { id: 'c1', status: 'creating', pid: 7, bundle: '/b' } as const;

  test('is compact, in the order of the specification', () => {
    expect(hookState({ ...input, annotations: { 'a.b': '"' } })).toBe(
      '{"ociVersion":"1.3.0","id":"c1","status":"creating","pid":7,"bundle":"/b","annotations":{"a.b":"\\""}}',
    );
  });

  test.each([0, undefined])('has no pid for %j', (pid) => {
    const text = hookState({ ...input, status: 'stopped', pid });
    expect(text).toBe('{"ociVersion":"1.3.0","id":"c1","status":"stopped","bundle":"/b"}');
    expect(isState(JSON.parse(text))).toBe(true);
  });
});
