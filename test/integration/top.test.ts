/** top, as a person at a terminal sees it, and as a program that reads it. */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { procStat } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';
import { Terminal } from '../helpers/terminal.ts';

const need = { cgroup2: true, notRunc: 'a verb of ours' } as const;

const ESC = '\u001b';
const ENTER = `${ESC}[?1049h${ESC}[?25l`;
const LEAVE = `${ESC}[?25h${ESC}[?1049l`;
const UPDATE = new RegExp(`${ESC}\\[\\?2026h(.*?)${ESC}\\[\\?2026l`, 'gs');
/** A control sequence with its arguments and its letter, or text. */
const PARTS = new RegExp(`${ESC}\\[([?0-9;]*)([A-Za-z])|([^${ESC}\r\n]+)`, 'g');

interface Size {
  readonly columns: number;
  readonly rows: number;
}

function open(box: Box, flags: readonly string[] = [], size: Size = { columns: 100, rows: 24 }) {
  const env = { TERM: 'xterm', LANG: 'C.UTF-8', PATH: '/usr/bin:/bin' };
  const args = ['--root', box.root, 'top', '--interval', '100ms', ...flags];
  return new Terminal(runtime.path, args, { ...size, env });
}

/** What a terminal of that size shows after these bytes: cursor addressing and erasing, no colour. */
function screenOf(shown: string, { columns, rows }: Size): string[] {
  let lines: string[] = [];
  let at = 0;
  const parts = shown.matchAll(PARTS);
  for (const [, args = '', command, text] of parts) {
    if (command === 'J') lines = args === '2' ? [] : lines.slice(0, at);
    else if (command === 'H') at = Number(args.split(';')[0] || '1') - 1;
    else if (command === undefined && text !== undefined) lines[at] = (lines[at] ?? '') + text;
    if (command === 'H') lines[at] = '';
  }
  const whole = Array.from({ length: lines.length }, (_, index) => lines[index] ?? '');
  for (const line of whole) expect(line.length).toBeLessThanOrEqual(columns);
  expect(whole.length).toBeLessThanOrEqual(rows);
  return whole;
}

const busy = (box: Box) => box.start(box.bundle(['sh', '-c', 'while :; do :; done']));
const idle = (box: Box) => box.start(box.bundle(['sleep', '100']));

