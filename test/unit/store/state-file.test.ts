/** state.json: atomic writes, damage, foreign files. */

import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RuncellError } from '../../../src/error.ts';
import { mkfifo } from '../../../src/libcontainer/native/libc.ts';
import {
  loadConfigBytes,
  loadState,
  namespacePathsOf,
  type StateFile,
  writeConfig,
  writeState,
} from '../../../src/libcontainer/store/state-file.ts';
import { bundleScript, firstLine } from '../../helpers/bundle.ts';

let directory: string;
const asRoot = process.geteuid!() === 0;

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/runcell-state-`);
});
afterEach(() => rmSync(directory, { recursive: true }));

const idOf = () => directory.slice(directory.lastIndexOf('/') + 1);

function state(more: Partial<StateFile> = {}): StateFile {
  return {
    ...{ version: 1, id: idOf(), init_process_pid: 12345, init_process_start_time: 1734567890 },
    ...{ init_start_ticks: 4711, boot_id: 'b', status: 'Created', bundle: '/b', rootfs: '/b/r' },
    ...{ created: 1734567880, created_at: '2024-12-19T00:24:40.000000001Z', oci_version: '1.3.0' },
    ...{ namespace_paths: namespacePathsOf(12345), namespaces: ['pid'], cgroup_path: '/c' },
    ...{ owned: { bundle: '/b' }, rootless: false, systemd_cgroup: false, terminal: true },
    no_new_keyring: false,
    annotations: { k: 'v' },
    ...more,
  };
}

function problem(): RuncellError {
  try {
    loadState(directory);
  } catch (thrown) {
    return thrown as RuncellError;
  }
  return expect.unreachable();
}

describe('state.json', () => {
  it('is read as it was written, 0600, with nothing beside it', () => {
    writeState(directory, state());
    expect(loadState(directory)).toEqual(state());
    writeState(directory, state({ status: 'Running' }));
    expect(loadState(directory).status).toBe('Running');
    expect(statSync(`${directory}/state.json`).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(['state.json']);
  });

  it('has the keys of the usage document', () => {
    writeState(directory, state());
    const document = JSON.parse(readFileSync(`${directory}/state.json`, 'utf8'));
    expect(document).toMatchObject({
      ...{ id: idOf(), init_process_pid: 12345, init_process_start_time: 1734567890 },
      ...{ status: 'Created', bundle: '/b', rootfs: '/b/r', created: 1734567880 },
      namespace_paths: { mnt: '/proc/12345/ns/mnt', uts: '/proc/12345/ns/uts' },
    });
  });

  it('absent, means that there is no container', () => {
    expect(problem().code).toBe('state.missing');
    expect(problem().message).toBe(`${idOf()}: container does not exist`);
  });

  it('corrupt, is an error that names the file', () => {
    const path = `${directory}/state.json`;
    const cases: [string, string][] = [
      ['', 'not JSON'],
      ['{"version": 1', 'not JSON'],
      ['null', 'not an object'],
      ['{"version":2}', 'version 2, not 1'],
      [JSON.stringify({ ...state(), status: 1 }), 'status is no string'],
      [JSON.stringify({ ...state(), init_process_pid: 1.5 }), 'init_process_pid is no integer'],
      [JSON.stringify({ ...state(), owned: null }), 'owned is no object'],
      [JSON.stringify({ ...state(), id: 'other' }), 'the id is another'],
    ];
    for (const [text, reason] of cases) {
      writeFileSync(path, text, { mode: 0o600 });
      expect(problem().code, text).toBe('state.corrupt');
      expect(problem().message, text).toContain(`read state ${path}: ${reason} - `);
    }
  });

  it('is refused when others could have made it', () => {
    const path = `${directory}/state.json`;
    writeState(directory, state());
    chmodSync(path, 0o660);
    expect(problem().message).toContain('writable by other users');
    unlinkSync(path);
    writeFileSync(`${directory}/elsewhere`, JSON.stringify(state()));
    symlinkSync(`${directory}/elsewhere`, path);
    expect(problem().message).toContain('a symbolic link');
    unlinkSync(path);
    mkfifo(path, 0o600);
    expect(problem().message).toContain('not a regular file');
    unlinkSync(path);
    writeFileSync(path, '', { mode: 0o600 });
    truncateSync(path, (16 << 20) + 1);
    expect(problem().message).toContain('16777217 bytes');
  });

  it.runIf(asRoot)('is refused when it belongs to another user', () => {
    writeState(directory, state());
    chownSync(`${directory}/state.json`, 4321, 4321);
    expect(problem().message).toContain('owned by uid 4321');
  });

  it('is whole at every moment [writer killed again and again]', { timeout: 60_000 }, async () => {
    writeState(directory, state());
    const writer = bundleScript(`
      import { loadState, writeState } from './src/libcontainer/store/state-file.ts';
      import { writeSync } from 'node:fs';
      const directory = process.argv[2]!;
      const { annotations, ...state } = loadState(directory);
      writeSync(1, 'ready\\n');
      for (let n = 0; ; n++) {
        writeState(directory, { ...state, created: n, annotations: { k: String(n).repeat(20000) } });
      }
    `);
    let last = 0;
    for (let round = 0; round < 8; round++) {
      const child = writer.spawn([directory], { stdio: ['ignore', 'pipe', 'inherit'] });
      await firstLine(child);
      const ended = new Promise((done) => child.on('exit', done));
      const until = Date.now() + 20 + 7 * round;
      while (Date.now() < until) last = Math.max(last, loadState(directory).created);
      child.kill('SIGKILL');
      await ended;
      const { annotations, created } = loadState(directory);
      if (created !== state().created)
        expect(annotations!['k']).toBe(String(created).repeat(20000));
    }
    writer.remove();
    expect(last).toBeGreaterThan(0);
  });
});

describe('config.json of a container', () => {
  it('is kept byte for byte, and missed when it is not there', () => {
    expect(() => loadConfigBytes(directory)).toThrowError(`${directory}/config.json: missing`);
    const bytes = Buffer.from('{ "ociVersion" :\t"1.3.0" }\n');
    writeConfig(directory, bytes);
    expect(loadConfigBytes(directory)).toEqual(bytes);
    expect(statSync(`${directory}/config.json`).mode & 0o777).toBe(0o600);
  });
});
