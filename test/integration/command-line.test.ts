/**
 * The command line before any container: parsing, help, versions, log files, exit codes.
 * runtime-cli.md §1.1 to §1.5.
 */

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal, said } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';

const HOT_VERBS = ['create', 'start', 'state', 'kill', 'delete', 'run', 'exec', 'list', 'spec'];

describe('arguments', () => {
  const ARITY: readonly [string[], RegExp][] = [
    [['state'], /"state" requires exactly 1 argument/],
    [['state', 'a', 'b'], /"state" requires exactly 1 argument/],
    [['start'], /"start" requires exactly 1 argument/],
    [['create'], /"create" requires exactly 1 argument/],
    [['run', 'a', 'b'], /"run" requires exactly 1 argument/],
    [['delete'], /"delete" requires exactly 1 argument/],
    [['kill'], /"kill" requires a minimum of 1 argument/],
    [['kill', 'a', '9', 'more'], /"kill" requires a maximum of 2 argument/],
    [['exec'], /"exec" requires a minimum of 1 argument/],
    [['list', 'a'], /"list" requires exactly 0 argument/],
    [['spec', 'a'], /"spec" requires exactly 0 argument/],
  ];
  for (const [args, text] of ARITY) {
    check(`${args.join(' ')}: wrong arity is told`, async (box) => {
      const outcome = await box.verb(args);
      expect(outcome.status).toBe(1);
      expect(said(outcome)).toMatch(text);
    });
  }

  for (const verb of HOT_VERBS) {
    check(`${verb} with an unknown flag says Incorrect Usage`, async (box) => {
      const outcome = await box.verb([verb, '--no-such-flag', 'x']);
      expect(outcome.status).toBe(1);
      const text = outcome.stdout + outcome.stderr;
      expect(text).toMatch(/flag provided but not defined: -no-such-flag/);
    });
  }

  check('an unknown global flag says Incorrect Usage', async (box) => {
    const outcome = await box.verb(['list'], { global: ['--no-such-flag'] });
    expect(outcome.status).toBe(1);
    expect(outcome.stdout + outcome.stderr).toContain('flag provided but not defined');
  });

  check('a flag without its value says that it needs an argument', async (box) => {
    const outcome = await box.verb(['create', '--bundle']);
    expect(outcome.status).toBe(1);
    expect(outcome.stdout + outcome.stderr).toMatch(/flag needs an argument/);
  });

  check('an unknown verb exits 3', async (box) => {
    const outcome = await box.verb(['no-such-verb']);
    expect(outcome.status).toBe(3);
    expect(outcome.stdout + outcome.stderr).toContain("No help topic for 'no-such-verb'");
  });

  check('one dash is as good as two, and =value as a word', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    const args = ['create', `-bundle=${bundle.dir}`, '-pid-file', box.path('p'), id];
    await box.silent(args, { detached: true });
    expect(existsSync(box.path('p'))).toBe(true);
    await box.silent(['delete', '--force=true', id]);
  });

  check('the last of a repeated flag wins', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    const args = ['create', '--bundle', '/no/such/place', '--bundle', bundle.dir, id];
    await box.silent(args, { detached: true });
  });

  check('flags may follow the id, and -- ends them', async (box) => {
    const bundle = box.bundle(['sleep', '100']);
    const id = box.id();
    await box.silent(['create', id, '--bundle', bundle.dir], { detached: true });
    await box.silent(['start', '--', id]);
    await box.silent(['delete', id, '--force']);
  });

  check('after the id everything of exec is payload', async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const printed = await box.exec(container, ['echo', '--cwd', '-t', '--', '--help']);
    expect(printed).toBe('--cwd -t -- --help');
  });

  check('--bundle with an empty environment works', async (box) => {
    const { id } = await box.create(box.bundle(['sleep', '100']), [], { env: {} });
    await box.silent(['start', id], { env: {} });
    await box.silent(['kill', id, 'KILL'], { env: { XDG_RUNTIME_DIR: '/nowhere' } });
    await box.until(id, 'stopped');
    await box.silent(['delete', id], { env: {} });
  });
});

