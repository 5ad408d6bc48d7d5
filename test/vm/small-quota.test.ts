/** A container under the smallest quota still ends at once: what was killed gets time to die. */

import { expect } from 'vitest';
import { check } from '../helpers/check.ts';
import { cgroupsNamed } from '../helpers/proc.ts';

const own = { controller: 'cpu', notRunc: 'a review of ours', timeoutMs: 120_000 } as const;

check('delete --force under a quota of a thousandth of a processor', own, async (box) => {
  const bundle = box.bundle(['sh', '-c', 'while :; do :; done']);
  const container = await box.start(bundle);
  const quota = ['update', '--cpu-period', '1000000', '--cpu-quota', '1000', container.id];
  await box.silent(quota);
  await box.silent(['delete', '--force', container.id]);
  expect(cgroupsNamed(container.id)).toEqual([]);
});
