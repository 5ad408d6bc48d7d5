/**
 * update with every controller: each flag, what is not given, all or none, and a memory limit below
 * what is in use. runtime-cli.md §1.8.
 */

import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, type Container, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { content, diskNumber, limited, MIB, run, started } from '../helpers/limited.ts';
import { cgroupsNamed } from '../helpers/proc.ts';

const need = { controller: 'memory', timeoutMs: 300_000 } as const;

/** `update` that must work. */
const updated = (box: Box, { id }: Container, ...words: string[]): Promise<void> =>
  box.silent(['update', ...words, id], { timeoutMs: 60_000 });

describe('update', () => {
  check('every flag, and what is not given stays', need, async (box) => {
    const { container, file } = await started(box, {
      memory: { limit: 64 * MIB },
      cpu: { quota: 50_000, period: 100_000 },
    });
    await updated(
      box,
      container,
      '--memory',
      '128m',
      '--memory-swap',
      '192m',
      '--pids-limit',
      '30',
    );
    expect([file('memory.max'), file('memory.swap.max'), file('pids.max')]).toEqual([
      String(128 * MIB),
      String(64 * MIB),
      '30',
    ]);
    expect(file('cpu.max')).toBe('50000 100000');
    await updated(box, container, '--cpu-period', '200000');
    expect(file('cpu.max')).toBe('50000 200000');
    await updated(box, container, '--cpu-quota', '80000', '--cpu-burst', '1000');
    expect([file('cpu.max'), file('cpu.max.burst')]).toEqual(['80000 200000', '1000']);
    // Below the old burst: the kernel takes them in one order only.
    await updated(box, container, '--cpu-quota', '2000', '--cpu-burst', '500');
    expect([file('cpu.max'), file('cpu.max.burst')]).toEqual(['2000 200000', '500']);
    await updated(box, container, '--cpu-quota', '90000', '--cpu-burst', '70000');
    expect([file('cpu.max'), file('cpu.max.burst')]).toEqual(['90000 200000', '70000']);
    await updated(
      box,
      container,
      '--cpu-share',
      '2048',
      '--cpuset-cpus',
      '0',
      '--cpuset-mems',
      '0',
    );
    expect([file('cpu.weight'), file('cpuset.cpus'), file('cpuset.mems')]).toEqual([
      '174',
      '0',
      '0',
    ]);
    await updated(box, container, '--memory-reservation', '10m');
    expect(file('memory.low')).toBe(String(10 * MIB));
    await updated(box, container, '--memory-swap', '160m');
    expect(file('memory.swap.max')).toBe(String(32 * MIB));
    await updated(
      box,
      container,
      '--memory',
      '-1',
      '--cpu-quota=-1',
      '--cpu-burst',
      '0',
      '--pids-limit',
      '-1',
    );
    expect([file('memory.max'), file('memory.swap.max')]).toEqual(['max', 'max']);
    expect([file('cpu.max'), file('pids.max')]).toEqual(['max 200000', 'max']);
    await updated(box, container, '--cpu-idle', '1');
    expect(file('cpu.idle')).toBe('1');
    await updated(box, container, '--cpu-idle', '0', '--cpu-share', '1024');
    expect([file('cpu.idle'), file('cpu.weight')]).toEqual(['0', '100']);
  });

  check('block I/O by a document, a device at a time', need, async (box) => {
    const disk = diskNumber();
    const at = `${disk.major}:${disk.minor}`;
    const { container, file } = await started(box, {
      blockIO: { throttleReadBpsDevice: [{ ...disk, rate: MIB }] },
    });
    const more = { blockIO: { throttleWriteIOPSDevice: [{ ...disk, rate: 50 }] } };
    const input = JSON.stringify(more);
    await box.silent(['update', '-r', '-', container.id], { input, timeoutMs: 60_000 });
    expect(file('io.max')).toBe(`${at} rbps=${MIB} wbps=max riops=max wiops=50`);
    const kept = content(`${box.stateDir(container.id)}/resources.json`);
    expect(JSON.parse(kept).blockIO).toEqual({
      throttleReadBpsDevice: [{ ...disk, rate: MIB }],
      throttleWriteIOPSDevice: [{ ...disk, rate: 50 }],
    });
  });

  check('writes the old limits back when one is refused', need, async (box) => {
    const disk = diskNumber();
    const { container, file } = await started(box, {
      memory: { limit: 64 * MIB, swap: 64 * MIB },
      cpu: { shares: 1024 },
      blockIO: { throttleReadBpsDevice: [{ ...disk, rate: MIB }] },
    });
    const files = [
      'memory.max',
      'memory.swap.max',
      'pids.max',
      'cpu.weight',
      'cpu.max',
      'io.max',
      'cpuset.cpus',
    ];
    const before = files.map(file);
    const input = JSON.stringify({
      memory: { limit: 80 * MIB, swap: 90 * MIB },
      pids: { limit: 9 },
      cpu: { shares: 5, quota: 9000, cpus: '0' },
      blockIO: { throttleReadBpsDevice: [{ ...disk, rate: 5 }] },
      unified: { 'memory.high': 'x' },
    });
    const line = refusal(
      await box.verb(['update', '-r', '-', container.id], { input, timeoutMs: 60_000 }),
    );
    expect(line).toMatch(/^unified\["memory\.high"\]: write "x" to .*EINVAL/);
    // With processes in it a set cannot be emptied again: then what the empty one stood for.
    before[before.length - 1] = file('cpuset.cpus.effective');
    expect(files.map(file)).toEqual(before);
    expect(existsSync(`${box.stateDir(container.id)}/resources.json`)).toBe(false);
  });

  check('reclaims before a limit below what is in use, and kills nobody', need, async (box) => {
    const cache = `/project/${box.tag}-cache`;
    writeFileSync(cache, '');
    const at = limited(box, { memory: { limit: 256 * MIB } });
    const script =
      'dd if=/dev/zero of=/cache bs=1M count=60 2>/dev/null; sync; echo ready; sleep 1000';
    const bundle = box.bundle(['sh', '-c', script], (spec) => {
      at.patch(spec);
      spec.mounts.push({ destination: '/cache', source: cache, type: 'bind', options: ['bind'] });
    });
    writeFileSync(`${bundle.rootfs}/cache`, '');
    const container = await box.start(bundle);
    await eventually('the file is written', () => container.out().includes('ready'), 60_000);
    expect(Number(at.file('memory.current'))).toBeGreaterThan(40 * MIB);
    await updated(box, container, '--memory', '16m');
    expect(Number(at.file('memory.current'))).toBeLessThanOrEqual(16 * MIB);
    expect(at.file('memory.events')).toMatch(/^oom_kill 0$/m);
    expect(await box.status(container.id)).toBe('running');
    run('rm', cache);
  });

  check('with checkBeforeUpdate refuses a limit below what is in use', need, async (box) => {
    const script = 'x=$(head -c 20000000 /dev/zero | tr "\\0" x); echo ready; sleep 1000; echo $x';
    const args = ['sh', '-c', script];
    const { container, file } = await started(box, { memory: { limit: 256 * MIB } }, args);
    await eventually('memory is used', () => container.out().includes('ready'), 90_000);
    const input = JSON.stringify({ memory: { limit: 8 * MIB, checkBeforeUpdate: true } });
    const line = refusal(
      await box.verb(['update', '-r', '-', container.id], { input, timeoutMs: 60_000 }),
    );
    expect(line).toMatch(/memory\.limit: rejecting memory limit 8388608 <= usage \d+/);
    expect(file('memory.max')).toBe(String(256 * MIB));
  });

  check('of a run in the foreground leaves nothing when it ends', need, async (box) => {
    const at = limited(box, { pids: { limit: 10 } });
    const bundle = box.bundle(['sleep', '1000'], at.patch);
    const id = box.id();
    const running = box.verb(['run', '--bundle', bundle.dir, id], { timeoutMs: 150_000 });
    await eventually('it runs', () => existsSync(`${box.stateDir(id)}/state.json`), 60_000);
    await eventually('it is there', () => /\d/.test(at.file('cgroup.procs')), 60_000);
    await box.silent(['update', '--pids-limit', '20', id], { timeoutMs: 60_000 });
    expect(at.file('pids.max')).toBe('20');
    await box.silent(['kill', id, 'KILL'], { timeoutMs: 60_000 });
    expect(await running).toMatchObject({ status: 137, stderr: '' });
    expect(existsSync(box.stateDir(id))).toBe(false);
    expect(cgroupsNamed(box.tag)).toEqual([]);
  });
});
