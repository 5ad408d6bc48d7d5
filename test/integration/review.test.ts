/**
 * What a hostile reading of issue 2 found, each as it was found: links and mounts at /proc, deletes of
 * damaged and of busy containers, surroundings that go away. The fixes are in the commit of this file.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import { runtime } from '../helpers/runtime.ts';

describe('/proc of a hostile image', () => {
  for (const name of ['proc', 'sys'] as const) {
    check(`a link at /${name} is refused (CVE-2023-27561)`, async (box) => {
      const bundle = box.bundle();
      rmSync(`${bundle.rootfs}/${name}`, { recursive: true, force: true });
      mkdirSync(`${bundle.rootfs}/real`);
      symlinkSync('/real', `${bundle.rootfs}/${name}`);
      expect(refusal(await box.run(bundle))).toContain('must be mounted on ordinary directory');
    });
  }

  for (const destination of ['/proc', '/proc/self/attr', '/proc/sys', '/proc/../proc/sys']) {
    check(`a bind of a directory on ${destination} is refused (CVE-2019-16884)`, async (box) => {
      mkdirSync(box.path('fake'));
      const bundle = box.bundle(['true'], (spec) => {
        const options = ['rbind'];
        spec.mounts!.push({ destination, type: 'bind', source: box.path('fake'), options });
      });
      expect(refusal(await box.run(bundle))).toMatch(/cannot be mounted because it is/);
    });
  }

  check('a file as lxcfs has it may be bound', async (box) => {
    writeFileSync(box.path('uptime'), '1.00 1.00\n');
    const text = await box.sh('cat /proc/uptime', (spec) => {
      const source = box.path('uptime');
      spec.mounts!.push({ destination: '/proc/uptime', type: 'bind', source, options: ['bind'] });
    });
    expect(text).toBe('1.00 1.00');
  });
});

describe('delete --force', () => {
  check('of a container that was never there is silent', async (box) => {
    await box.silent(['delete', '--force', box.id()]);
  });

  for (const [what, content] of [
    ['damaged', 'x'],
    ['empty', ''],
    ['of another version', '{}'],
  ] as const) {
    check(
      `ends a running container whose state.json is ${what}`,
      { notRunc: 'runc refuses and keeps what is damaged' },
      async (box) => {
        const container = await box.start(box.bundle(['sleep', '100']));
        writeFileSync(`${box.stateDir(container.id)}/state.json`, content);
        await box.silent(['delete', '--force', container.id]);
        await eventually('init ends', () => !isAlive(container.pid));
      },
    );
  }

  for (const point of ['createRuntime', 'poststart'] as const) {
    check(
      `does not wait for a ${point} hook`,
      { notRunc: 'runc 1.1.5 runs poststart in create' },
      async (box) => {
        const flag = box.path('hook');
        const script = `echo >${flag}; sleep 8`;
        const hook = { path: '/bin/sh', args: ['sh', '-c', script], env: ['PATH=/usr/bin:/bin'] };
        const bundle = box.bundle(['sleep', '100'], (spec) => {
          spec.hooks = { [point]: [hook] };
        });
        const id = box.id();
        const running = box.verb(['run', '--detach', '--bundle', bundle.dir, id]);
        await eventually('the hook runs', () => exists(flag));
        const started = performance.now();
        await box.silent(['delete', '--force', id]);
        expect(performance.now() - started).toBeLessThan(5000);
        await running;
        expect((await box.verb(['state', id])).stderr).toContain('does not exist');
      },
    );
  }
});

check(
  'state [a createRuntime hook runs]: creating, and kill ends it',
  { notRunc: 'runc knows no state then' },
  async (box) => {
    const flag = box.path('hook');
    const hook = {
      path: '/bin/sh',
      args: ['sh', '-c', `echo >${flag}; until [ -e ${flag}.on ]; do sleep 0.05; done`],
      env: ['PATH=/usr/bin:/bin'],
    };
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      spec.hooks = { createRuntime: [hook] };
    });
    const id = box.id();
    const creating = box.verb(['create', '--bundle', bundle.dir, id]);
    await eventually('the hook runs', () => exists(flag));
    expect(await box.status(id)).toBe('creating');
    await box.silent(['kill', id, 'KILL']);
    writeFileSync(`${flag}.on`, '');
    expect((await creating).status).toBe(1);
  },
);

check('run [deleted by another]: the exit status is the container’s', async (box) => {
  const bundle = box.bundle(['sleep', '100']);
  const id = box.id();
  const running = box.verb(['run', '--bundle', bundle.dir, id]);
  await eventually('it runs', async () =>
    (await box.verb(['state', id])).stdout.includes('running'),
  );
  await box.silent(['delete', '--force', id]);
  expect((await running).status).toBe(137);
});

describe('a working directory that was removed', () => {
  const inGone = (box: Box, words: string) => {
    const script = `mkdir gone && cd gone && rmdir ../gone && exec ${runtime.path} ${words}`;
    return box.command('/bin/sh', ['-c', script]);
  };

  check('relative paths are refused', { notRunc: 'its words differ by verb' }, async (box) => {
    for (const words of ['spec', '--root relative list', `--root ${box.root} create x`]) {
      const { status, stderr } = await inGone(box, words);
      expect([status, stderr]).toEqual([1, expect.stringContaining('getwd')]);
    }
  });

  check('absolute ones work', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'exit 7']);
    const words = `--root ${box.root} run --bundle ${bundle.dir} ${box.id()}`;
    expect((await inGone(box, words)).status).toBe(7);
  });
});

describe('texts', () => {
  check('a namespace path that is a FIFO', { notRunc: 'runc hangs' }, async (box) => {
    await box.command('mkfifo', [box.path('fifo')]);
    const bundle = box.bundle(['true'], (spec) => {
      delete spec.hostname;
      spec.linux!.namespaces = [{ type: 'mount' }, { type: 'network', path: box.path('fifo') }];
    });
    expect(refusal(await box.run(bundle))).toMatch(/namespaces\[1\].*not a namespace/);
  });

  check('a directory on a file', async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      const options = ['bind'];
      spec.mounts!.push({ destination: '/etc/passwd', type: 'bind', source: '/usr', options });
    });
    expect(refusal(await box.run(bundle))).toContain('not a directory');
  });

  check('a program at the end of a loop of links', async (box) => {
    const bundle = box.bundle(['/loop']);
    symlinkSync('/loop', `${bundle.rootfs}/loop`);
    expect(refusal(await box.run(bundle))).toContain('too many levels of symbolic links');
  });

  check(
    'a user namespace without its root',
    { notRunc: 'runc says an exit status' },
    async (box) => {
      const maps = [{ containerID: 1, hostID: 100_000, size: 65_536 }];
      const bundle = box.bundle(['true'], (spec) => {
        spec.linux!.namespaces!.push({ type: 'user' });
        spec.linux!.uidMappings = maps;
        spec.linux!.gidMappings = maps;
      });
      expect(refusal(await box.run(bundle))).toMatch(/uidMappings: container id 0 is not mapped/);
    },
  );

  check('a newline in the name of a bundle makes no row', { notRunc: 'it does' }, async (box) => {
    const container = await box.start(renamed(box, 'a\nforged'));
    const { stdout } = await box.verb(['list']);
    expect(stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(stdout).toContain(container.id);
  });
});

function renamed(box: Box, name: string) {
  const bundle = box.bundle(['sleep', '100']);
  const dir = box.path(name);
  renameSync(bundle.dir, dir);
  return { ...bundle, dir, rootfs: `${dir}/rootfs` };
}

function exists(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}
