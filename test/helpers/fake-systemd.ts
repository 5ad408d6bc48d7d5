/**
 * A bus of its own with something on it that answers as systemd (fake-systemd.py): what the systemd
 * driver says to it is seen, and everything can go wrong. Real systemd is in test/vm.
 */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Box } from './box.ts';
import { eventually } from './eventually.ts';
import { cgroup2Root } from './proc.ts';
import { adopt } from './reaper.ts';
import { repository } from './runtime.ts';

/** Debian's interpreter: python3-dbus and python3-gi are there and nowhere else. */
const PYTHON = '/usr/bin/python3';

/** A unit's properties as they were given, by name; the last of a name counts. */
export type Properties = Readonly<Record<string, unknown>>;

export interface FakeSystemd {
  /** The environment of a caller that is to find it. */
  readonly env: Record<string, string>;
  readonly address: string;
  /** Arguments of the calls of a method, in order. */
  calls(member: string): unknown[][];
  /** What the last StartTransientUnit or SetUnitProperties gave. */
  properties(member?: string): Properties;
}

export interface FakeOptions {
  readonly version?: string;
  /** Its units are below a group of its own, named after the box with an `m`. */
  readonly nested?: boolean;
  /** Nobody on the bus is systemd. */
  readonly deserted?: boolean;
}

const CONFIG = (socket: string): string => `<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
`;

/** Runs the body with the bus and its systemd, which are gone afterwards. */
export async function withFakeSystemd(
  box: Box,
  options: FakeOptions,
  body: (systemd: FakeSystemd) => Promise<void>,
): Promise<void> {
  const socket = box.path('bus');
  const log = box.path('calls');
  writeFileSync(box.path('bus.conf'), CONFIG(socket));
  writeFileSync(log, '');
  const started = [run('dbus-daemon', [`--config-file=${box.path('bus.conf')}`, '--nofork'])];
  const address = `unix:path=${socket}`;
  const lines = (): [string, unknown[]][] =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as [string, unknown[]]);
  const calls = (member: string): unknown[][] =>
    lines()
      .filter(([name]) => name === member)
      .map(([, args]) => args);
  try {
    await eventually('the bus listens', () => existsSync(socket));
    if (options.deserted !== true) {
      const script = `${repository}/test/helpers/fake-systemd.py`;
      const { version = '252.38-1~deb12u1' } = options;
      const controlGroup = options.nested === true ? `/${box.tag}m` : '';
      started.push(run(PYTHON, [script, address, cgroup2Root()!, log, version, controlGroup]));
      await eventually('systemd is on the bus', () => calls('ready').length > 0, 10_000);
    }
    const env = { PATH: process.env['PATH']!, DBUS_SYSTEM_BUS_ADDRESS: address };
    await body({
      env,
      address,
      calls,
      properties: (member = 'StartTransientUnit') =>
        Object.fromEntries(calls(member).at(-1)![2] as [string, unknown][]),
    });
  } finally {
    for (const child of started) await child.stop();
  }
}

function run(file: string, args: readonly string[]) {
  const child = adopt(spawn(file, args, { stdio: 'ignore' }));
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  return {
    stop: (): Promise<void> => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}
