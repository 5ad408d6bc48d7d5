/**
 * What the program may and how it is scheduled: capabilities, rlimits, oomScoreAdj,
 * noNewPrivileges, scheduler, ioPriority, execCPUAffinity, personality.
 * runtime-spec 1.3 config.md#linux-process; capabilities(7), prlimit(2), sched(7), ioprio_set(2),
 * personality(2).
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { procStatus, statusFields } from '../helpers/proc.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';
import type { CapabilitySet, Patch } from '../helpers/spec.ts';

/** Bits of linux/capability.h. */
const BITS = { CAP_CHOWN: 0, CAP_KILL: 5, CAP_SETUID: 7, CAP_NET_RAW: 13, CAP_SYS_ADMIN: 21 };
const mask = (...names: (keyof typeof BITS)[]) =>
  names.reduce((bits, name) => bits | (1n << BigInt(BITS[name])), 0n);
const FIELDS: Record<CapabilitySet, string> = {
  inheritable: 'CapInh',
  permitted: 'CapPrm',
  effective: 'CapEff',
  bounding: 'CapBnd',
  ambient: 'CapAmb',
};

function capabilities(text: string): Record<CapabilitySet, bigint> {
  const fields = statusFields(text);
  const read = (set: CapabilitySet) => BigInt(`0x${fields[FIELDS[set]]}`);
  return {
    bounding: read('bounding'),
    effective: read('effective'),
    inheritable: read('inheritable'),
    permitted: read('permitted'),
    ambient: read('ambient'),
  };
}

async function statusWith(box: Box, patch: Patch): Promise<string> {
  return box.printed(box.bundle(['cat', '/proc/self/status'], patch));
}

describe('process.capabilities', () => {
  check('each of the five sets is exactly what is asked', async (box) => {
    const seen = await statusWith(box, (spec) => {
      spec.process.capabilities = {
        bounding: ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SYS_ADMIN'],
        effective: ['CAP_CHOWN', 'CAP_KILL'],
        permitted: ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID'],
        inheritable: ['CAP_KILL'],
        ambient: ['CAP_KILL'],
      };
      // Not root: root's sets are recomputed at execve, capabilities(7).
      spec.process.user = { uid: 1001, gid: 1001 };
    });
    const sets = capabilities(seen);
    expect(sets.bounding).toBe(mask('CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SYS_ADMIN'));
    expect(sets.inheritable).toBe(mask('CAP_KILL'));
    // An ordinary program of a user keeps the ambient ones.
    expect(sets).toMatchObject({
      ambient: mask('CAP_KILL'),
      permitted: mask('CAP_KILL'),
      effective: mask('CAP_KILL'),
    });
  });

  check('root gets the bounding set, nothing inheritable', async (box) => {
    const seen = await statusWith(box, (spec) => {
      const both = ['CAP_CHOWN', 'CAP_NET_RAW'];
      spec.process.capabilities = { bounding: both, effective: both, permitted: both };
    });
    const sets = capabilities(seen);
    const both = mask('CAP_CHOWN', 'CAP_NET_RAW');
    expect(sets).toEqual({
      bounding: both,
      effective: both,
      permitted: both,
      inheritable: 0n,
      ambient: 0n,
    });
  });

  check('a user without ambient ones has none', async (box) => {
    const seen = await statusWith(box, (spec) => {
      const some = ['CAP_CHOWN', 'CAP_KILL'];
      spec.process.capabilities = { bounding: some, effective: some, permitted: some };
      spec.process.user = { uid: 1001, gid: 1001 };
    });
    expect(capabilities(seen)).toEqual({
      bounding: mask('CAP_CHOWN', 'CAP_KILL'),
      effective: 0n,
      permitted: 0n,
      inheritable: 0n,
      ambient: 0n,
    });
  });

  check('ambient ones that are not inheritable are no failure and not there', async (box) => {
    // What `runc spec` writes: the kernel grants an ambient one only to the inheritable.
    const seen = await statusWith(box, (spec) => {
      spec.process.capabilities!.ambient = ['CAP_KILL'];
    });
    expect(capabilities(seen).ambient).toBe(0n);
  });

  check('empty sets leave nothing', async (box) => {
    const seen = await statusWith(box, (spec) => {
      spec.process.capabilities = {
        bounding: [],
        effective: [],
        permitted: [],
        inheritable: [],
        ambient: [],
      };
    });
    for (const value of Object.values(capabilities(seen))) expect(value).toBe(0n);
  });

  check('absent capabilities leave nothing', { notRunc: 'keeps all of its own' }, async (box) => {
    const seen = await statusWith(box, (spec) => {
      delete spec.process.capabilities;
    });
    for (const value of Object.values(capabilities(seen))) expect(value).toBe(0n);
  });

  check('an unknown one is no failure', async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/status'], (spec) => {
      const some = ['CAP_KILL', 'CAP_FROM_THE_FUTURE'];
      spec.process.capabilities = { bounding: some, effective: some, permitted: some };
    });
    const outcome = await box.run(bundle, [], { global: ['--log', box.path('log')] });
    expect(outcome.status).toBe(0);
    expect(capabilities(outcome.stdout).bounding).toBe(mask('CAP_KILL'));
    if (isRuncell) expect(readFileSync(box.path('log'), 'utf8')).toContain('CAP_FROM_THE_FUTURE');
  });

  check('noNewPrivileges true and false', async (box) => {
    for (const value of [true, false]) {
      const seen = await statusWith(box, (spec) => {
        spec.process.noNewPrivileges = value;
      });
      expect(statusFields(seen)['NoNewPrivs']).toBe(value ? '1' : '0');
    }
  });
});