describe('container ids', () => {
  const BAD = ['a/b', '../x', 'a b', 'a*b', 'ü', 'a\nb', '.', '..', 'a:b', 'a,b', 'x'.repeat(257)];
  for (const id of BAD) {
    const judge = id === 'a,b' ? { notRunc: 'its pattern [+-.] takes the comma' } : {};
    check(`create refuses ${JSON.stringify(id).slice(0, 20)}`, judge, async (box) => {
      const bundle = box.bundle(['true']);
      const line = refusal(await box.verb(['create', '--bundle', bundle.dir, id]));
      const tooLong = id.length > 255;
      if (!tooLong) expect(line).toContain('invalid container ID format');
      else expect(line).toMatch(/invalid container ID format|too long/);
    });
  }

  check('create refuses the empty id', async (box) => {
    const bundle = box.bundle(['true']);
    const line = refusal(await box.verb(['create', '--bundle', bundle.dir, '']));
    expect(line).toMatch(/container id cannot be empty|invalid container ID format/);
  });

  check('create takes letters, digits, underscore, plus, minus and dots', async (box) => {
    const bundle = box.bundle(['true']);
    const id = `${box.tag}_A.b+c-9..d`;
    await box.silent(['create', '--bundle', bundle.dir, id], { detached: true });
    expect(await box.status(id)).toBe('created');
  });
});

