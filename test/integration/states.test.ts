/**
 * Every verb in every state: exit codes and the strings that engines match, as the table of
 * runtime-cli.md §3.2 and §3.3 says.
 */

import { describe, expect } from 'vitest';
import { type Box, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { sleep } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';

type State = 'missing' | 'created' | 'running' | 'paused' | 'stopped';

interface Row {
  readonly verb: readonly string[];
  readonly state: State;
  readonly status: number;
  /** What stderr must contain; absent: nothing is printed at all. */
  readonly says?: string;
  /** What runc 1.1.5 says where the later texts of the table differ. */
  readonly runcSays?: string;
}

const ok = (state: State, ...verb: string[]): Row => ({ verb, state, status: 0 });
const no = (state: State, verb: string, says: string, runcSays?: string): Row => {
  const words = verb.split(' ');
  const status = words[0] === 'exec' ? 255 : 1;
  return { verb: words, state, status, says, ...(runcSays === undefined ? {} : { runcSays }) };
};

const ROWS: readonly Row[] = [
  no('missing', 'state ID', 'container does not exist'),
  no('missing', 'start ID', 'container does not exist'),
  no('missing', 'kill ID KILL', 'container does not exist'),
  no('missing', 'delete ID', 'container does not exist'),
  no('missing', 'exec ID true', 'container does not exist'),
  ok('missing', 'delete', '--force', 'ID'),
  no('missing', 'pause ID', 'container does not exist'),
  no('missing', 'resume ID', 'container does not exist'),
  no('missing', 'ps ID', 'container does not exist'),
  no('missing', 'update ID', 'container does not exist'),
  no('missing', 'events ID', 'container does not exist'),

  ok('created', 'start', 'ID'),
  ok('created', 'kill', 'ID', 'KILL'),
  ok('created', 'kill', 'ID', 'TERM'),
  ok('created', 'delete', 'ID'),
  ok('created', 'delete', '--force', 'ID'),
  ok('created', 'exec', 'ID', 'true'),
  ok('created', 'pause', 'ID'),
  ok('created', 'update', 'ID'),
  no('created', 'resume ID', 'container not paused'),

  no('running', 'start ID', 'cannot start an already running container'),
  ok('running', 'kill', 'ID', '0'),
  ok('running', 'kill', 'ID', 'KILL'),
  no('running', 'delete ID', 'that is not stopped: running'),
  ok('running', 'delete', '--force', 'ID'),
  ok('running', 'exec', 'ID', 'true'),
  ok('running', 'kill', '--all', 'ID', 'TERM'),
  ok('running', 'pause', 'ID'),
  ok('running', 'update', 'ID'),
  no('running', 'resume ID', 'container not paused'),

  no('paused', 'start ID', 'cannot start a container in the paused state'),
  ok('paused', 'kill', 'ID', 'TERM'),
  ok('paused', 'kill', 'ID', 'KILL'),
  no('paused', 'delete ID', 'that is not stopped: paused'),
  ok('paused', 'delete', '--force', 'ID'),
  no('paused', 'exec ID true', 'cannot exec in a paused container (use --ignore-paused'),
  ok('paused', 'kill', '--all', 'ID', 'KILL'),
  no('paused', 'pause ID', 'container not running'),
  ok('paused', 'resume', 'ID'),
  ok('paused', 'update', 'ID'),

  no('stopped', 'start ID', 'cannot start a container that has stopped'),
  no('stopped', 'kill ID TERM', 'container not running'),
  no('stopped', 'kill ID KILL', 'container not running'),
  ok('stopped', 'kill', '--all', 'ID', 'KILL'),
  ok('stopped', 'delete', 'ID'),
  ok('stopped', 'delete', '--force', 'ID'),
  no('stopped', 'pause ID', 'container not running'),
  no('stopped', 'resume ID', 'container not paused'),
  no('stopped', 'update ID', 'container not running'),
  no('stopped', 'exec ID true', 'cannot exec in a stopped container', 'cannot exec in a stopped'),
];

async function reach(box: Box, state: State): Promise<Container | undefined> {
  if (state === 'missing') return undefined;
  const container = await box.create(box.bundle(['sleep', '100']));
  if (state === 'created') return container;
  await box.silent(['start', container.id]);
  if (state === 'paused') await box.silent(['pause', container.id]);
  if (state === 'stopped') {
    process.kill(container.pid, 'SIGKILL');
    await box.until(container.id, 'stopped');
  }
  expect(await box.status(container.id)).toBe(state);
  return container;
}

describe('state by verb', () => {
  for (const { verb, state, status, says, runcSays } of ROWS) {
    const result = says === undefined ? 'is silent' : `says "${says}"`;
    check(`${verb.join(' ')} of a ${state} container ${result}`, { cgroup2: true }, async (box) => {
      const container = await reach(box, state);
      const id = container?.id ?? box.id();
      const outcome = await box.verb(verb.map((word) => (word === 'ID' ? id : word)));
      expect(outcome).toMatchObject({ status, stdout: '' });
      if (says === undefined) {
        expect(outcome.stderr).toBe('');
      } else {
        expect(refusal(outcome, status)).toContain(isRuncell ? says : (runcSays ?? says));
      }
    });
  }

  check('a paused container is told to KILL and ends once', { cgroup2: true }, async (box) => {
    const container = await reach(box, 'paused');
    await box.silent(['kill', container!.id, 'KILL']);
    await box.until(container!.id, 'stopped');
    expect(isAlive(container!.pid)).toBe(false);
  });

  check('exec --ignore-paused runs once the group is thawed', { cgroup2: true }, async (box) => {
    const container = await reach(box, 'paused');
    let ended = false;
    const exec = box.verb(['exec', '--ignore-paused', container!.id, 'sh', '-c', 'exit 9']);
    exec.finally(() => {
      ended = true;
    });
    await sleep(300);
    expect(ended).toBe(false);
    await box.silent(['resume', container!.id]);
    expect(await exec).toMatchObject({ status: 9, stderr: '' });
  });
});
