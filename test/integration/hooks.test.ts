/**
 * The six kinds of hooks: when they run, where, with what on stdin, in what environment.
 * runtime-spec 1.3 config.md#posix-platform-hooks, runtime.md#lifecycle; runtime-cli.md §7.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Bundle } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { namespaceOf, procStat } from '../helpers/proc.ts';
import { isRuncell } from '../helpers/runtime.ts';
import type { Spec, SpecHook } from '../helpers/spec.ts';

/** In the order of a whole life. `stage` is what the state on stdin says. */
const POINTS = [
  { point: 'prestart', side: 'host', stage: /^creat(ing|ed)$/ },
  { point: 'createRuntime', side: 'host', stage: /^creat(ing|ed)$/ },
  { point: 'createContainer', side: 'container', stage: /^creat(ing|ed)$/ },
  { point: 'startContainer', side: 'container', stage: /^created$/ },
  { point: 'poststart', side: 'host', stage: /^(created|running)$/ },
  { point: 'poststop', side: 'host', stage: /^stopped$/ },
] as const;
type Point = (typeof POINTS)[number]['point'];

/**
 * A bundle whose hooks append to `<box>/hooks/log`, which is bound into the container at /hooks;
 * startContainer's program is the rootfs's own shell.
 */
function hooked(box: Box, script: string, args = ['sleep', '100'], points?: Point[]): Bundle {
  const dir = box.path('hooks');
  mkdirSync(dir, { recursive: true });
  const wanted = points ?? POINTS.map(({ point }) => point);
  return box.bundle(args, (spec) => {
    spec.mounts.push({ destination: '/hooks', source: dir, options: ['bind'] });
    spec.root.readonly = false;
    spec.hooks = {};
    for (const point of wanted) {
      // startContainer's path is inside the container, the others' on the host.
      const place = point === 'startContainer' ? '/hooks' : dir;
      spec.hooks[point] = [
        { path: '/bin/sh', args: ['sh', '-c', script, point, place], env: [`POINT=${point}`] },
      ];
    }
  });
}

const LOG = 'echo $0 >>$1/log';
const read = (box: Box, name: string) => {
  const path = box.path(`hooks/${name}`);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};

/** create, start, kill, delete. */
async function live(box: Box, bundle: Bundle): Promise<{ id: string; pid: number }> {
  const { id, pid } = await box.create(bundle);
  await box.silent(['start', id]);
  await eventually('exec', () => procStat(pid)?.comm === 'sleep');
  await box.silent(['kill', id, 'KILL']);
  await box.until(id, 'stopped');
  await box.silent(['delete', id]);
  return { id, pid };
}

