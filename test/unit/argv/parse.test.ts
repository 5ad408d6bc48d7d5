/**
 * src/argv.ts against the rules of reference/runtime-cli.md §1.1, on the manifest of the product
 * and on the reduced one that the hot bundle carries: both give the same.
 */

import { describe, expect, test } from 'vitest';
import manifest from '../../../oclif.manifest.json' with { type: 'json' };
import { compactManifest, type FullManifest } from '../../../scripts/manifest.ts';
import { type CommandLine, parseArgv, usageNote, Values } from '../../../src/argv.ts';
import { RuncellError } from '../../../src/error.ts';

const COMPACT = compactManifest(manifest as unknown as FullManifest, () => true);

function plain(values: Values): Record<string, unknown> {
  return Object.fromEntries(
    values
      .names()
      .map((name) => [name, values.list(name).length > 0 ? values.list(name) : values.on(name)]),
  );
}

function shape(line: CommandLine, globals: Values) {
  const { action, verb, args, rest } = line;
  return { action, verb, flags: plain(line.flags), globals: plain(globals), args, rest };
}

/** Only what is not empty, so that the tables below stay short. */
function parse(words: readonly string[]): Record<string, unknown> {
  const globals = new Values();
  const parsed = shape(parseArgv(words, globals), globals);
  const compactGlobals = new Values();
  expect(shape(parseArgv(words, compactGlobals, COMPACT), compactGlobals)).toEqual(parsed);
  return Object.fromEntries(
    Object.entries(parsed).filter(
      ([, value]) => typeof value === 'string' || Object.keys(value).length > 0,
    ),
  );
}

function refusal(words: readonly string[]): RuncellError {
  try {
    parse(words);
  } catch (thrown) {
    if (thrown instanceof RuncellError) return thrown;
    throw thrown;
  }
  throw new Error(`accepted: ${words.join(' ')}`);
}

const words = (line: string) => (line === '' ? [] : line.split(' '));

