/**
 * What a user does wrong and what they are told: one line that names the field, the target and the
 * reason, the exit code of runc, a record in the log, and nothing left behind.
 * runtime-cli.md §3.2, §3.3 and §1.5; issue 2, item 6.
 */

import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Bundle, refusal, said } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { exitOf } from '../helpers/reaper.ts';
import { makeElf } from '../helpers/rootfs.ts';
import { isRuncell } from '../helpers/runtime.ts';
import type { Spec } from '../helpers/spec.ts';

/** create, run: the same refusal, nothing left; its line is returned. */
async function refused(box: Box, bundle: Bundle): Promise<string> {
  const id = box.id();
  const line = refusal(await box.verb(['create', '--bundle', bundle.dir, id]));
  expect((await box.verb(['state', id])).status).toBe(1);
  const again = refusal(await box.verb(['run', '--bundle', bundle.dir, id]));
  const bare = (text: string) => text.replace(/runc(ell)? (create|run) failed: /, '');
  if (isRuncell) expect(bare(again)).toBe(bare(line));
  return line;
}

describe('the bundle', () => {
  check('without config.json', async (box) => {
    const { dir } = box.bundle();
    rmSync(`${dir}/config.json`);
    const outcome = await box.verb(['create', '--bundle', dir, box.id()]);
    expect(refusal(outcome)).toContain('JSON specification file config.json not found');
  });

  check('that is not there', async (box) => {
    const outcome = await box.verb(['create', '--bundle', box.path('none'), box.id()]);
    expect(refusal(outcome)).toMatch(/none.*(no such file or directory|not found)/);
  });

  const SYNTAX: readonly [string, string][] = [
    ['empty', ''],
    ['cut off', '{"ociVersion": "1.2.0", "process": {'],
    ['a trailing comma', '{"ociVersion": "1.2.0",}'],
    ['not JSON', 'ociVersion: 1.2.0\n'],
    ['an array', '[]'],
    ['a string', '"config"'],
    ['invalid UTF-8', '{"ociVersion": "\xff"}'],
  ];
  for (const [what, text] of SYNTAX) {
    check(`with a config.json that is ${what}`, async (box) => {
      const { dir } = box.bundle();
      writeFileSync(`${dir}/config.json`, Buffer.from(text, 'latin1'));
      const outcome = await box.verb(['create', '--bundle', dir, box.id()]);
      expect(outcome.status).toBe(1);
      const line = said(outcome);
      expect(line).not.toMatch(/\n|at .*\.cjs|internal/);
      if (isRuncell) expect(refusal(outcome)).toMatch(/config\.json|the document/);
    });
  }

  const LOCATED = { notRunc: 'Go gives an offset or nothing' };
  check('a syntax error has its line and column', LOCATED, async (box) => {
    const { dir } = box.bundle();
    writeFileSync(`${dir}/config.json`, '{\n  "ociVersion": "1.2.0",\n  "root": nope\n}\n');
    const outcome = await box.verb(['create', '--bundle', dir, box.id()]);
    expect(refusal(outcome)).toMatch(/line 3\b.*column 11\b|3:11/);
  });
});

const schema = { notRunc: 'Go decodes what it can' };