describe('process.rlimits', () => {
  const LOWERED = [
    ['RLIMIT_AS', 'Max address space', 1 << 30, 1 << 30],
    ['RLIMIT_CORE', 'Max core file size', 0, 1024],
    ['RLIMIT_CPU', 'Max cpu time', 100, 200],
    ['RLIMIT_DATA', 'Max data size', 1 << 29, 1 << 30],
    ['RLIMIT_FSIZE', 'Max file size', 1 << 20, 1 << 21],
    ['RLIMIT_LOCKS', 'Max file locks', 10, 20],
    ['RLIMIT_MEMLOCK', 'Max locked memory', 4096, 8192],
    ['RLIMIT_MSGQUEUE', 'Max msgqueue size', 4096, 8192],
    ['RLIMIT_NICE', 'Max nice priority', 0, 0],
    ['RLIMIT_NOFILE', 'Max open files', 100, 200],
    ['RLIMIT_NPROC', 'Max processes', 500, 600],
    ['RLIMIT_RSS', 'Max resident set', 1 << 29, 1 << 30],
    ['RLIMIT_RTPRIO', 'Max realtime priority', 0, 0],
    ['RLIMIT_RTTIME', 'Max realtime timeout', 1000, 2000],
    ['RLIMIT_SIGPENDING', 'Max pending signals', 10, 20],
    ['RLIMIT_STACK', 'Max stack size', 1 << 22, 1 << 23],
  ] as const;

  check('each of the sixteen is set', async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/limits'], (spec) => {
      spec.process.rlimits = LOWERED.map(([type, , soft, hard]) => ({ type, soft, hard }));
    });
    const out = await box.printed(bundle);
    for (const [type, name, soft, hard] of LOWERED) {
      const line = out.split('\n').find((one) => one.startsWith(name));
      const [, seenSoft, seenHard] = /^.{26}(\S+) +(\S+)/.exec(line!)!;
      expect({ type, soft: seenSoft, hard: seenHard }).toEqual({
        type,
        soft: String(soft),
        hard: String(hard),
      });
    }
  });

  check('18446744073709551615 is unlimited', async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/limits'], (spec) => {
      const infinity = 18446744073709551615n;
      spec.process.rlimits = [
        { type: 'RLIMIT_AS', soft: infinity, hard: infinity },
        { type: 'RLIMIT_FSIZE', soft: 9007199254740993n, hard: infinity },
      ];
    });
    const out = await box.printed(bundle);
    expect(out).toMatch(/^Max address space +unlimited +unlimited/m);
    expect(out).toMatch(/^Max file size +9007199254740993 +unlimited/m);
  });

  check("absent ones are the caller's, RLIMIT_NOFILE too", async (box) => {
    const { dir } = box.bundle(['sh', '-c', 'ulimit -Sn; ulimit -Hn; ulimit -Sc'], (spec) => {
      delete spec.process.rlimits;
    });
    const words = `exec ${runtime.path} --root ${box.root} run --bundle ${dir} ${box.id()}`;
    const script = `ulimit -Sn 1234; ulimit -Hn 5000; ulimit -Sc 0; ${words}`;
    const { stdout, stderr } = await box.command('bash', ['-c', script]);
    expect(stderr).toBe('');
    const [soft, hard, core] = stdout.split('\n');
    // Go raises the soft limit in itself and runc 1.1.5 hands it on.
    expect([isRuncell ? soft : '1234', hard, core]).toEqual(['1234', '5000', '0']);
  });

  check('raised above the hard limit', { capability: 'CAP_SYS_RESOURCE' }, async (box) => {
    const out = await box.sh('ulimit -Hn', (spec) => {
      spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1_000_000, hard: 1_000_000 }];
    });
    expect(out).toBe('1000000');
  });

  check('raised without the privilege is refused, the field named', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      spec.process.rlimits = [{ type: 'RLIMIT_NPROC', soft: 4_000_000_000, hard: 4_000_000_000 }];
    });
    // With the privilege the container simply runs.
    const outcome = await box.run(bundle);
    const effective = BigInt(`0x${procStatus(process.pid)['CapEff']}`);
    const privileged = ((effective >> 24n) & 1n) === 1n; // CAP_SYS_RESOURCE
    if (privileged) expect(outcome.status).toBe(0);
    else expect(refusal(outcome)).toMatch(isRuncell ? /rlimits\[0\].*not permitted/ : /rlimit/);
  });

  const BAD = [
    ['unknown', [{ type: 'RLIMIT_NOPE', soft: 1, hard: 1 }]],
    [
      'duplicate',
      [
        { type: 'RLIMIT_CORE', soft: 1, hard: 1 },
        { type: 'RLIMIT_CORE', soft: 1, hard: 1 },
      ],
    ],
  ] as const;
  for (const [what, rlimits] of BAD) {
    const judge = what === 'duplicate' ? { notRunc: 'takes the last' } : {};
    check(`an ${what} one is refused`, judge, async (box) => {
      const bundle = box.bundle(['true'], (spec) => {
        spec.process.rlimits = [...rlimits];
      });
      expect(refusal(await box.run(bundle))).toMatch(/RLIMIT_|rlimit/i);
    });
  }
});