describe('top on a terminal', () => {
  check('shows the containers in place and ends on q', need, async (box) => {
    const [worker, sleeper] = [await busy(box), await idle(box)];
    await using terminal = open(box);
    await terminal.sees(ENTER);
    await terminal.sees(/2 containers, every 0.1 s - q quits/);
    await eventually('a history of five', () =>
      /[▁▂▃▄▅▆▇█]{5}/.test(screenOf(terminal.shown, { columns: 100, rows: 24 }).join('\n')),
    );
    const size = { columns: 100, rows: 24 };
    const lines = () => screenOf(terminal.shown, size);
    expect(lines()[1]).toMatch(/^CONTAINER +CPU +HISTORY +MEMORY .*PIDS +READ\/s +WRITE\/s$/);
    const percent = (id: string) =>
      Number.parseFloat(
        lines()
          .find((line) => line.startsWith(id))!
          .split(/ +/)[1]!,
      );
    // On a busy machine a tenth of a second may pass it by.
    await eventually('the worker works', () => percent(worker.id) > 2);
    expect(percent(sleeper.id)).toBeLessThan(2);
    terminal.type('q');
    expect(await terminal.ends()).toBe(0);
    expect(terminal.shown.endsWith(LEAVE)).toBe(true);
  });

  check(
    'a container that ends disappears, a new one comes, a paused one says so',
    need,
    async (box) => {
      const first = await idle(box);
      await using terminal = open(box);
      await terminal.sees(/1 container,/);
      const second = await idle(box);
      await terminal.sees(/2 containers,/);
      await terminal.sees(second.id);
      await box.silent(['pause', second.id]);
      await terminal.sees(/ paused /);
      await box.silent(['delete', '--force', first.id]);
      await terminal.sees(/1 container,/);
      await eventually('one line', () => {
        const lines = screenOf(terminal.shown, { columns: 100, rows: 24 });
        return lines.length === 3 && lines[2]!.startsWith(second.id);
      });
      await box.silent(['delete', '--force', second.id]);
      await terminal.sees('no running container');
      terminal.type('q');
      expect(await terminal.ends()).toBe(0);
    },
  );

  check('puts the terminal back at ctrl-C', need, async (box) => {
    await idle(box);
    const script =
      'trap : INT; before=$(stty -a); "$0" "$@"; echo "status $?"; [ "$before" = "$(stty -a)" ] && echo same';
    const args = ['-c', script, runtime.path, '--root', box.root, 'top', '--interval', '100ms'];
    await using terminal = new Terminal('/bin/sh', args);
    await terminal.sees(/1 container,/);
    // Keys are not shown.
    terminal.type('x\n');
    await sleep(150);
    terminal.type('\u0003');
    await terminal.sees(LEAVE);
    await terminal.sees(/status 0\r\nsame/);
    expect(await terminal.ends()).toBe(0);
    expect(terminal.shown).not.toContain('x\r\n');
  });

  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    check(`puts the terminal back at ${signal}`, need, async (box) => {
      await idle(box);
      await using terminal = open(box);
      await terminal.sees(/1 container,/);
      terminal.signal(signal);
      expect(await terminal.ends()).toBe(0);
      expect(terminal.shown.endsWith(LEAVE)).toBe(true);
    });
  }

  check('ctrl-Z gives the terminal back until it is continued', need, async (box) => {
    await idle(box);
    await using terminal = open(box);
    await terminal.sees(/1 container,/);
    terminal.type('\u001a');
    await terminal.sees(LEAVE);
    await eventually('it stopped', () => procStat(terminal.pid)?.state === 'T');
    process.kill(terminal.pid, 'SIGCONT');
    await terminal.sees(ENTER);
    await terminal.sees(/1 container,/);
    terminal.type('q');
    expect(await terminal.ends()).toBe(0);
  });

  check('follows the size of the window', need, async (box) => {
    const container = await idle(box);
    await using terminal = open(box, ['--interval', '1h'], { columns: 120, rows: 24 });
    await terminal.sees(/CONTAINER .* LIMIT .* WRITE\/s/);
    let mark = terminal.shown.length;
    terminal.resize(50, 10);
    await terminal.sees(/CONTAINER +CPU +MEMORY +PIDS/);
    const size = { columns: 50, rows: 10 };
    await eventually('drawn', () =>
      screenOf(terminal.shown.slice(mark), size).some((line) =>
        line.startsWith(container.id.slice(0, 8)),
      ),
    );
    mark = terminal.shown.length;
    terminal.resize(20, 2);
    await eventually('two lines', () => terminal.shown.length > mark);
    await sleep(50);
    expect(screenOf(terminal.shown.slice(mark), { columns: 20, rows: 2 })).toHaveLength(2);
    terminal.type('q');
    expect(await terminal.ends()).toBe(0);
  });

  check('writes what has changed and nothing else, each picture at once', need, async (box) => {
    await idle(box);
    await using terminal = open(box);
    await terminal.sees(/1 container,/);
    await sleep(800);
    terminal.type('q');
    await terminal.ends();
    const [first, ...later] = [...terminal.shown.matchAll(UPDATE)].map(([, picture]) => picture!);
    expect(first).toContain('\u001b[2J');
    for (const picture of later) {
      expect(picture).not.toContain('\u001b[2J');
      expect(picture).not.toContain('CONTAINER');
    }
    const outside = terminal.shown.replaceAll(UPDATE, '');
    expect(outside).toBe(ENTER + LEAVE);
  });

  check('a state that cannot be read is told and the others are shown', need, async (box) => {
    const [good, bad] = [await idle(box), await idle(box)];
    const file = `${box.stateDir(bad.id)}/state.json`;
    const text = readFileSync(file);
    await using terminal = open(box);
    await terminal.sees(/2 containers,/);
    writeFileSync(file, '{');
    await terminal.sees(`! ${bad.id}: read state `);
    const [title, , line] = screenOf(terminal.shown, { columns: 100, rows: 24 });
    expect(title).toContain(': 1 container,');
    expect(line).toContain(good.id);
    writeFileSync(file, text);
    await terminal.sees(/2 containers,/);
    terminal.type('q');
    expect(await terminal.ends()).toBe(0);
  });

  check('colours as NO_COLOR and TERM want', need, async (box) => {
    await idle(box);
    await using plain = new Terminal(runtime.path, ['--root', box.root, 'top'], {
      env: { TERM: 'xterm', NO_COLOR: '1' },
    });
    await plain.sees(/1 container,/);
    await plain.sees('CONTAINER');
    plain.type('q');
    await plain.ends();
    expect(plain.shown).not.toContain('\u001b[7m');
  });
});

