/**
 * What `state` and `list` print: runtime-cli.md §2, runtime-spec 1.3 runtime.md#state.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { pauseReaping } from '../helpers/reaper.ts';
import { isRuncell } from '../helpers/runtime.ts';

const KEYS = ['ociVersion', 'id', 'pid', 'status', 'bundle', 'rootfs', 'created'];
const RFC3339_NS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z$/;

describe('state', () => {
  check("prints runc's keys in runc's order with an indent of two", async (box) => {
    const { id, bundle, pid } = await box.create(box.bundle(['sleep', '100']));
    const { stdout } = await box.verb(['state', id]);
    const state = JSON.parse(stdout) as Record<string, unknown>;
    expect(Object.keys(state)).toEqual([...KEYS, 'owner']);
    expect(stdout).toBe(JSON.stringify(state, null, 2));
    expect(state).toMatchObject({
      id,
      pid,
      status: 'created',
      bundle: bundle.dir,
      rootfs: bundle.rootfs,
      owner: '',
    });
    expect(state['created']).toMatch(RFC3339_NS);
    const age = Date.now() - Date.parse(state['created'] as string);
    expect(age).toBeGreaterThan(-2000);
    expect(age).toBeLessThan(60_000);
  });

  check("ociVersion is the runtime's own", async (box) => {
    const container = await box.create(box.bundle(['sleep', '100']));
    const { ociVersion } = await box.state(container.id);
    expect(ociVersion).toBe(isRuncell ? '1.3.0' : '1.0.2-dev');
  });

  check('repeats the annotations of the configuration', async (box) => {
    const annotations = { 'org.example.a': 'one', 'org.example.b': 'quoted "two" \\ ünïcode' };
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.annotations = annotations;
    });
    const { id } = await box.create(bundle);
    expect((await box.state(id))['annotations']).toEqual(annotations);
  });

  check('created does not change with the status', async (box) => {
    const { id, pid } = await box.create(box.bundle(['sleep', '100']));
    const { created } = await box.state(id);
    await box.silent(['start', id]);
    expect((await box.state(id))['created']).toBe(created);
    process.kill(pid, 'SIGKILL');
    await box.until(id, 'stopped');
    expect((await box.state(id))['created']).toBe(created);
  });

  check('tells a stopped container while its init is a zombie', async (box) => {
    pauseReaping();
    const { id, pid } = await box.start(box.bundle(['true']));
    await box.until(id, 'stopped');
    // Nobody has reaped it: this process is the subreaper and does not wait.
    expect(() => process.kill(pid, 0)).not.toThrow();
    expect(await box.status(id)).toBe('stopped');
  });
});

describe('list', () => {
  check('prints a table with the columns of runc, twelve wide and three apart', async (box) => {
    const { id, pid, bundle } = await box.start(box.bundle(['sleep', '100']));
    const { status, stdout, stderr } = await box.verb(['list']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines).toHaveLength(3);
    const { created } = await box.state(id);
    const cells = [id, String(pid), 'running', bundle.dir, created as string, 'root'];
    const titles = ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'];
    const padded = (row: string[]) =>
      row
        .map((cell, column) => {
          const widest = Math.max(titles[column]!.length, cells[column]!.length);
          return column === 5 ? cell : cell.padEnd(Math.max(12, widest + 3));
        })
        .join('');
    expect(lines[0]).toBe(padded(titles));
    expect(lines[1]).toBe(padded(cells));
  });

  check('prints one JSON line of the same objects with the owner', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100']));
    const second = await box.create(box.bundle(['sleep', '100']));
    const { stdout } = await box.verb(['list', '--format', 'json']);
    expect(stdout).toMatch(/^\[[^\n]*\]\n$/);
    const list = JSON.parse(stdout) as Record<string, unknown>[];
    const wanted = [];
    for (const { id } of [first, second]) wanted.push({ ...(await box.state(id)), owner: 'root' });
    const byId = (a: Record<string, unknown>, b: Record<string, unknown>) =>
      String(a['id']).localeCompare(String(b['id']));
    expect(list.sort(byId)).toEqual(wanted.sort(byId));
    expect(Object.keys(list[0]!)).toEqual([...KEYS, 'owner']);
  });

  check('-q prints ids only, a line each', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100']));
    const second = await box.create(box.bundle(['sleep', '100']));
    for (const flags of [['-q'], ['--quiet'], ['-q', '--format', 'json']]) {
      const { stdout, stderr } = await box.verb(['list', ...flags]);
      expect(stdout.trimEnd().split('\n').sort()).toEqual([first.id, second.id].sort());
      expect(stderr).toBe('');
    }
  });

  check('shows stopped containers with pid 0', async (box) => {
    const { id } = await box.start(box.bundle(['true']));
    await box.until(id, 'stopped');
    const { stdout } = await box.verb(['list', '-f', 'json']);
    expect(JSON.parse(stdout)).toMatchObject([{ id, pid: 0, status: 'stopped' }]);
  });

  check('of an empty root prints a header, null in JSON', async (box) => {
    const { id } = await box.create(box.bundle(['true']));
    await box.silent(['delete', id]);
    expect((await box.verb(['list'])).stdout).toMatch(
      /^ID +PID +STATUS +BUNDLE +CREATED +OWNER\n$/,
    );
    expect((await box.verb(['list', '--format', 'json'])).stdout).toBe('null\n');
  });

  check('skips an entry that does not load and says so on stderr', async (box) => {
    const good = await box.create(box.bundle(['sleep', '100']));
    const bad = await box.create(box.bundle(['sleep', '100']));
    const file = `${box.stateDir(bad.id)}/state.json`;
    const whole = readFileSync(file);
    writeFileSync(file, '{"id":');
    const { status, stdout, stderr } = await box.verb(['list', '-q']);
    expect(status).toBe(0);
    expect(stdout.trimEnd()).toBe(good.id);
    expect(stderr).toContain(bad.id);
    writeFileSync(file, whole);
  });

  check('refuses another format', async (box) => {
    await box.create(box.bundle(['sleep', '100']));
    expect(refusal(await box.verb(['list', '--format', 'yaml']))).toMatch(/format/);
  });
});