describe('process.oomScoreAdj', () => {
  check('is set when present', async (box) => {
    for (const value of [0, 500, 1000]) {
      const out = await box.sh('cat /proc/self/oom_score_adj', (spec) => {
        spec.process['oomScoreAdj'] = value;
      });
      expect(out).toBe(String(value));
    }
  });

  check("is the caller's when absent", async (box) => {
    const own = readFileSync('/proc/self/oom_score_adj', 'latin1').trim();
    expect(await box.sh('cat /proc/self/oom_score_adj')).toBe(own);
  });
});

const since12 = { notRunc: 'came with runc 1.2' };

describe('process.scheduler', () => {
  /** policy, nice, rt_priority: fields 41, 19 and 40 of /proc/PID/stat, proc_pid_stat(5). */
  const scheduling = (line: string) => {
    const fields = line.replace(/^.*\) /, '').split(' ');
    return { policy: Number(fields[38]), nice: Number(fields[16]), priority: Number(fields[37]) };
  };
  /** Numbers of linux/sched.h. */
  const TABLE = [
    [
      { policy: 'SCHED_BATCH', nice: 5 },
      { policy: 3, nice: 5, priority: 0 },
    ],
    [{ policy: 'SCHED_IDLE' }, { policy: 5, nice: 0, priority: 0 }],
    [
      { policy: 'SCHED_OTHER', nice: -7 },
      { policy: 0, nice: -7, priority: 0 },
    ],
    [
      { policy: 'SCHED_FIFO', priority: 3 },
      { policy: 1, priority: 3 },
    ],
    [
      { policy: 'SCHED_RR', priority: 99 },
      { policy: 2, priority: 99 },
    ],
  ] as const;
  const privileged = { ...since12, capability: 'CAP_SYS_NICE' };
  for (const [scheduler, wanted] of TABLE) {
    check(`${JSON.stringify(scheduler)}`, privileged, async (box) => {
      const bundle = box.bundle(['cat', '/proc/self/stat'], (spec) => {
        spec.process['scheduler'] = scheduler;
      });
      expect(scheduling(await box.printed(bundle))).toMatchObject(wanted);
    });
  }

  check('SCHED_FLAG_RESET_ON_FORK: children are ordinary', privileged, async (box) => {
    const out = await box.sh(
      'read line </proc/self/stat; echo "$line"; cat /proc/self/stat; :',
      (spec) => {
        const flags = ['SCHED_FLAG_RESET_ON_FORK'];
        spec.process['scheduler'] = { policy: 'SCHED_FIFO', priority: 1, flags };
      },
    );
    expect(out.split('\n').map((line) => scheduling(line).policy)).toEqual([1, 0]);
  });

  check('SCHED_DEADLINE', { ...since12, capability: 'CAP_SYS_NICE' }, async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/sched'], (spec) => {
      spec.process['scheduler'] = {
        policy: 'SCHED_DEADLINE',
        runtime: 10_000_000,
        deadline: 20_000_000,
        period: 30_000_000,
      };
    });
    expect(await box.printed(bundle)).toMatch(/^policy +: +6$/m);
  });

  check('values that contradict the policy are refused', since12, async (box) => {
    for (const scheduler of [
      { policy: 'SCHED_NOPE' },
      { policy: 'SCHED_OTHER', nice: 20 },
      { policy: 'SCHED_OTHER', priority: 1 },
      { policy: 'SCHED_BATCH', runtime: 1 },
      { policy: 'SCHED_OTHER', flags: ['SCHED_FLAG_NOPE'] },
    ]) {
      const bundle = box.bundle(['true'], (spec) => {
        spec.process['scheduler'] = scheduler;
      });
      expect(refusal(await box.run(bundle))).toMatch(/process\.scheduler/);
    }
  });
});

