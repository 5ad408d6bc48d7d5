/**
 * `spec`: the default document and what it starts. runtime-cli.md §1.6; security.md §3.1.
 */

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { isRuncell } from '../helpers/runtime.ts';
import type { Spec } from '../helpers/spec.ts';

async function written(box: Box, ...flags: string[]): Promise<{ dir: string; text: string }> {
  const dir = box.path('made');
  mkdirSync(dir);
  await box.silent(['spec', '--bundle', dir, ...flags]);
  return { dir, text: readFileSync(`${dir}/config.json`, 'utf8') };
}

describe('spec', () => {
  check('writes config.json, indented by tabs, into the bundle', async (box) => {
    const { text } = await written(box);
    expect(text).toMatch(/^\{\n\t"ociVersion": "1\.\d+\.\d+(-dev)?",\n\t"process": \{\n\t\t/);
    expect(`${JSON.stringify(JSON.parse(text), null, '\t')}`).toBe(text.trimEnd());
  });

  check('writes into the current directory without --bundle', async (box) => {
    mkdirSync(box.path('here'));
    await box.silent(['spec'], { cwd: box.path('here') });
    expect(existsSync(box.path('here/config.json'))).toBe(true);
  });

  check("the document is runc's example", async (box) => {
    const spec = JSON.parse((await written(box)).text) as Spec;
    expect(spec.process).toMatchObject({
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      cwd: '/',
      noNewPrivileges: true,
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
    });
    const three = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];
    expect(spec.process.capabilities).toMatchObject({
      bounding: three,
      effective: three,
      permitted: three,
    });
    expect(spec.process.capabilities?.inheritable ?? []).toEqual([]);
    expect(spec.root).toEqual({ path: 'rootfs', readonly: true });
    const destinations = spec.mounts.map(({ destination }) => destination);
    expect(destinations).toEqual([
      '/proc',
      '/dev',
      '/dev/pts',
      '/dev/shm',
      '/dev/mqueue',
      '/sys',
      '/sys/fs/cgroup',
    ]);
    const kinds = spec.linux.namespaces.map(({ type }) => type);
    expect(kinds).toEqual(expect.arrayContaining(['pid', 'network', 'ipc', 'uts', 'mount']));
    expect(spec.linux.maskedPaths).toEqual(
      expect.arrayContaining(['/proc/acpi', '/proc/kcore', '/proc/keys', '/sys/firmware']),
    );
    expect(spec.linux.readonlyPaths).toEqual(
      expect.arrayContaining([
        '/proc/bus',
        '/proc/fs',
        '/proc/irq',
        '/proc/sys',
        '/proc/sysrq-trigger',
      ]),
    );
    expect(spec.linux.resources).toEqual({ devices: [{ allow: false, access: 'rwm' }] });
    if (isRuncell) expect(spec.ociVersion).toBe('1.3.0');
  });

  check('the document runs as it is, with another command', async (box) => {
    const { text } = await written(box);
    const bundle = box.bundle(['sh', '-c', 'id -u; hostname; cat /proc/self/status'], (spec) => {
      const { args } = spec.process;
      Object.assign(spec, JSON.parse(text) as Spec);
      spec.process.terminal = false;
      spec.process.args = args;
    });
    const out = await box.printed(bundle);
    expect(out.split('\n').slice(0, 2)).toEqual(['0', isRuncell ? 'runcell' : 'runc']);
    expect(out).toMatch(/^CapBnd:\t0000000020000420$/m);
    expect(out).toMatch(/^CapAmb:\t0000000000000000$/m);
    expect(out).toMatch(/^NoNewPrivs:\t1$/m);
  });

  check(
    '--seccomp has a filter that containers run with',
    { notRunc: 'runc has no such flag' },
    async (box) => {
      const { linux } = JSON.parse((await written(box, '--seccomp')).text) as Spec;
      const out = await box.sh('grep Seccomp: /proc/self/status; unshare -U true 2>&1', (spec) => {
        spec.linux['seccomp'] = linux['seccomp'];
        spec.process.args[2] += ' || true';
      });
      expect(out).toMatch(/^Seccomp:\s2\n.*not permitted/);
    },
  );

  check(
    '--rootless has a user namespace, mapped to the caller, and no cgroup limits',
    async (box) => {
      const spec = JSON.parse((await written(box, '--rootless')).text) as Spec;
      expect(spec.linux.namespaces.map(({ type }) => type)).toContain('user');
      expect(spec.linux.namespaces.map(({ type }) => type)).not.toContain('network');
      expect(spec.linux.uidMappings).toEqual([{ containerID: 0, hostID: 0, size: 1 }]);
      expect(spec.linux.gidMappings).toEqual([{ containerID: 0, hostID: 0, size: 1 }]);
      expect(spec.linux.resources).toBeUndefined();
    },
  );

  check('a file that is there is left alone', async (box) => {
    mkdirSync(box.path('full'));
    writeFileSync(box.path('full/config.json'), 'mine');
    const line = refusal(await box.verb(['spec', '--bundle', box.path('full')]));
    expect(line).toContain('File config.json exists. Remove it first');
    expect(readFileSync(box.path('full/config.json'), 'utf8')).toBe('mine');
  });

  check('a directory that is not there is an error', async (box) => {
    refusal(await box.verb(['spec', '--bundle', box.path('none')]));
    expect(() => statSync(box.path('none'))).toThrow();
  });
});
