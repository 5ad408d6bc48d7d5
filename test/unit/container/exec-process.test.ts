/** The process of an exec: the container's with the flags over it, or a document. */

import type { Config, Process } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import {
  type ExecOptions,
  execProcess,
  parseUser,
} from '../../../src/libcontainer/container/exec-process.ts';

const own: Process = {
  cwd: '/srv',
  args: ['own'],
  env: ['A=1'],
  terminal: true,
  user: { uid: 5, gid: 6, umask: 0o27, additionalGids: [7] },
  rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }],
  capabilities: { bounding: ['CAP_KILL'], inheritable: ['CAP_CHOWN'], ambient: ['CAP_KILL'] },
};

function exec(options: Partial<ExecOptions>, process: Process = own): Process {
  const config = { ociVersion: '1.3.0', process } as Config;
  return execProcess(config, {
    id: 'c1',
    args: ['sh'],
    env: [],
    tty: false,
    additionalGids: [],
    detach: false,
    noNewPrivileges: false,
    capabilities: [],
    preserveFds: 0,
    ignorePaused: false,
    ...options,
  });
}

describe('by flags', () => {
  test('what is not named stays the container’s, but for terminal', () => {
    expect(exec({})).toEqual({ ...own, args: ['sh'], terminal: false, noNewPrivileges: false });
  });

  test('env is added, cwd, terminal and no new privileges are replaced', () => {
    const got = exec({ env: ['B=2', 'A=3'], cwd: '/x', tty: true, noNewPrivileges: true });
    expect(got).toMatchObject({
      env: ['A=1', 'B=2', 'A=3'],
      cwd: '/x',
      terminal: true,
      noNewPrivileges: true,
    });
    expect(exec({}, { ...own, noNewPrivileges: true }).noNewPrivileges).toBe(true);
  });

  test('the user keeps umask and groups; further groups are added', () => {
    const user = { umask: 0o27, additionalGids: [7, 8] };
    expect(exec({ user: '9', additionalGids: [8] }).user).toEqual({ uid: 9, gid: 6, ...user });
    expect(exec({ user: '9:10', additionalGids: [8] }).user).toEqual({ uid: 9, gid: 10, ...user });
  });

  test('capabilities are added, ambient only where they are inheritable, inheritable never', () => {
    expect(exec({ capabilities: ['CAP_CHOWN', 'CAP_BPF'] }).capabilities).toEqual({
      bounding: ['CAP_KILL', 'CAP_CHOWN', 'CAP_BPF'],
      effective: ['CAP_CHOWN', 'CAP_BPF'],
      permitted: ['CAP_CHOWN', 'CAP_BPF'],
      inheritable: ['CAP_CHOWN'],
      ambient: ['CAP_KILL', 'CAP_CHOWN'],
    });
    const { capabilities: _, ...without } = own;
    expect(exec({}, without)).not.toHaveProperty('capabilities');
  });

  test.each<[Partial<ExecOptions>, string]>([
    [{ cwd: 'relative' }, 'process.cwd relative: Cwd must be an absolute path'],
    [{ capabilities: ['CAP_NO'] }, '--cap: unknown capability "CAP_NO"'],
    [{ capabilities: ['constructor'] }, '--cap: unknown capability "constructor"'],
    [{ apparmor: 'p' }, '--apparmor p: not supported yet'],
    [{ processLabel: 'l' }, '--process-label l: not supported yet'],
  ])('%j is refused', (options, expected) => {
    expect(() => exec(options)).toThrow(expected);
  });
});

test('a document is the process, but for what it leaves out of the container’s confinement', () => {
  const document: Process = { cwd: '/', args: ['x'], env: [], user: { uid: 1, gid: 2 } };
  expect(exec({ process: document, env: ['B=2'], tty: true })).toEqual({
    ...document,
    user: { uid: 1, gid: 2, umask: 0o27 },
    capabilities: own.capabilities,
  });
  const capabilities = { bounding: [] };
  expect(exec({ process: { ...document, capabilities } }).capabilities).toEqual(capabilities);
});

describe('UID[:GID]', () => {
  test.each([
    ['0', 0, undefined],
    ['1001', 1001, undefined],
    ['1:', undefined, undefined],
    [':1', undefined, undefined],
    ['1:2', 1, 2],
    ['4294967294:4294967294', 4294967294, 4294967294],
    ['4294967295', undefined, undefined],
    ['1:4294967295', undefined, undefined],
    ['4294967296', undefined, undefined],
    ['18446744073709551616', undefined, undefined],
    ['-1', undefined, undefined],
    ['+1', undefined, undefined],
    ['0x1', undefined, undefined],
    ['1e3', undefined, undefined],
    ['1.5', undefined, undefined],
    [' 1', undefined, undefined],
    ['1\n', undefined, undefined],
    ['root', undefined, undefined],
    ['', undefined, undefined],
    ['1:2:3', undefined, undefined],
  ])('%j', (given, uid, gid) => {
    // without a group the container's stays, as in runc
    if (uid !== undefined) expect(parseUser(given)).toEqual({ uid, gid });
    else expect(() => parseUser(given)).toThrow(/not UID\[:GID\]/);
  });
});