describe('runc spellings', () => {
  const ACCEPTED: readonly [string, Record<string, unknown>][] = [
    ['state a', { verb: 'state', args: ['a'] }],
    ['create --bundle B a', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['create --bundle=B a', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['create -bundle B a', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['create -bundle=B a', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['create -b B a', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['create --b=B a', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['create --bundle=a=b a', { verb: 'create', flags: { bundle: ['a=b'] }, args: ['a'] }],
    ['create --bundle= a', { verb: 'create', flags: { bundle: [''] }, args: ['a'] }],
    ['create --bundle -x a', { verb: 'create', flags: { bundle: ['-x'] }, args: ['a'] }],
    ['create --bundle -- a', { verb: 'create', flags: { bundle: ['--'] }, args: ['a'] }],
    ['create -b 1 --bundle 2 -b=3 a', { verb: 'create', flags: { bundle: ['3'] }, args: ['a'] }],
    ['create a --bundle B', { verb: 'create', flags: { bundle: ['B'] }, args: ['a'] }],
    ['kill a 9 --all', { verb: 'kill', flags: { all: true }, args: ['a', '9'] }],
    ['kill -a a KILL', { verb: 'kill', flags: { all: true }, args: ['a', 'KILL'] }],
    ['kill a -', { verb: 'kill', args: ['a', '-'] }],
    ['delete --force=true a', { verb: 'delete', flags: { force: true }, args: ['a'] }],
    ['delete --force=0 a', { verb: 'delete', flags: { force: false }, args: ['a'] }],
    ['delete -f --force=F a', { verb: 'delete', flags: { force: false }, args: ['a'] }],
    ['delete -- -f', { verb: 'delete', args: ['-f'] }],
    ['list -f json -q', { verb: 'list', flags: { format: ['json'], quiet: true } }],
    ['exec a ls -la', { verb: 'exec', args: ['a', 'ls', '-la'] }],
    [
      'exec -t a --tty -- x',
      { verb: 'exec', flags: { tty: true }, args: ['a', '--tty', '--', 'x'] },
    ],
    ['exec -- a -t', { verb: 'exec', args: ['a', '-t'] }],
    [
      'exec -e A=1,2 --env B=3 a x',
      { verb: 'exec', flags: { env: ['A=1,2', 'B=3'] }, args: ['a', 'x'] },
    ],
    ['exec --process p.json a', { verb: 'exec', flags: { process: ['p.json'] }, args: ['a'] }],
    ['run -no-subreaper a', { verb: 'run', flags: { 'no-subreaper': true }, args: ['a'] }],
  ];
  test.each(ACCEPTED)('%s', (line, expected) => {
    expect(parse(words(line))).toEqual({ action: 'run', ...expected });
  });
});

describe('global flags', () => {
  const ACCEPTED: readonly [string, Record<string, unknown>][] = [
    ['--root /r state a', { verb: 'state', args: ['a'], globals: { root: ['/r'] } }],
    ['-root=/r state a', { verb: 'state', args: ['a'], globals: { root: ['/r'] } }],
    ['--root 1 --root=2 state a', { verb: 'state', args: ['a'], globals: { root: ['2'] } }],
    ['state a --root /r', { verb: 'state', args: ['a'], globals: { root: ['/r'] } }],
    ['--debug -- state a', { verb: 'state', args: ['a'], globals: { debug: true } }],
    ['-v state a', { verb: 'state', args: ['a'], globals: { verbose: true } }],
    ['state -v a', { verb: 'state', args: ['a'], globals: { verbose: true } }],
    [
      '--systemd-cgroup --systemd-cgroup=false --rootless auto list',
      { verb: 'list', globals: { 'systemd-cgroup': false, rootless: ['auto'] } },
    ],
    ['container --log f list', { verb: 'container:list', globals: { log: ['f'] } }],
    ['exec a x --root /r', { verb: 'exec', args: ['a', 'x', '--root', '/r'] }],
  ];
  test.each(ACCEPTED)('%s', (line, expected) => {
    expect(parse(words(line))).toEqual({ action: 'run', ...expected });
  });
});

describe('usage document spellings', () => {
  const ACCEPTED: readonly [string, Record<string, unknown>][] = [
    [
      'container run --id test --image /r --command /bin/sleep --args 180',
      {
        verb: 'container:run',
        flags: { id: ['test'], image: ['/r'], command: ['/bin/sleep'], args: ['180'] },
      },
    ],
    [
      'container run --id c --image /r -t -i',
      { verb: 'container:run', flags: { id: ['c'], image: ['/r'], tty: true, interactive: true } },
    ],
    [
      'container run -m /r -it',
      { verb: 'container:run', flags: { image: ['/r'], tty: true, interactive: true } },
    ],
    [
      'container run -itm /r -a -l --args=-a',
      {
        verb: 'container:run',
        flags: { image: ['/r'], tty: true, interactive: true, args: ['-l', '-a'] },
      },
    ],
    [
      'container run -dm=/r -- a -b --id x',
      {
        verb: 'container:run',
        flags: { detach: true, image: ['/r'] },
        rest: ['a', '-b', '--id', 'x'],
      },
    ],
    [
      'container exec --id test --command /bin/ls --args /',
      { verb: 'container:exec', flags: { id: ['test'], command: ['/bin/ls'], args: ['/'] } },
    ],
    ['container list --all', { verb: 'container:list', flags: { all: true } }],
    ['container list --format json', { verb: 'container:list', flags: { format: ['json'] } }],
    ['container delete --id test', { verb: 'container:delete', flags: { id: ['test'] } }],
    [
      'container create --id t --bundle B',
      { verb: 'container:create', flags: { id: ['t'], bundle: ['B'] } },
    ],
    ['container start --id t', { verb: 'container:start', flags: { id: ['t'] } }],
    ['storage umount --target /t', { verb: 'storage:umount', flags: { target: ['/t'] } }],
    [
      'storage mount --source s --target t --options ro',
      { verb: 'storage:mount', flags: { source: ['s'], target: ['t'], options: ['ro'] } },
    ],
    [
      '-v container run --id t --image /r',
      { verb: 'container:run', flags: { id: ['t'], image: ['/r'] }, globals: { verbose: true } },
    ],
  ];
  test.each(ACCEPTED)('%s', (line, expected) => {
    expect(parse(words(line))).toEqual({ action: 'run', ...expected });
  });
});

describe('help and version', () => {
  const HELP: readonly [string, string][] = [
    ['', ''],
    ['-h', ''],
    ['--help', ''],
    ['help', ''],
    ['h', ''],
    ['--verbose', ''],
    ['--root /r', ''],
    ['state -h', 'state'],
    ['state --help a b c', 'state'],
    ['create a -help', 'create'],
    ['help state', 'state'],
    ['container', 'container'],
    ['container --help', 'container'],
    ['container help run', 'container:run'],
    ['help container run', 'container:run'],
    ['container run --help', 'container:run'],
  ];
  test.each(HELP)('%s shows the help', (line, verb) => {
    expect(parse(words(line))).toMatchObject({ action: 'help', verb });
  });

  test.each(['--version', '-version', '-v', '--version state a', '--root /r -v'])(
    '%s is the version',
    (line) => {
      expect(parse(words(line))).toMatchObject({ action: 'version' });
    },
  );

  test('-h behind the id of exec is payload', () => {
    expect(parse(['exec', 'a', 'ls', '-h'])).toMatchObject({ action: 'run' });
  });
});

describe('refusals', () => {
  const REFUSED: readonly [string, string, number, boolean][] = [
    ['state', 'runcell: "state" requires exactly 1 argument(s)', 1, true],
    ['state a b', 'runcell: "state" requires exactly 1 argument(s)', 1, true],
    ['list a', 'runcell: "list" requires exactly 0 argument(s)', 1, true],
    ['kill', 'runcell: "kill" requires a minimum of 1 argument(s)', 1, true],
    ['kill a 9 b', 'runcell: "kill" requires a maximum of 2 argument(s)', 1, true],
    ['exec', 'runcell: "exec" requires a minimum of 1 argument(s)', 1, true],
    ['container list a', 'runcell: "container list" requires exactly 0 argument(s)', 1, true],
    ['state -x a', 'flag provided but not defined: -x', 1, true],
    ['state --x=1 a', 'flag provided but not defined: -x', 1, true],
    ['--bogus state a', 'flag provided but not defined: -bogus', 1, true],
    ['run -dt a', 'flag provided but not defined: -dt', 1, true],
    ['state --version a', 'flag provided but not defined: -version', 1, true],
    ['container run -itx', 'flag provided but not defined: -itx', 1, true],
    ['container run -mi x', 'flag provided but not defined: -mi', 1, true],
    ['container run --it -m x', 'flag provided but not defined: -it', 1, true],
    ['--criu x list', 'flag provided but not defined: -criu', 1, true],
    ['list --format', 'flag needs an argument: -format', 1, true],
    ['--root', 'flag needs an argument: -root', 1, true],
    ['list -q=maybe', 'invalid boolean value "maybe" for -q: parse error', 1, true],
    ['state ---x a', 'bad flag syntax: ---x', 1, true],
    ['state --=x a', 'bad flag syntax: --=x', 1, true],
    ['container exec', 'required flag "id" not set', 1, true],
    ['container run --id a', 'required flag "image" not set', 1, true],
    ['nope', "No help topic for 'nope'", 3, false],
    ['nope --help', "No help topic for 'nope'", 3, false],
    ['help nope', "No help topic for 'nope'", 3, false],
    ['container nope', "No help topic for 'container nope'", 3, false],
    ['container:run', "No help topic for 'container:run'", 3, false],
    ['constructor', "No help topic for 'constructor'", 3, false],
    ['checkpoint --help', "No help topic for 'checkpoint'", 3, false],
  ];
  test.each(REFUSED)('%s: %s', (line, message, exitCode, withHelp) => {
    const error = refusal(words(line));
    expect(error.message).toBe(message);
    expect(error.code).toBe('usage');
    const note = usageNote(error)!;
    expect(note.exitCode).toBe(exitCode);
    expect(note.headline !== undefined).toBe(withHelp);
  });

  test('global flags before the mistake are known', () => {
    const globals = new Values();
    expect(() => parseArgv(['--log-format', 'json', 'state', '-x'], globals)).toThrow();
    expect(globals.text('log-format')).toBe('json');
  });
});

describe('numbers', () => {
  const number = (text: string) =>
    parseArgv(['run', '--preserve-fds', text, 'a'], new Values()).flags.integer('preserve-fds');

  test('a count is read', () => {
    expect(['0', '7', '+3', '010'].map(number)).toEqual([0, 7, 3, 10]);
  });

  test.each(['x', '-1', '', '1.5', '0x10', '99999999999', '1e3'])('%j is no count', (text) => {
    expect(() => number(text)).toThrow(
      `invalid value "${text}" for flag -preserve-fds: parse error`,
    );
  });
});