describe('help and version', () => {
  check('no verb, help, h, --help and -h print help on stdout', async (box) => {
    for (const args of [[], ['help'], ['h'], ['--help'], ['-h']]) {
      const { status, stdout, stderr } = await box.command(runtime.path, args);
      expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' });
      for (const verb of HOT_VERBS) expect(stdout).toMatch(new RegExp(`^ *${verb}\\b`, 'm'));
    }
  });

  for (const verb of HOT_VERBS) {
    check(`${verb} --help exits 0 and names a flag or usage`, async (box) => {
      for (const flag of ['--help', '-h']) {
        const { status, stdout, stderr } = await box.verb([verb, flag]);
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        expect(stdout).toContain(verb);
      }
    });
  }

  check('--version and -v print name, commit and spec lines', async (box) => {
    for (const flag of ['--version', '-v']) {
      const { status, stdout, stderr } = await box.command(runtime.path, [flag]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const lines = stdout.trimEnd().split('\n');
      expect(lines[0]).toMatch(new RegExp(`^${runtime.kind} version \\S+$`));
      expect(lines.some((line) => line.startsWith('commit: '))).toBe(true);
      expect(lines).toContainEqual(isRuncell ? 'spec: 1.3.0' : 'spec: 1.0.2-dev');
    }
  });
});

describe('--log', () => {
  const fail = ['state', 'nobody'];

  check('text goes to stderr without --log', async (box) => {
    const { stderr } = await box.verb(fail);
    const time = String.raw`time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"`;
    // More fields may follow: engines look at the message.
    expect(stderr).toMatch(
      new RegExp(`^${time} level=error msg="[^"]*does not exist[^"]*"[^\n]*\n$`),
    );
  });

  check('json goes to stderr in that format, keys sorted', async (box) => {
    const { stderr } = await box.verb(fail, { global: ['--log-format', 'json'] });
    const record = JSON.parse(stderr) as Record<string, string>;
    expect(record).toMatchObject({ level: 'error' });
    expect(record['msg']).toContain('does not exist');
    expect(record['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/);
    expect(Object.keys(record)).toEqual(Object.keys(record).sort());
  });

  check('gets the record and stderr the bare message', async (box) => {
    for (const format of ['text', 'json']) {
      const file = box.path(`log.${format}`);
      const global = ['--log', file, '--log-format', format];
      const { status, stderr } = await box.verb(fail, { global });
      expect(status).toBe(1);
      expect(stderr).toMatch(/^(?!time=|\{)[^\n]*does not exist\n$/);
      const text = readFileSync(file, 'utf8');
      const message =
        format === 'json'
          ? (JSON.parse(text) as Record<string, string>)['msg']
          : said({ stderr: text });
      expect(`${message}\n`).toBe(stderr);
    }
  });

  check('is appended to by every verb, a line a record', async (box) => {
    const file = box.path('log');
    writeFileSync(file, '{"level":"info","msg":"earlier","time":"2026-01-02T15:04:05Z"}\n');
    for (const args of [fail, ['kill', 'nobody'], ['delete', 'nobody']]) {
      await box.verb(args, { global: ['--log', file, '--log-format', 'json'] });
    }
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual([
      'info',
      'error',
      'error',
      'error',
    ]);
  });

  check('is silent on success', async (box) => {
    const file = box.path('log');
    const global = ['--log', file, '--log-format', 'json'];
    const { id } = await box.create(box.bundle(['sleep', '100']), [], { global });
    await box.silent(['start', id], { global });
    await box.silent(['delete', '--force', id], { global });
    expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toBe('');
  });

  check('that cannot be opened is an error', async (box) => {
    const outcome = await box.verb(fail, { global: ['--log', box.path('no/such/dir/log')] });
    expect(refusal(outcome)).toMatch(/no such file or directory/i);
  });

  check('with an unknown format is an error that names it', async (box) => {
    const outcome = await box.verb(fail, { global: ['--log-format', 'xml'] });
    expect(refusal(outcome)).toMatch(/(invalid|unknown) log-format.*xml/);
  });

  check('records of an error carry a stable code', { notRunc: 'runcell only' }, async (box) => {
    const file = box.path('log');
    await box.verb(fail, { global: ['--log', file, '--log-format', 'json'] });
    const record = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
    expect(record['code']).toMatch(/^RC\d{4}$/);
  });

  check('never follows a link nor opens a device', { notRunc: 'runc does' }, async (box) => {
    const target = box.path('target');
    const link = box.path('link');
    symlinkSync(target, link);
    refusal(await box.verb(fail, { global: ['--log', link] }));
    expect(existsSync(target)).toBe(false);
    refusal(await box.verb(fail, { global: ['--log', '/dev/null'] }));
  });

  check('--debug adds debug records and nothing on stderr with --log', async (box) => {
    const file = box.path('log');
    const global = ['--debug', '--log', file, '--log-format', 'json'];
    const { id } = await box.create(box.bundle(['true']), [], { global });
    await box.silent(['delete', id], { global });
    const levels = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { level: string }).level);
    expect(levels).toContain('debug');
    expect(levels).not.toContain('error');
  });
});

describe('--root', () => {
  check('is made, private to its owner', async (box) => {
    await box.create(box.bundle(['true']));
    expect(statSync(box.root).mode & 0o777).toBe(0o700);
  });

  check('/ is refused', { notRunc: 'since runc 1.3' }, async (box) => {
    const outcome = await box.command(runtime.path, ['--root', '/', 'state', box.id()]);
    expect(refusal(outcome)).toContain('root');
    expect(said(outcome)).not.toContain('does not exist');
  });

  check('is a name of its own: the same id in two roots', async (box) => {
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-elsewhere`;
    });
    const { id } = await box.create(box.bundle(['sleep', '100']));
    const other = ['--root', box.path('other')];
    const args = [...other, 'create', '--bundle', bundle.dir, id];
    const made = await box.command(runtime.path, args, { detached: true });
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const gone = await box.command(runtime.path, [...other, 'delete', id]);
    expect(gone).toMatchObject({ status: 0, stderr: '' });
    expect(await box.status(id)).toBe('created');
  });

  const UNSAFE = { notRunc: 'runc takes any directory' };
  check('a link, a foreign or a writable one is refused', UNSAFE, async (box) => {
    const { dir } = box.bundle(['true']);
    const tries: Record<string, () => void> = {
      link: () => {
        mkdirSync(box.path('real'), { mode: 0o700 });
        symlinkSync(box.path('real'), box.path('link'));
      },
      writable: () => {
        mkdirSync(box.path('writable'));
        chmodSync(box.path('writable'), 0o777);
      },
      foreign: () => {
        mkdirSync(box.path('foreign'), { mode: 0o700 });
        chownSync(box.path('foreign'), 12345, 12345);
      },
    };
    for (const [name, make] of Object.entries(tries)) {
      make();
      const args = ['--root', box.path(name), 'create', '--bundle', dir, box.id()];
      expect(refusal(await box.command(runtime.path, args))).toContain(box.path(name));
    }
  });
});
