/**
 * Every field of linux.resources on a system where cgroup v2 has every controller: written, read back
 * from the kernel's files, and in force. runtime-spec 1.3 config-linux.md#configLinuxControlGroups,
 * runtime-cli.md §6, admin-guide/cgroup-v2.rst.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { content, DISK, diskNumber, limited, MIB, run, started } from '../helpers/limited.ts';
import { cgroup2Root, cgroupsNamed, namespaceOf } from '../helpers/proc.ts';
import type { Spec } from '../helpers/spec.ts';

const need = { controller: 'memory', timeoutMs: 300_000 } as const;

describe('every field', () => {
  check('is in the file that the kernel has for it', need, async (box) => {
    run('modprobe', 'bfq');
    writeFileSync(`/sys/block/${DISK}/queue/scheduler`, 'bfq');
    const disk = diskNumber();
    const at = `${disk.major}:${disk.minor}`;
    const { file } = await started(box, {
      memory: { limit: 256 * MIB, reservation: 128 * MIB, swap: 512 * MIB },
      cpu: { shares: 512, quota: 50_000, period: 200_000, burst: 10_000, cpus: '0', mems: '0' },
      pids: { limit: 100 },
      blockIO: {
        weight: 500,
        weightDevice: [{ ...disk, weight: 300 }],
        throttleReadBpsDevice: [{ ...disk, rate: MIB }],
        throttleWriteBpsDevice: [{ ...disk, rate: 2 * MIB }],
        throttleReadIOPSDevice: [{ ...disk, rate: 1000 }],
        throttleWriteIOPSDevice: [{ ...disk, rate: 2000 }],
      },
      hugepageLimits: [{ pageSize: '2MB', limit: 4 * MIB }],
      unified: { 'memory.high': '200M', 'memory.oom.group': '1', 'cgroup.max.depth': '5' },
    });
    expect({
      'memory.max': file('memory.max'),
      'memory.low': file('memory.low'),
      'memory.swap.max': file('memory.swap.max'),
      'cpu.weight': file('cpu.weight'),
      'cpu.max': file('cpu.max'),
      'cpu.max.burst': file('cpu.max.burst'),
      'cpuset.cpus': file('cpuset.cpus'),
      'cpuset.mems': file('cpuset.mems'),
      'pids.max': file('pids.max'),
      'io.bfq.weight': file('io.bfq.weight').split('\n'),
      'io.max': file('io.max'),
      'hugetlb.2MB.max': file('hugetlb.2MB.max'),
      'hugetlb.2MB.rsvd.max': file('hugetlb.2MB.rsvd.max'),
      'memory.high': file('memory.high'),
      'memory.oom.group': file('memory.oom.group'),
      'cgroup.max.depth': file('cgroup.max.depth'),
    }).toEqual({
      'memory.max': String(256 * MIB),
      'memory.low': String(128 * MIB),
      'memory.swap.max': String(256 * MIB),
      'cpu.weight': '59',
      'cpu.max': '50000 200000',
      'cpu.max.burst': '10000',
      'cpuset.cpus': '0',
      'cpuset.mems': '0',
      'pids.max': '100',
      'io.bfq.weight': ['default 500', `${at} 300`],
      'io.max': `${at} rbps=${MIB} wbps=${2 * MIB} riops=1000 wiops=2000`,
      'hugetlb.2MB.max': String(4 * MIB),
      'hugetlb.2MB.rsvd.max': String(4 * MIB),
      'memory.high': String(200 * MIB),
      'memory.oom.group': '1',
      'cgroup.max.depth': '5',
    });
  });

  check('the other forms: idle, io.weight, no limits', need, async (box) => {
    writeFileSync(`/sys/block/${DISK}/queue/scheduler`, 'none');
    run('modprobe', '--remove', 'bfq');
    const { file } = await started(box, {
      memory: { limit: -1, reservation: -1, swap: -1 },
      cpu: { idle: 1, shares: 2, quota: -1 },
      pids: { limit: 0 },
      blockIO: { weight: 1000 },
    });
    expect(file('cpu.idle')).toBe('1');
    expect(file('cpu.max')).toBe('max 100000');
    expect(file('memory.max')).toBe('max');
    expect(file('memory.low')).toBe('max');
    expect(file('memory.swap.max')).toBe('max');
    expect(file('io.weight')).toBe('default 10000');
    // The tests' documents are of a version in which 0 is no limit.
    expect(file('pids.max')).toBe('max');
  });

  check('rdma: refused by the kernel where there is no such device', need, async (box) => {
    const { patch } = limited(box, { rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10000 } } });
    const line = refusal(await box.run(box.bundle(['true'], patch)));
    expect(line).toMatch(
      /linux\.resources\.rdma\.mlx5_1: write "mlx5_1 hca_handle=3 hca_object=10000" to/,
    );
  });
});

describe('in force', () => {
  check('a memory hog is killed, and the kernel’s count says by whose limit', need, async (box) => {
    const hog = ['sh', '-c', 'tail /dev/zero; echo "tail: $?"; sleep 1000'];
    const { container, file } = await started(
      box,
      { memory: { limit: 32 * MIB, swap: 32 * MIB } },
      hog,
    );
    await eventually('the hog is killed', () => /tail: 137/.test(container.out()), 60_000);
    expect(file('memory.events.local')).toMatch(/^oom_kill [1-9]/m);
    expect(Number(file('memory.peak'))).toBeLessThanOrEqual(32 * MIB);
    expect(await box.status(container.id)).toBe('running');
  });

  check('a program that is killed for memory ends a run with 137', need, async (box) => {
    const { patch } = limited(box, { memory: { limit: 16 * MIB, swap: 16 * MIB } });
    const outcome = await box.run(box.bundle(['tail', '/dev/zero'], patch), [], {
      timeoutMs: 90_000,
    });
    expect(outcome.status).toBe(137);
    expect(outcome.stderr).toMatch(
      /was OOM-killed: .*limited reached its limit of 16777216 bytes, its peak was \d+/,
    );
  });

  check('a fork bomb stops at pids.max', need, async (box) => {
    const bomb = ['sh', '-c', 'f() { sleep 1000 & f | f & }; f; sleep 1000'];
    const { file } = await started(box, { pids: { limit: 20 } }, bomb);
    await eventually('forks are refused', () => /max [1-9]/.test(file('pids.events')), 60_000);
    expect(Number(file('pids.peak'))).toBeLessThanOrEqual(20);
    expect(Number(file('pids.current'))).toBeLessThanOrEqual(20);
  });

  check('a cpu quota holds within 10 %', need, async (box) => {
    const busy = ['sh', '-c', 'while :; do :; done'];
    const { file } = await started(box, { cpu: { quota: 20_000, period: 100_000 } }, busy);
    const used = (): number => Number(/usage_usec (\d+)/.exec(file('cpu.stat'))![1]);
    await sleep(1000);
    const [usage, time] = [used(), performance.now()];
    await sleep(10_000);
    const share = (used() - usage) / 1000 / (performance.now() - time);
    expect(share).toBeGreaterThan(0.18);
    expect(share).toBeLessThan(0.22);
    expect(file('cpu.stat')).toMatch(/nr_throttled [1-9]/);
  });

  check('a cpuset is where the program runs', need, async (box) => {
    const { patch } = limited(box, { cpu: { cpus: '1' } });
    const out = await box.sh('grep Cpus_allowed_list /proc/self/status', patch);
    expect(out).toMatch(/:\s+1$/);
  });

  check('limits hold from the first instruction: hooks see them', need, async (box) => {
    const { patch, group } = limited(box, { memory: { limit: 64 * MIB }, pids: { limit: 7 } });
    const seen = box.path('seen');
    const bundle = box.bundle(['true'], (spec) => {
      patch(spec);
      const script = `cat ${group}/memory.max ${group}/pids.max ${group}/cgroup.procs > ${seen}`;
      spec.hooks = { prestart: [{ path: '/bin/sh', args: ['sh', '-c', script] }] };
    });
    expect(await box.run(bundle)).toMatchObject({ status: 0 });
    expect(content(seen)).toMatch(new RegExp(`^${64 * MIB}\n7\n\\d+$`));
  });

  check('the container sees its group as the root', need, async (box) => {
    const { patch } = limited(box, { memory: { limit: 64 * MIB } });
    const out = await box.sh('cat /proc/self/cgroup', (spec) => {
      patch(spec);
      spec.linux.namespaces.push({ type: 'cgroup' });
    });
    expect(out).toBe('0::/');
  });
});

describe('placement', () => {
  check('at no moment is a process of the container outside of its group', need, async (box) => {
    const { patch, group } = limited(box, { pids: { limit: 50 } });
    const own = namespaceOf('self', 'pid');
    const inside = group.slice(cgroup2Root()!.length);
    const outside: string[] = [];
    let seen = 0;
    const look = (): void => {
      for (const name of readdirSync('/proc')) {
        if (!/^\d+$/.test(name)) continue;
        try {
          if (namespaceOf(Number(name), 'pid') === own) continue;
          const place = content(`/proc/${name}/cgroup`).replace(/^0::/, '');
          if (place.startsWith(inside)) seen++;
          // Others' containers are in others' groups; and a group may go before its zombie is reaped.
          else if (!/\/rct\d+x\d+|\(deleted\)$/.test(place)) outside.push(`${name}: ${place}`);
        } catch {
          // It ended while it was looked at.
        }
      }
    };
    let going = true;
    const watching = (async () => {
      while (going) {
        look();
        await sleep(1);
      }
    })();
    const slow = { timeoutMs: 60_000 };
    const container = await box.create(box.bundle(['sleep', '1000'], patch), [], slow);
    await box.silent(['start', container.id], slow);
    expect(await box.verb(['exec', container.id, 'true'], slow)).toMatchObject({ status: 0 });
    await box.silent(['kill', container.id, 'KILL'], slow);
    going = false;
    await watching;
    expect(outside).toEqual([]);
    expect(seen).toBeGreaterThan(10);
  });
});

/** Names and settings of every group, but for those that change by themselves. */
function tree(): string[] {
  return run('find', cgroup2Root()!, '-type', 'd')
    .trim()
    .split('\n')
    .sort()
    .map((dir) => `${dir} ${content(`${dir}/cgroup.subtree_control`)}`);
}