describe('top without a terminal', () => {
  check('--no-stream prints the table once', need, async (box) => {
    const container = await idle(box);
    const outcome = await box.verb(['top', '--no-stream', '--interval', '100ms']);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    const lines = outcome.stdout.split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe('runcell top: 1 container');
    expect(lines[1]).toMatch(/^CONTAINER +CPU /);
    expect(lines[2]).toMatch(new RegExp(`^${container.id} +[0-9.]+% .* 1 `));
    expect(outcome.stdout).not.toContain('\u001b');
  });

  check('prints the table again and again, and ends on TERM', need, async (box) => {
    await idle(box);
    const running = box.verb(['top', '--interval', '50ms'], {
      onSpawn: (child) => {
        let shown = '';
        child.stdout!.on('data', (chunk: Buffer) => {
          shown += chunk.toString();
          if (shown.split('runcell top').length > 3) child.kill('SIGTERM');
        });
      },
    });
    const { status, stdout, stderr } = await running;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.split('\n\n').length).toBeGreaterThanOrEqual(3);
  });

  check('--format json prints a document a line', need, async (box) => {
    const [worker, sleeper] = [await busy(box), await idle(box)];
    await box.silent(['pause', sleeper.id]);
    const outcome = await box.verb(['top', '--format', 'json', '--no-stream']);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toMatch(/^\{.*\}\n$/);
    const document = JSON.parse(outcome.stdout);
    expect(Object.keys(document)).toEqual([
      ...['time', 'processors', 'hostMemory', 'containers', 'problems'],
    ]);
    expect(document.containers).toMatchObject([
      { id: worker.id, pid: worker.pid, status: 'running', pids: { current: 1 } },
      { id: sleeper.id, pid: sleeper.pid, status: 'paused', cpu: { percent: 0 } },
    ]);
    expect(document.containers[0].cpu.percent).toBeGreaterThan(2);
  });

  check('ends when its reader has gone', need, async (box) => {
    await idle(box);
    const outcome = await box.command('/bin/sh', [
      '-c',
      '("$0" --root "$1" top --format json --interval 20ms; echo "status $?" >&2) | head -n 2',
      runtime.path,
      box.root,
    ]);
    expect(outcome.stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(outcome.stderr).toBe('status 0\n');
  });

  check('shows a container without a cgroup', need, async (box) => {
    const container = { id: box.id(), pid: 0 };
    const pidFile = box.path('pid');
    const flags = ['--bundle', box.bundle(['sleep', '100']).dir, '--pid-file', pidFile];
    // It warns that the device rules have nothing to hold on to.
    const made = await box.verb(['run', '--detach', ...flags, container.id], {
      global: ['--cgroup-manager', 'disabled'],
      detached: true,
    });
    expect(made).toMatchObject({ status: 0, stdout: '' });
    container.pid = Number(readFileSync(pidFile, 'latin1'));
    const { stdout } = await box.verb(['top', '--no-stream', '--format', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      containers: [{ id: container.id, cpu: { total: null }, pids: { current: 1 } }],
      problems: [],
    });
    for (const verb of ['pause', 'events']) {
      const outcome = await box.verb([verb, container.id]);
      expect(refusal(outcome)).toBe(`${container.id}: container has no cgroup`);
    }
    const { stdout: pids } = await box.verb(['ps', '--format', 'json', container.id]);
    expect(pids).toBe(`[${container.pid}]\n`);
  });

  check('without any container says so', need, async (box) => {
    const table = await box.verb(['top', '--no-stream']);
    expect(table).toMatchObject({ status: 0, stderr: '' });
    expect(table.stdout).toContain('\nno running container\n');
    const json = await box.verb(['top', '--no-stream', '--format', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ containers: [], problems: [] });
  });

  check('leaves out created and stopped containers', need, async (box) => {
    await box.create(box.bundle(['sleep', '100']));
    const ended = await box.start(box.bundle(['true']));
    await box.until(ended.id, 'stopped');
    const { stdout } = await box.verb(['top', '--no-stream', '--format', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ containers: [] });
  });

  check('refuses an unknown format and a wrong interval', need, async (box) => {
    expect(refusal(await box.verb(['top', '--format', 'xml']))).toBe('invalid format option');
    expect(refusal(await box.verb(['top', '--interval', '0s']))).toContain('greater than 0');
  });
});