describe('the schema', () => {
  const ROWS: readonly [string, (spec: Spec) => void, string][] = [
    ['a string for a number', (spec) => set(spec, 'process.user.uid', '0'), 'process.user.uid'],
    ['a number for a string', (spec) => set(spec, 'hostname', 5), 'hostname'],
    ['a negative id', (spec) => set(spec, 'process.user.gid', -1), 'process.user.gid'],
    ['a fraction', (spec) => set(spec, 'process.user.uid', 1.5), 'process.user.uid'],
    ['an object for an array', (spec) => set(spec, 'process.args', {}), 'process.args'],
    ['a number in args', (spec) => set(spec, 'process.args', ['true', 1]), 'process.args[1]'],
    ['no ociVersion', (spec) => set(spec, 'ociVersion', undefined), 'ociVersion'],
    ['no root path', (spec) => set(spec, 'root', {}), 'root.path'],
    ['a mount without destination', (spec) => set(spec, 'mounts', [{ type: 'proc' }]), 'mounts[0]'],
    [
      'options that are no list',
      (spec) => set(spec, 'mounts', [{ destination: '/x', options: 'ro' }]),
      'mounts[0].options',
    ],
    [
      'an rlimit without soft',
      (spec) => set(spec, 'process.rlimits', [{ type: 'RLIMIT_CORE', hard: 1 }]),
      'process.rlimits[0]',
    ],
    [
      'a hook without path',
      (spec) => set(spec, 'hooks', { poststop: [{ args: [] }] }),
      'hooks.poststop[0]',
    ],
    [
      'a namespace without type',
      (spec) => set(spec, 'linux.namespaces', [{}]),
      'linux.namespaces[0]',
    ],
    [
      'a mapping beyond 32 bits',
      (spec) => set(spec, 'linux.uidMappings', [{ containerID: 0, hostID: 4294967296, size: 1 }]),
      'linux.uidMappings[0].hostID',
    ],
  ];
  for (const [what, patch, path] of ROWS) {
    check(`${what} is told with its path ${path}`, schema, async (box) => {
      expect(await refused(box, box.bundle(['true'], patch))).toContain(path);
    });
  }

  check('all problems are in the log, the first on the line', schema, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      set(spec, 'hostname', 5);
      set(spec, 'process.user.uid', 'x');
    });
    const global = ['--log', box.path('log'), '--log-format', 'json'];
    const outcome = await box.run(bundle, [], { global });
    const line = refusal(outcome);
    expect(line).toMatch(/hostname|process\.user\.uid/);
    const log = readFileSync(box.path('log'), 'utf8');
    const record = JSON.parse(log.trimEnd().split('\n').at(-1)!) as Record<string, string>;
    expect(record['code']).toMatch(/^RC2\d\d\d$/);
    expect(record['specPath']).toMatch(/hostname|process\.user\.uid/);
  });

  check('a duplicate key and a NUL in a string are refused', schema, async (box) => {
    for (const text of [
      '{"ociVersion":"1.2.0","ociVersion":"1.2.0"}',
      JSON.stringify({ ociVersion: '1.2.0', hostname: 'a\0b' }),
    ]) {
      const { dir } = box.bundle();
      writeFileSync(`${dir}/config.json`, text);
      refusal(await box.verb(['create', '--bundle', dir, box.id()]));
    }
  });
});

function set(spec: Spec, path: string, value: unknown): void {
  const keys = path.split('.');
  let at = spec as unknown as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[keys.at(-1)!] = value;
}

describe('the program', () => {
  const ROWS: readonly [string, string[], RegExp][] = [
    ['is not in PATH', ['nope'], /exec: "nope": executable file not found in \$PATH/],
    ['is not there', ['/x/y'], /exec: "\/x\/y": .*no such file or directory/],
    ['is a directory', ['/etc'], /exec: "\/etc": .*(permission denied|is a directory)/],
    ['is not executable', ['/etc/passwd'], /exec: "\/etc\/passwd": .*permission denied/],
    ['is below a file', ['/etc/passwd/x'], /not a directory/],
  ];
  for (const [what, args, text] of ROWS) {
    check(`${what}: create says so`, async (box) => {
      const line = await refused(box, box.bundle(args));
      expect(line).toMatch(text);
      if (isRuncell) expect(line).toMatch(/process\.args/);
    });
  }

  check("is only another user's to execute", async (box) => {
    const bundle = box.bundle(['/opt/tool'], (spec) => {
      spec.process.user = { uid: 1001, gid: 1001 };
    });
    mkdirSync(`${bundle.rootfs}/opt`);
    copyFileSync('/bin/busybox', `${bundle.rootfs}/opt/tool`);
    chmodSync(`${bundle.rootfs}/opt/tool`, 0o700);
    expect(await refused(box, bundle)).toMatch(/permission denied/);
  });
});

/** Files that pass the look-up at create and fail in execve itself. */
interface Broken {
  readonly what: string;
  readonly make: (path: string) => void;
  readonly says: RegExp;
  readonly needs?: { readonly withoutBinfmt: string };
}