describe('process.ioPriority', () => {
  const TABLE = [
    [{ class: 'IOPRIO_CLASS_BE', priority: 6 }, 'best-effort: prio 6'],
    [{ class: 'IOPRIO_CLASS_RT', priority: 2 }, 'realtime: prio 2'],
    [{ class: 'IOPRIO_CLASS_IDLE', priority: 0 }, 'idle'],
  ] as const;
  for (const [ioPriority, shown] of TABLE) {
    check(`${ioPriority.class}`, { ...since12, capability: 'CAP_SYS_NICE' }, async (box) => {
      const bundle = box.bundle(['ionice', '-p', '1'], (spec) => {
        spec.process['ioPriority'] = ioPriority;
      });
      expect(await box.printed(bundle)).toContain(shown);
    });
  }

  check('an unknown class and a priority above 7 are refused', since12, async (box) => {
    for (const ioPriority of [
      { class: 'IOPRIO_CLASS_NOPE', priority: 0 },
      { class: 'IOPRIO_CLASS_BE', priority: 8 },
    ]) {
      const bundle = box.bundle(['true'], (spec) => {
        spec.process['ioPriority'] = ioPriority;
      });
      expect(refusal(await box.run(bundle))).toMatch(/process\.ioPriority/);
    }
  });
});

describe('process.execCPUAffinity', () => {
  const affinity = { notRunc: 'came with runc 1.3' };
  const allowed = ['grep', 'Cpus_allowed_list', '/proc/self/status'];

  check('final is what exec runs on, init is not touched', affinity, async (box) => {
    const container = await box.start(
      box.bundle(['sleep', '100'], (spec) => {
        spec.process['execCPUAffinity'] = { initial: '0', final: '0' };
      }),
    );
    expect(await box.exec(container, allowed)).toMatch(/:\t0$/);
    const init = procStatus(container.pid);
    const own = procStatus(process.pid);
    expect(init['Cpus_allowed_list']).toBe(own['Cpus_allowed_list']);
  });

  check('bad syntax is refused by its field', affinity, async (box) => {
    for (const final of ['x', '1-', '3-1', '99999']) {
      const bundle = box.bundle(['true'], (spec) => {
        spec.process['execCPUAffinity'] = { final };
      });
      expect(refusal(await box.run(bundle))).toContain('process.execCPUAffinity.final');
    }
  });
});

describe('linux.personality', () => {
  check('LINUX32 makes the machine a 32-bit one', since12, async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/personality'], (spec) => {
      spec.linux['personality'] = { domain: 'LINUX32' };
    });
    expect(await box.printed(bundle)).toBe('00000008');
    box.rewrite(bundle, (spec) => {
      spec.linux['personality'] = { domain: 'LINUX' };
    });
    expect(await box.printed(bundle)).toBe('00000000');
  });

  check('holds for exec', since12, async (box) => {
    const container = await box.start(
      box.bundle(['sleep', '100'], (spec) => {
        spec.linux['personality'] = { domain: 'LINUX32' };
      }),
    );
    expect(await box.exec(container, ['cat', '/proc/self/personality'])).toBe('00000008');
  });

  check('an unknown domain and flags are refused', since12, async (box) => {
    for (const personality of [{ domain: 'BSD' }, { domain: 'LINUX', flags: ['X'] }]) {
      const bundle = box.bundle(['true'], (spec) => {
        spec.linux['personality'] = personality;
      });
      expect(refusal(await box.run(bundle))).toMatch(/linux\.personality/);
    }
  });
});
