/**
 * The device filter where cgroup v2 is all there is, by the systemd driver, beside the one that systemd
 * makes of DeviceAllow=: both have to allow. A daemon-reload, which makes systemd apply every unit's
 * policy anew, leaves ours as it was. Runs in the test system (npm run test:vm).
 */

import { describe, expect } from 'vitest';
import { attachedFilters } from '../../src/libcontainer/cgroups/device-attach.ts';
import { create, remove, systemctl, withSlices } from '../helpers/scope.ts';

/** Major 60 is for local use: ENXIO says that the open was let through. */
const NODES = [1, 2].map((minor) => ({ path: `/dev/c${minor}`, type: 'c', major: 60, minor }));
const OPEN = 'for n in 1 2; do (exec 3</dev/c$n) 2>&1 | sed "s/.*: //"; done';
const ANSWERS = 'No such device or address\nOperation not permitted';

describe('the device filter of a scope', () => {
  withSlices('lets through what the rules allow, also after a daemon-reload', async (box) => {
    const made = await create(box, 'devices', (spec) => {
      spec.linux.devices = NODES;
      const rule = { allow: true, type: 'c', major: 60, minor: 1, access: 'r' };
      spec.linux.resources = { devices: [{ allow: false, access: 'rwm' }, rule] };
    });
    await box.silent(['start', made.id]);
    const { ours } = attachedFilters(made.group);
    expect(ours).toHaveLength(1);
    expect(await box.exec(made, ['sh', '-c', OPEN])).toBe(ANSWERS);
    systemctl('daemon-reload');
    expect(attachedFilters(made.group).ours).toEqual(ours);
    expect(await box.exec(made, ['sh', '-c', OPEN])).toBe(ANSWERS);
    await remove(box, made);
  });
});