const AARCH64 = 183;
const IA64 = 50;
const X86_64 = 62;
const BROKEN: readonly Broken[] = [
  {
    what: 'a script whose interpreter is missing',
    make: (path) => writeFileSync(path, '#!/no/such/interpreter -x\necho\n', { mode: 0o755 }),
    says: /\/no\/such\/interpreter.*(no such file|not there|missing|not found)/,
  },
  {
    what: 'a dynamic program whose loader is missing',
    make: (path) => makeElf(path, { machine: X86_64, interpreter: '/lib64/ld-none.so.9' }),
    says: /\/lib64\/ld-none\.so\.9/,
  },
  {
    what: 'a program for aarch64',
    make: (path) => makeElf(path, { machine: AARCH64 }),
    says: /exec format error.*(aarch64|arm64)|(aarch64|arm64).*exec format error/,
    needs: { withoutBinfmt: 'qemu-aarch64' },
  },
  {
    what: 'a program for a machine nobody has',
    make: (path) => makeElf(path, { machine: IA64 }),
    says: /exec format error/,
  },
  {
    what: 'a text without an interpreter line',
    make: (path) => writeFileSync(path, 'echo hello\n', { mode: 0o755 }),
    says: /exec format error/,
  },
  {
    what: 'an empty file',
    make: (path) => writeFileSync(path, '', { mode: 0o755 }),
    says: /exec format error/,
  },
];

const AT_START = { notRunc: 'start has answered before execve; init prints it' };

describe('execve that fails', () => {
  for (const { what, make, says, needs } of BROKEN) {
    check(`${what}: start tells the real reason`, { ...AT_START, ...needs }, async (box) => {
      const bundle = box.bundle(['/opt/tool']);
      mkdirSync(`${bundle.rootfs}/opt`);
      make(`${bundle.rootfs}/opt/tool`);
      const container = await box.create(bundle);
      const line = refusal(await box.verb(['start', container.id]));
      expect(line).toMatch(says);
      expect(line).toContain('/opt/tool');
      await box.until(container.id, 'stopped');
      expect((await exitOf(container.pid)).exited).not.toBe(0);
      await box.silent(['delete', container.id]);
      expect(refusal(await box.run(bundle))).toMatch(says);
    });
  }

  check('a program removed between create and start', AT_START, async (box) => {
    const bundle = box.bundle(['/opt/tool']);
    mkdirSync(`${bundle.rootfs}/opt`);
    copyFileSync('/bin/busybox', `${bundle.rootfs}/opt/tool`);
    const container = await box.create(bundle);
    rmSync(`${bundle.rootfs}/opt/tool`);
    const line = refusal(await box.verb(['start', container.id]));
    expect(line).toMatch(/\/opt\/tool.*no such file or directory/);
  });

  check('a program made non-executable between create and start', AT_START, async (box) => {
    const bundle = box.bundle(['/opt/tool']);
    mkdirSync(`${bundle.rootfs}/opt`);
    copyFileSync('/bin/busybox', `${bundle.rootfs}/opt/tool`);
    chmodSync(`${bundle.rootfs}/opt/tool`, 0o755);
    const container = await box.create(bundle);
    chmodSync(`${bundle.rootfs}/opt/tool`, 0o644);
    const line = refusal(await box.verb(['start', container.id]));
    expect(line).toMatch(/\/opt\/tool.*permission denied/);
  });

  check('exec tells it too, with 255', { notRunc: 'prints from init' }, async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    makeElf(`${bundle.rootfs}/foreign`, { machine: IA64 });
    const container = await box.start(bundle);
    const outcome = await box.verb(['exec', container.id, '/foreign']);
    expect(refusal(outcome, 255)).toMatch(/exec format error/);
  });
});

describe('the log of a failure', () => {
  check('has the message of stderr, a code, an errno and a field', AT_START, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.mounts.push({ destination: '/x', source: box.path('none'), options: ['bind'] });
    });
    const log = box.path('log.json');
    const global = ['--log', log, '--log-format', 'json'];
    const outcome = await box.run(bundle, [], { global });
    const record = JSON.parse(readFileSync(log, 'utf8').trimEnd()) as Record<string, string>;
    expect(`${record['msg']}\n`).toBe(outcome.stderr);
    expect(record).toMatchObject({ level: 'error', errno: 'ENOENT' });
    expect(record['specPath']).toMatch(/^mounts\[6\]/);
    expect(record['code']).toMatch(/^RC\d{4}$/);
  });

  check('never has a stack without --debug', async (box) => {
    for (const args of [
      ['state', 'x'],
      ['exec', 'x', 'y'],
      ['create', '--bundle', '/', 'x'],
    ]) {
      expect((await box.verb(args)).stderr).not.toMatch(/\n\s+at |\.cjs|\.ts:/);
    }
  });

  check('control characters of the configuration stay escaped', async (box) => {
    const bundle = box.bundle(['x\u001b[31m\nsecond line']);
    const outcome = await box.run(bundle);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).not.toContain('\u001b');
    await eventually('one line', () => outcome.stderr.trimEnd().split('\n').length === 1);
  });
});
