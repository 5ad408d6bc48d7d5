/**
 * Which bundle a command line begins with: the right one for all that engines send, and never more
 * than a detour otherwise.
 */

import { expect, test } from 'vitest';
import { bundleOf } from '../../../src/boot.ts';
import { HOT_VERBS } from '../../../src/commands/verb.ts';

const BUNDLES = HOT_VERBS.map((id) => id.replace(':', '-'));

test.each([
  [
    '--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json create --bundle B id',
    'create',
  ],
  ['--root=/r --systemd-cgroup kill --all id 9', 'kill'],
  ['exec --process p --detach id', 'exec'],
  ['-v container run --id create --image i', 'container-run'],
  ['container list', 'container-list'],
  ['container --debug list', 'container-list'],
  ['container', 'rest'],
  ['container nope', 'rest'],
  ['storage pull', 'rest'],
  ['spec', 'rest'],
  ['--version', 'rest'],
  ['', 'rest'],
  ['constructor', 'rest'],
  // Wrong, and corrected by main.
  ['--root state list', 'state'],
  ['spec --bundle list', 'list'],
])('%s begins with %s', (line, expected) => {
  expect(bundleOf(line.split(' '), BUNDLES)).toBe(expected);
});