describe('hooks', () => {
  check('run in the order of the lifecycle, each at its verb', async (box) => {
    const bundle = hooked(box, LOG);
    const log = () => read(box, 'log').trimEnd().split('\n');
    const { id } = await box.create(bundle);
    // runc 1.1.5 runs poststart at the end of create.
    const created = ['prestart', 'createRuntime', 'createContainer'];
    expect(log()).toEqual(isRuncell ? created : [...created, 'poststart']);
    await box.silent(['start', id]);
    await eventually('startContainer ran', () => log().includes('startContainer'));
    if (isRuncell) expect(log()).toEqual([...created, 'startContainer', 'poststart']);
    await box.silent(['kill', id, 'KILL']);
    await box.until(id, 'stopped');
    expect(log()).not.toContain('poststop');
    await box.silent(['delete', id]);
    expect(log().at(-1)).toBe('poststop');
    expect(log()).toHaveLength(6);
  });

  check('run in the listed order within a kind', async (box) => {
    const bundle = hooked(box, LOG, ['true'], []);
    box.rewrite(bundle, (spec) => {
      const dir = box.path('hooks');
      const numbered = (count: number): SpecHook[] =>
        Array.from({ length: count }, (_, index) => ({
          path: '/bin/sh',
          args: ['sh', '-c', `echo ${index} >>${dir}/log`],
        }));
      spec.hooks = { createRuntime: numbered(5) };
    });
    await box.create(bundle);
    expect(read(box, 'log')).toBe('0\n1\n2\n3\n4\n');
  });

  check('run for a foreground run too, poststop before it returns', async (box) => {
    const bundle = hooked(box, LOG, ['true']);
    expect(await box.run(bundle)).toMatchObject({ status: 0, stderr: '' });
    const order = read(box, 'log').trimEnd().split('\n');
    expect([...order].sort()).toEqual(POINTS.map(({ point }) => point).sort());
    expect(order.at(-1)).toBe('poststop');
  });

  for (const { point, stage, side } of POINTS) {
    check(
      `${point} reads the state with its status and pid on stdin, then the end`,
      async (box) => {
        const bundle = hooked(box, 'cat >$1/$0', ['sleep', '100'], [point]);
        box.rewrite(bundle, (spec) => {
          spec.annotations = { 'org.example': 'value' };
        });
        const { id, pid } = await live(box, bundle);
        const text = read(box, point);
        const state = JSON.parse(text) as Record<string, unknown>;
        expect(state).toMatchObject({
          id,
          bundle: bundle.dir,
          annotations: { 'org.example': 'value' },
        });
        expect(state['ociVersion']).toMatch(/^1\.\d/);
        expect(state['status']).toMatch(stage);
        if (point === 'poststop') expect(state['pid'] ?? 0).toBe(0);
        else expect(state['pid']).toBe(side === 'host' ? pid : 1);
        // Compact: one line.
        expect(text.trimEnd()).not.toContain('\n');
      },
    );

    check(`${point} runs in the namespaces of the ${side}`, async (box) => {
      const kinds = ['mnt', 'pid', 'net', 'uts', 'ipc'];
      const script = `for k in ${kinds.join(' ')}; do readlink /proc/self/ns/$k; done >$1/$0`;
      const bundle = hooked(box, script, ['sleep', '100'], [point]);
      const { id, pid } = await box.create(bundle);
      const inside = kinds.map((kind) => namespaceOf(pid, kind));
      const outside = kinds.map((kind) => namespaceOf('self', kind));
      await box.silent(['start', id]);
      await eventually('running', async () => (await box.status(id)) === 'running');
      await box.silent(['delete', '--force', id]);
      const seen = read(box, point).trimEnd().split('\n');
      expect(seen).toEqual(side === 'host' ? outside : inside);
    });
  }

  check('get their args verbatim, args[0] included', async (box) => {
    const bundle = hooked(box, '', ['true'], []);
    box.rewrite(bundle, (spec) => {
      const script = `cat /proc/$$/cmdline >${box.path('hooks')}/args; :`;
      spec.hooks = {
        createRuntime: [{ path: '/bin/sh', args: ['my own name', '-c', script, '', 'a b', 'ü'] }],
      };
    });
    await box.create(bundle);
    const seen = read(box, 'args').split('\0').slice(0, -1);
    expect(seen[0]).toBe('my own name');
    expect(seen.slice(3)).toEqual(['', 'a b', 'ü']);
  });

  check('have their env and no more', async (box) => {
    const bundle = hooked(box, 'cat /proc/self/environ >$1/$0', ['sleep', '100']);
    await live(box, bundle);
    for (const { point } of POINTS) {
      const seen = read(box, point)
        .split('\0')
        // The shells' own: busybox's in the container exports a PATH.
        .filter((entry) => !/^(PWD|OLDPWD|SHLVL|_|PATH)=|^$/.test(entry));
      expect(`${point}: ${seen.join(' ')}`).toBe(`${point}: POINT=${point}`);
    }
  });

  const INHERITS = { notRunc: "CVE-2025-23266: createContainer gets the container's" };
  check("without env of the runtime's side never see the container's", INHERITS, async (box) => {
    const bundle = hooked(
      box,
      'env >$1/$0',
      ['sleep', '100'],
      ['createContainer', 'createRuntime'],
    );
    box.rewrite(bundle, (spec: Spec) => {
      for (const hooks of Object.values(spec.hooks!)) delete hooks[0]!.env;
      spec.process.env!.push('LD_PRELOAD=/evil.so', 'IMAGE=1');
    });
    await box.create(bundle);
    for (const point of ['createContainer', 'createRuntime']) {
      expect(read(box, point)).not.toMatch(/LD_PRELOAD|IMAGE/);
    }
  });

  check('of the runtime namespaces start in the bundle', async (box) => {
    const points: Point[] = ['prestart', 'createRuntime'];
    const bundle = hooked(box, 'pwd >$1/$0', ['sleep', '100'], points);
    await box.create(bundle);
    for (const point of points) expect(read(box, point).trim()).toBe(bundle.dir);
  });

  check('have clean signals and no descriptor of the runtime', async (box) => {
    const script =
      'grep -E "Sig(Blk|Ign)" /proc/self/status >$1/$0; ls /proc/self/fd | wc -l >>$1/$0';
    const points: Point[] = ['prestart', 'createRuntime', 'createContainer', 'poststop'];
    const bundle = hooked(box, script, ['sleep', '100'], points);
    await live(box, bundle);
    for (const point of points) {
      const lines = read(box, point).trimEnd().split('\n');
      const masks = lines.slice(0, 2).map((line) => line.split('\t')[1]);
      if (isRuncell)
        expect({ point, masks }).toEqual({ point, masks: Array(2).fill('0'.repeat(16)) });
      // runc's init has its pipes and FIFO open then.
      if (isRuncell) expect({ point, fds: Number(lines[2]) }).toEqual({ point, fds: 4 });
      else expect(Number(lines[2])).toBeGreaterThanOrEqual(4);
    }
  });

  check('may write much without blocking', async (box) => {
    const script =
      'head -c 1000000 /dev/zero | tr "\\0" x; head -c 1000000 /dev/zero >&2; echo done >$1/$0';
    const bundle = hooked(box, script, ['sleep', '100'], ['createRuntime']);
    await box.create(bundle);
    expect(read(box, 'createRuntime')).toBe('done\n');
  });

  check('createContainer starts in the rootfs with the procfs in reach', async (box) => {
    const script = 'cat etc/os-release >$1/$0; test -e /proc/self/mountinfo && echo proc >>$1/$0';
    const bundle = hooked(box, script, ['sleep', '100'], ['createContainer']);
    const { id } = await box.create(bundle);
    expect(await box.status(id)).toBe('created');
    expect(read(box, 'createContainer')).toContain('proc');
    expect(read(box, 'createContainer')).toContain('runcelltest');
  });

  check('startContainer runs a program of the container', async (box) => {
    const bundle = hooked(box, 'cat /etc/os-release >$1/$0', ['sleep', '100'], ['startContainer']);
    const { id } = await box.create(bundle);
    expect(read(box, 'startContainer')).toBe('');
    await box.silent(['start', id]);
    await eventually('ran', () => read(box, 'startContainer').includes('runcelltest'));
  });

  check('a mount that createRuntime makes in the container is there', async (box) => {
    writeFileSync(box.path('extra'), 'mounted by a hook');
    const bundle = box.bundle(['cat', '/dev/shm/extra'], (spec) => {
      const script = 'pid=$(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/"); echo $pid >"$1"';
      spec.hooks = {
        createRuntime: [
          {
            path: '/bin/sh',
            args: ['sh', '-c', script, 'hook', box.path('pid')],
            env: ['PATH=/bin:/usr/bin'],
          },
        ],
      };
    });
    const { pid } = await box.create(bundle);
    expect(readFileSync(box.path('pid'), 'utf8').trim()).toBe(String(pid));
  });
});
