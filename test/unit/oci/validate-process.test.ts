/** Rules of `process` and `hooks`: each row is a change of the default document and its problems. */

import { describe, expect, test } from 'vitest';
import { validateConfig } from '../../../src/oci/validate.ts';
import { changed, type Loose, problemsOf } from './helpers.ts';

type Row = [title: string, change: (config: Loose) => void, problems: string[]];

const PROGRAM: Row[] = [
  ['no process', (c) => delete c.process, ['process: process property must not be empty']],
  ['no cwd', (c) => delete c.process.cwd, ['process.cwd: Cwd property must not be empty']],
  ['an empty cwd', (c) => (c.process.cwd = ''), ['process.cwd: Cwd property must not be empty']],
  ['a relative cwd', (c) => (c.process.cwd = 'a'), ['process.cwd: Cwd must be an absolute path']],
  ['no args', (c) => delete c.process.args, ['process.args: args must not be empty']],
  ['empty args', (c) => (c.process.args = []), ['process.args: args must not be empty']],
  [
    'NUL in an argument',
    (c) => (c.process.args = ['a', 'b\0']),
    ['process.args[1]: must not contain NUL'],
  ],
  [
    'NUL in the environment',
    (c) => (c.process.env[1] = 'A=\0'),
    ['process.env[1]: must not contain NUL'],
  ],
  ['environment entries without a value', (c) => (c.process.env = ['SECRET', '*', '=x', '']), []],
];

const IDENTITY: Row[] = [
  ['no user', (c) => delete c.process.user, []],
  ['the highest uid', (c) => (c.process.user.uid = 4294967294), []],
  [
    'uid -1 of the kernel',
    (c) => (c.process.user.uid = 4294967295),
    ['process.user.uid: must be at most 4294967294'],
  ],
  [
    'gid -1 of the kernel',
    (c) => (c.process.user.gid = 4294967295),
    ['process.user.gid: must be at most 4294967294'],
  ],
  [
    'an additional gid of -1',
    (c) => (c.process.user.additionalGids = [0, 4294967295]),
    ['process.user.additionalGids[1]: must be at most 4294967294'],
  ],
  [
    'a fractional uid',
    (c) => (c.process.user.uid = 1.5),
    ['process.user.uid: must be an integer from 0 to 4294967295'],
  ],
  [
    'a uid as text',
    (c) => (c.process.user.uid = '0'),
    ['process.user.uid: must be an integer from 0 to 4294967295'],
  ],
  ['the widest umask', (c) => (c.process.user.umask = 0o777), []],
  [
    'a umask with more bits',
    (c) => (c.process.user.umask = 0o1000),
    ['process.user.umask: must be at most 511 (0777)'],
  ],
];

const LIMITS: Row[] = [
  [
    'an unknown rlimit',
    (c) => (c.process.rlimits[0].type = 'RLIMIT_FOO'),
    ['process.rlimits[0].type: is no resource limit of Linux'],
  ],
  [
    'a property of Object as rlimit',
    (c) => (c.process.rlimits[0].type = 'constructor'),
    ['process.rlimits[0].type: must match ^RLIMIT_[A-Z]+$'],
  ],
  [
    'an rlimit given twice',
    (c) => c.process.rlimits.push(c.process.rlimits[0]),
    ['process.rlimits[1].type: is given twice'],
  ],
  [
    'a soft limit above the hard one',
    (c) => (c.process.rlimits[0].soft = 1025),
    ['process.rlimits[0].soft: must not be above the hard limit 1024'],
  ],
  [
    'a soft bigint above a hard number',
    (c) => (c.process.rlimits[0].soft = 2n ** 64n - 1n),
    ['process.rlimits[0].soft: must not be above the hard limit 1024'],
  ],
  ['a soft number below a hard bigint', (c) => (c.process.rlimits[0].hard = 2n ** 64n - 1n), []],
  ['oomScoreAdj at its ends', (c) => (c.process.oomScoreAdj = -1000), []],
  [
    'oomScoreAdj beyond them',
    (c) => (c.process.oomScoreAdj = 1001),
    ['process.oomScoreAdj: must be from -1000 to 1000'],
  ],
  ['a console of 16 bits', (c) => (c.process.consoleSize = { height: 65535, width: 65535 }), []],
  [
    'a wider console',
    (c) => (c.process.consoleSize = { height: 1, width: 65536 }),
    ['process.consoleSize.width: must be at most 65535'],
  ],
  [
    'a console size without a terminal',
    (c) => Object.assign(c.process, { terminal: false, consoleSize: { height: 1, width: 65536 } }),
    [],
  ],
];

