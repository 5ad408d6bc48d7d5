/** `npm start` after the build: scripts/demo.ts on this machine. */

import { readdirSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { check } from '../helpers/check.ts';
import { isRuncell, repository, runtime } from '../helpers/runtime.ts';

const VERBS = [
  'spec --bundle',
  'create --bundle',
  'state',
  'start',
  'list',
  'exec',
  'container run',
  'container list',
  'container exec',
  'container delete',
  'delete --force',
];

describe('demo', () => {
  check('runc has no containers over images, which the demo shows', async (box) => {
    const { status } = await box.verb(['container', 'run']);
    expect(status).toBe(isRuncell ? 1 : 3);
  });

  check(
    'the demo shows a container’s life and leaves nothing',
    { notRunc: 'ours' },
    async (box) => {
      const demo = `${repository}/scripts/demo.ts`;
      const { status, stdout, stderr } = await box.command(process.execPath, [demo, runtime.path]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const shown = stdout.split('\n').filter((line) => line.startsWith('$ runcell '));
      for (const verb of VERBS) {
        expect(shown.some((line) => line.startsWith(`$ runcell ${verb}`))).toBe(true);
      }
      const last = stdout.trimEnd().split('\n').at(-1);
      expect(last).toBe(
        'All is gone: no process, mount, cgroup or directory of a container is left.',
      );
    },
  );

  check('the demo says what failed and leaves nothing', { notRunc: 'ours' }, async (box) => {
    const demos = () => readdirSync('/tmp').filter((name) => name.startsWith('runcell-demo-'));
    const before = demos();
    const demo = `${repository}/scripts/demo.ts`;
    const { status, stdout } = await box.command(process.execPath, [demo, '/bin/false']);
    expect(status).toBe(1);
    expect(stdout).toMatch(/\nnpm start: exit status 1\n$/);
    expect(demos()).toEqual(before);
  });
});