describe('refused, and the tree of groups is as it was', () => {
  const BAD: readonly [string, Record<string, unknown>, RegExp][] = [
    ['negative', { memory: { limit: -2 } }, /memory\.limit -2/],
    ['overflow', { memory: { limit: 2 ** 65 } }, /memory\.limit/],
    ['an unknown controller', { unified: { 'nosuch.max': '1' } }, /controller "nosuch"/],
    ['a path that escapes', { unified: { '../memory.max': '1' } }, /no slashes/],
    [
      'a CPU that is not there',
      { cpu: { cpus: '4000' } },
      /cpu\.cpus: write "4000" to .*cpuset\.cpus/,
    ],
    ['a swap limit alone', { memory: { swap: 1 << 20 } }, /memory\.swap .*needs memory\.limit/],
    [
      'a device that is not there',
      { blockIO: { throttleReadBpsDevice: [{ major: 99, minor: 9, rate: 1 }] } },
      /ENODEV.*no whole block device/,
    ],
    [
      'a value after good ones',
      { pids: { limit: 5 }, memory: { limit: 64 * MIB }, unified: { 'memory.high': 'x' } },
      /EINVAL/,
    ],
  ];
  check('bad input of every kind', need, async (box) => {
    // The first container turns controllers on; that stays, as of runc.
    await box.printed(box.bundle(['true'], limited(box, { pids: { limit: 5 } }).patch));
    const before = tree();
    for (const [what, resources, expected] of BAD) {
      const { patch } = limited(box, resources);
      expect(refusal(await box.run(box.bundle(['true'], patch))), what).toMatch(expected);
      expect(tree(), what).toEqual(before);
    }
    const escaping = box.bundle(['true'], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}/../../../etc`;
    });
    expect(refusal(await box.run(escaping))).toMatch(/cgroupsPath/);
    expect(tree()).toEqual(before);
  });

  check('a group that is not empty', need, async (box) => {
    const group = `${cgroup2Root()}/${box.tag}-busy`;
    mkdirSync(group);
    const sleeper = spawn('sleep', ['1000'], { stdio: 'ignore' });
    writeFileSync(`${group}/cgroup.procs`, String(sleeper.pid));
    const before = tree();
    const bundle = box.bundle(['true'], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-busy`;
      spec.linux.resources = { pids: { limit: 1 } };
    });
    expect(refusal(await box.run(bundle))).toMatch(/cgroup is not empty: 1 process\(es\) found/);
    expect(tree()).toEqual(before);
    expect(content(`${group}/pids.max`)).toBe('max');
    const inner = box.bundle(['true'], (spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-busy/inner`;
      spec.linux.resources = { memory: { limit: MIB } };
    });
    expect(refusal(await box.run(inner))).toMatch(
      /memory controller in .*-busy: the cgroup holds 1 process/,
    );
    expect(tree()).toEqual(before);
    sleeper.kill('SIGKILL');
    await eventually('it is empty', () => content(`${group}/cgroup.procs`) === '');
    rmdirSync(group);
  });

  check('domain limits in a threaded tree; others work there', need, async (box) => {
    const top = `${cgroup2Root()}/${box.tag}-t`;
    mkdirSync(top);
    const sleeper = spawn('sleep', ['1000'], { stdio: 'ignore' });
    writeFileSync(`${top}/cgroup.procs`, String(sleeper.pid));
    writeFileSync(`${top}/cgroup.subtree_control`, '+pids');
    const inside = (resources: Record<string, unknown>) => (spec: Spec) => {
      spec.linux.cgroupsPath = `/${box.tag}-t/inner`;
      spec.linux.resources = resources;
    };
    const line = refusal(
      await box.run(box.bundle(['true'], inside({ memory: { limit: 64 * MIB } }))),
    );
    expect(line).toMatch(
      /the cgroup is domain (invalid|threaded): the memory controller works in domains/,
    );
    expect(existsSync(`${top}/inner`)).toBe(false);
    await box.run(box.bundle(['true'], inside({ pids: { limit: 9 } })));
    sleeper.kill('SIGKILL');
    await eventually('it is empty', () => content(`${top}/cgroup.procs`) === '');
    for (const dir of cgroupsNamed(`${box.tag}-t`).reverse()) rmdirSync(dir);
  });
});

describe('too little memory', () => {
  for (const limit of [4096, 64 << 10]) {
    check(`of ${limit} bytes is said, with the peak and the remedy`, need, async (box) => {
      const { patch } = limited(box, { memory: { limit, swap: limit } });
      const line = refusal(await box.run(box.bundle(['true'], patch), [], { timeoutMs: 90_000 }));
      expect(line).toMatch(/memory limit too low\?/);
      expect(line).toMatch(/its peak was \d+/);
      expect(line).toMatch(/raise linux\.resources\.memory\.limit/);
      expect(cgroupsNamed(box.tag)).toEqual([]);
    });
  }

  check('of a group above is that group’s', need, async (box) => {
    const top = `${cgroup2Root()}/${box.tag}-top`;
    mkdirSync(top);
    writeFileSync(`${cgroup2Root()}/cgroup.subtree_control`, '+memory');
    writeFileSync(`${top}/memory.max`, '65536');
    writeFileSync(`${top}/memory.swap.max`, '0');
    const { patch } = limited(box, {});
    const line = refusal(await box.run(box.bundle(['true'], patch), [], { timeoutMs: 90_000 }));
    expect(line).toContain('container init was OOM-killed (memory limit too low?)');
    expect(line).toContain(`${top} reached its limit of 65536 bytes`);
    rmdirSync(top);
  });
});
