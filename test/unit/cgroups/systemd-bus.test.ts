/** Which bus is systemd's (runtime-cli.md §1.3); what is said on it: test/integration/systemd.test.ts. */

import { expect, test } from 'vitest';
import { busPlace } from '../../../src/libcontainer/cgroups/systemd-bus.ts';

test.each([
  [[], 'unix:path=/run/dbus/system_bus_socket'],
  [['DBUS_SYSTEM_BUS_ADDRESS='], 'unix:path=/run/dbus/system_bus_socket'],
  [
    ['XDG_RUNTIME_DIR=/x', 'DBUS_SESSION_BUS_ADDRESS=unix:path=/s'],
    'unix:path=/run/dbus/system_bus_socket',
  ],
  [['DBUS_SYSTEM_BUS_ADDRESS=unix:path=/b'], 'unix:path=/b'],
  [
    ['DBUS_SYSTEM_BUS_ADDRESS=unix:path=/a', 'DBUS_SYSTEM_BUS_ADDRESS=unix:path=/b'],
    'unix:path=/b',
  ],
])('root with %j has the system’s at %s', (env, address) => {
  expect(busPlace(env, false, 0)).toEqual({ user: false, address });
});

test.each([
  [[], 'unix:path=/run/user/1000/bus'],
  [['XDG_RUNTIME_DIR=/x', 'DBUS_SYSTEM_BUS_ADDRESS=unix:path=/b'], 'unix:path=/x/bus'],
  [['XDG_RUNTIME_DIR=/x', 'DBUS_SESSION_BUS_ADDRESS=unix:path=/s'], 'unix:path=/s'],
])('a user with %j has the own at %s', (env, address) => {
  expect(busPlace(env, true, 1000)).toEqual({ user: true, address });
});