const scheduler = (value: Loose) => (c: Loose) => (c.process.scheduler = value);
const SCHEDULING: Row[] = [
  ['nice at its ends', scheduler({ policy: 'SCHED_BATCH', nice: -20 }), []],
  [
    'nice beyond them',
    scheduler({ policy: 'SCHED_OTHER', nice: 20 }),
    ['process.scheduler.nice: must be from -20 to 19'],
  ],
  ['a real-time priority', scheduler({ policy: 'SCHED_RR', priority: 99 }), []],
  [
    'no real-time priority',
    scheduler({ policy: 'SCHED_FIFO' }),
    ['process.scheduler.priority: must be from 1 to 99 with SCHED_FIFO'],
  ],
  [
    'a priority of 100',
    scheduler({ policy: 'SCHED_FIFO', priority: 100 }),
    ['process.scheduler.priority: must be from 1 to 99 with SCHED_FIFO'],
  ],
  [
    'a priority without real time',
    scheduler({ policy: 'SCHED_IDLE', priority: 1 }),
    ['process.scheduler.priority: is only for SCHED_FIFO and SCHED_RR'],
  ],
  [
    'a runtime without a deadline policy',
    scheduler({ policy: 'SCHED_OTHER', runtime: 5 }),
    ['process.scheduler.runtime: is only for SCHED_DEADLINE'],
  ],
  [
    'a deadline',
    scheduler({ policy: 'SCHED_DEADLINE', runtime: 2000, deadline: 3000, period: 4000 }),
    [],
  ],
  [
    'a deadline without a period',
    scheduler({ policy: 'SCHED_DEADLINE', runtime: 2000, deadline: 3000 }),
    [],
  ],
  [
    'a runtime too short',
    scheduler({ policy: 'SCHED_DEADLINE', runtime: 1023, deadline: 3000 }),
    ['process.scheduler.runtime: must be 1024 nanoseconds or more'],
  ],
  [
    'a deadline below the runtime',
    scheduler({ policy: 'SCHED_DEADLINE', runtime: 2000, deadline: 1999 }),
    ['process.scheduler.deadline: must not be below runtime'],
  ],
  [
    'a period below the deadline',
    scheduler({ policy: 'SCHED_DEADLINE', runtime: 2000, deadline: 3000, period: 2999 }),
    ['process.scheduler.period: must not be below deadline'],
  ],
  [
    'SCHED_ISO',
    scheduler({ policy: 'SCHED_ISO' }),
    ['process.scheduler.policy: Linux reserves the name and has no such policy'],
  ],
  [
    'an unknown policy',
    scheduler({ policy: 'SCHED_X' }),
    [
      'process.scheduler.policy: must be one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE',
    ],
  ],
  [
    'an unknown scheduler flag',
    scheduler({ policy: 'SCHED_OTHER', flags: ['X'] }),
    [
      'process.scheduler.flags[0]: must be one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX',
    ],
  ],
  [
    'an I/O priority of 7',
    (c) => (c.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 7 }),
    [],
  ],
  [
    'an I/O priority of 8',
    (c) => (c.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 8 }),
    ['process.ioPriority.priority: must be from 0 to 7'],
  ],
  [
    'an I/O priority of -1',
    (c) => (c.process.ioPriority = { class: 'IOPRIO_CLASS_RT', priority: -1 }),
    ['process.ioPriority.priority: must be from 0 to 7'],
  ],
  ['a CPU affinity', (c) => (c.process.execCPUAffinity = { initial: '0-3,7', final: '' }), []],
  [
    'a CPU affinity upside down',
    (c) => (c.process.execCPUAffinity = { initial: '3-0' }),
    ['process.execCPUAffinity.initial: must be a list of CPUs as 0-3,7'],
  ],
  [
    'a CPU affinity with holes',
    (c) => (c.process.execCPUAffinity = { final: '1--2' }),
    ['process.execCPUAffinity.final: must be a list of CPUs as 0-3,7'],
  ],
];

const HOOKS: Row[] = [
  ['a hook', (c) => (c.hooks = { createRuntime: [{ path: '/bin/true', timeout: 1 }] }), []],
  [
    'a relative hook',
    (c) => (c.hooks = { poststop: [{ path: '/a' }, { path: 'b' }] }),
    ['hooks.poststop[1].path: must be an absolute path'],
  ],
  [
    'a hook without a path',
    (c) => (c.hooks = { prestart: [{}] }),
    ['hooks.prestart[0].path: is required'],
  ],
  [
    'a timeout of 0',
    (c) => (c.hooks = { prestart: [{ path: '/a', timeout: 0 }] }),
    ['hooks.prestart[0].timeout: must be an integer of 1 or more'],
  ],
  [
    'a timeout beyond poll(2)',
    (c) => (c.hooks = { poststart: [{ path: '/a', timeout: 2147484 }] }),
    ['hooks.poststart[0].timeout: must be from 1 to 2147483'],
  ],
  [
    'NUL in a hook argument',
    (c) => (c.hooks = { startContainer: [{ path: '/a', args: ['\0'] }] }),
    ['hooks.startContainer[0].args[0]: must not contain NUL'],
  ],
];

describe.each([
  ['program', PROGRAM],
  ['identity', IDENTITY],
  ['limits', LIMITS],
  ['scheduling', SCHEDULING],
  ['hooks', HOOKS],
] as [string, Row[]][])('%s', (_name, rows) => {
  test.each(rows)('%s', (_title, change, problems) => {
    expect(problemsOf(change)).toEqual(problems);
  });
});

describe('warnings', () => {
  const warningsAfter = (change: (config: Loose) => void) =>
    validateConfig(changed(change)).warnings;

  test('an unknown capability is left out', () => {
    expect(
      warningsAfter((c) => (c.process.capabilities.ambient = ['CAP_KILL', 'CAP_X', 'toString'])),
    ).toEqual([
      'process.capabilities.ambient[1]: unknown capability "CAP_X" is left out',
      'process.capabilities.ambient[2]: unknown capability "toString" is left out',
    ]);
  });

  test('a nice value that the policy does not know', () => {
    expect(warningsAfter(scheduler({ policy: 'SCHED_IDLE', nice: 5 }))).toEqual([
      'process.scheduler.nice: has no effect with SCHED_IDLE',
    ]);
  });
});
