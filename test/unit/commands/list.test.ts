/**
 * The tables and JSON of `list` and `container list`.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { containerJson, containerTable, localTime } from '../../../src/commands/container/list.ts';
import { listJson, listTable } from '../../../src/commands/list.ts';
import type { ContainerView } from '../../../src/libcontainer/container/status.ts';

const VIEW: ContainerView = {
  id: 'test',
  pid: 12345,
  status: 'running',
  bundle: '/tmp/runcell/bundles/test',
  rootfs: '/tmp/runcell/containers/test/rootfs',
  createdAt: '2025-12-20T10:30:00.123456789Z',
  ociVersion: '1.3.0',
  owner: 'root',
};

const zone = process.env['TZ'];
beforeEach(() => {
  process.env['TZ'] = 'UTC';
});
afterEach(() => {
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

describe('list', () => {
  test('empty table is the header, twelve wide columns', () => {
    expect(listTable([])).toBe(
      'ID          PID         STATUS      BUNDLE      CREATED     OWNER\n',
    );
  });

  test('a column grows with its widest cell and three spaces', () => {
    expect(
      listTable([VIEW, { ...VIEW, id: 'a-much-longer-name', pid: 0, status: 'stopped' }]),
    ).toBe(
      [
        'ID                   PID         STATUS      BUNDLE                      CREATED                          OWNER',
        'test                 12345       running     /tmp/runcell/bundles/test   2025-12-20T10:30:00.123456789Z   root',
        'a-much-longer-name   0           stopped     /tmp/runcell/bundles/test   2025-12-20T10:30:00.123456789Z   root',
        '',
      ].join('\n'),
    );
  });

  test('empty json is null', () => {
    expect(listJson([])).toBe('null\n');
  });

  test('json is one line with keys in the order of runc', () => {
    const text = listJson([{ ...VIEW, annotations: { k: 'v' } }]);
    expect(text).toBe(
      '[{"ociVersion":"1.3.0","id":"test","pid":12345,"status":"running",' +
        '"bundle":"/tmp/runcell/bundles/test","rootfs":"/tmp/runcell/containers/test/rootfs",' +
        '"created":"2025-12-20T10:30:00.123456789Z","annotations":{"k":"v"},"owner":"root"}]\n',
    );
  });
});

describe('container list', () => {
  test('the table is that of the usage document', () => {
    const stopped: ContainerView = {
      ...VIEW,
      id: 'mycontainer',
      pid: 0,
      status: 'stopped',
      createdAt: '2025-12-20T09:00:00Z',
      rootfs: '/tmp/runcell/containers/mycontainer/rootfs',
    };
    expect(containerTable([VIEW, stopped])).toBe(
      [
        'CONTAINER ID         PID      STATUS     CREATED              ROOTFS',
        'test                 12345    Running    2025-12-20 10:30:00  /tmp/runcell/containers/test/rootfs',
        'mycontainer          0        Stopped    2025-12-20 09:00:00  /tmp/runcell/containers/mycontainer/rootfs',
        '',
      ].join('\n'),
    );
  });

  test('the empty table is its header', () => {
    expect(containerTable([])).toBe(
      'CONTAINER ID         PID      STATUS     CREATED              ROOTFS\n',
    );
  });

  test('a name that is too long keeps its space', () => {
    const id = 'x'.repeat(30);
    expect(containerTable([{ ...VIEW, id }])).toContain(`\n${id} 12345    Running    2025`);
  });

  test('json is an array of objects', () => {
    expect(JSON.parse(containerJson([VIEW]))).toEqual([
      {
        id: 'test',
        pid: 12345,
        status: 'Running',
        created: '2025-12-20T10:30:00.123456789Z',
        rootfs: '/tmp/runcell/containers/test/rootfs',
        bundle: '/tmp/runcell/bundles/test',
      },
    ]);
    expect(containerJson([])).toBe('[]\n');
  });

  test('time is local', () => {
    process.env['TZ'] = 'Asia/Shanghai';
    expect(localTime('2025-12-20T20:30:00Z')).toBe('2025-12-21 04:30:00');
  });
});
