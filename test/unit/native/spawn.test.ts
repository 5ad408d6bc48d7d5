/** posix_spawn: descriptors, signals, attributes. */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RuncellError } from '../../../src/error.ts';
import { openKoffi } from '../../../src/libcontainer/native/koffi.ts';
import { memfdCreate, reap } from '../../../src/libcontainer/native/libc.ts';
import {
  type Descriptor,
  SPAWN_ATTRIBUTES,
  type SpawnRequest,
  spawnProcess,
} from '../../../src/libcontainer/native/spawn.ts';

/** Runs the program with a memfd as its stdout and gives what it wrote. */
function output(request: Partial<SpawnRequest> & { args: string[] }, extra: Descriptor[] = []) {
  const out = memfdCreate('out');
  const pid = spawnProcess({
    path: '/bin/sh',
    env: [],
    descriptors: [{ from: out, to: 1 }, { from: 2, to: 2 }, ...extra],
    ...request,
  });
  const status = reap(pid);
  const text = readFileSync(`/proc/self/fd/${out}`, 'utf8');
  closeSync(out);
  return { status, text, pid };
}

const sh = (script: string) => ({ args: ['sh', '-c', script] });

describe('spawnProcess', () => {
  it('gives arguments, environment and exit status verbatim', () => {
    const ran = output({ ...sh('printf "%s|%s" "$A" "$1"; exit 7'), env: ['A=x y', 'B='] });
    expect(ran.text).toBe('x y|');
    expect(ran.status).toEqual({ exited: 7 });
    const args = output({ args: ['sh', '-c', 'printf "%s|" "$0" "$@"', 'n ame', '', 'é'] });
    expect(args.text).toBe('n ame||é|');
  });

  it('gives an environment in bytes as it is, whatever its encoding', () => {
    const env = Buffer.concat([Buffer.from('A=1\0B=\0C='), Buffer.of(0xff, 0xfe, 0)]);
    expect(output({ ...sh('printf "%s" "$C" | od -An -tx1; echo $A'), env }).text).toBe(
      ' ff fe\n1\n',
    );
  });

  it('reports the signal that ended the child', () => {
    expect(output(sh('kill -9 $$')).status).toEqual({ signal: 9 });
  });

  it('starts with every signal at its default and none blocked, 32 and 33 too', () => {
    const { text } = output(sh('exec cat /proc/self/status'));
    expect(text).toMatch(/SigBlk:\s0{16}\n/);
    expect(text).toMatch(/SigIgn:\s0{16}\n/);
  });

  it('leaks no descriptor but those asked for', () => {
    const foreign = openSync('/dev/null', 'r');
    const { text } = output(sh('echo /proc/$$/fd/*'));
    closeSync(foreign);
    expect(text.trim().split('/proc').length - 1).toBeLessThanOrEqual(3);
    expect(text).toMatch(/fd\/1 .*fd\/2/);
    expect(text).not.toContain('fd/3');
  });

  it('keeps a descriptor at its own number', () => {
    const fd = memfdCreate('kept');
    writeSync(fd, 'kept', 0);
    const { text } = output(sh(`cat /proc/self/fd/${fd}`), [{ from: fd, to: fd }]);
    closeSync(fd);
    expect(text).toBe('kept');
  });

  it('swaps two descriptors', () => {
    const [a, b] = [memfdCreate('a'), memfdCreate('b')];
    writeSync(a, 'A', 0);
    writeSync(b, 'B', 0);
    const extra = [
      { from: a, to: b },
      { from: b, to: a },
    ];
    const { text } = output(sh(`cat /proc/self/fd/${a} /proc/self/fd/${b}`), extra);
    closeSync(a);
    closeSync(b);
    expect(text).toBe('BA');
  });

  it('starts in the given directory, in a session of its own', () => {
    const ran = output({
      ...sh('pwd; cut -d" " -f6 /proc/$$/stat'),
      directory: '/usr',
      newSession: true,
    });
    expect(ran.text).toBe(`/usr\n${ran.pid}\n`);
  });

  it('throws the errno of the execve', () => {
    const missing = () => spawnProcess({ path: '/no/such', args: ['x'], env: [], descriptors: [] });
    expect(missing).toThrowError(RuncellError);
    expect(missing).toThrowError('execve /no/such: no such file or directory (ENOENT)');
  });

  it('lays posix_spawnattr_t out as the accessors of libc do', () => {
    const libc = openKoffi().load(null);
    const attributes = new Uint8Array(512);
    const signals = new Uint8Array(128).fill(0xff, 0, 8);
    const blocked = new Uint8Array(128).fill(0x0f, 0, 8);
    const two = ['void *', 'void *'];
    libc.func('posix_spawnattr_init', 'int', ['void *'])(attributes);
    libc.func('posix_spawnattr_setflags', 'int', ['void *', 'int'])(attributes, 0x8c);
    libc.func('posix_spawnattr_setsigdefault', 'int', two)(attributes, signals);
    libc.func('posix_spawnattr_setsigmask', 'int', two)(attributes, blocked);
    const { flags, defaults, mask, size } = SPAWN_ATTRIBUTES;
    const expected = new Uint8Array(512);
    expected[flags] = 0x8c;
    expected.set(signals.subarray(0, 8), defaults);
    expected.set(blocked.subarray(0, 8), mask);
    expect(attributes).toEqual(expected);
    expect(attributes.subarray(size).every((byte) => byte === 0)).toBe(true);
  });
});
