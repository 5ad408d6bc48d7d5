/**
 * NOTIFY_SOCKET: readiness of the program reaches the caller's service manager.
 * runtime-cli.md §4.6; sd_notify(3).
 */

import { describe, expect } from 'vitest';
import type { Box } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually, sleep } from '../helpers/eventually.ts';
import { bindDatagram, close, type Received, receive, sendDatagram } from '../helpers/native.ts';
import { isRuncell } from '../helpers/runtime.ts';
import type { Spec } from '../helpers/spec.ts';

/** A service manager's end; answers nothing, keeps what arrives. */
class Manager implements Disposable {
  readonly fd: number;
  readonly received: Received[] = [];

  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.fd = bindDatagram(path);
  }

  async message(pattern: RegExp, timeoutMs = 5000): Promise<Received> {
    let found: Received | undefined;
    await eventually(
      `${pattern} in ${this.received.map(({ data }) => data.toString())}`,
      () => {
        for (let one = receive(this.fd); one !== undefined; one = receive(this.fd)) {
          this.received.push(one);
          // The barrier: whoever sent the descriptor waits until it is closed.
          for (const fd of one.fds) close(fd);
        }
        found = this.received.find(({ data }) => pattern.test(data.toString()));
        return found !== undefined;
      },
      timeoutMs,
    );
    return found!;
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}

/** What the program would do, sent through its own root. */
function ready(pid: number, text = 'READY=1'): void {
  sendDatagram(`/proc/${pid}/root/run/notify/notify.sock`, text);
}

const env = (manager: Manager) => ({ PATH: process.env['PATH']!, NOTIFY_SOCKET: manager.path });
const PROGRAM = [
  'sh',
  '-c',
  'echo $NOTIFY_SOCKET; stat -c %F:%a /run/notify/notify.sock; sleep 100',
];

describe('NOTIFY_SOCKET', () => {
  check('start waits for READY and forwards it with the main pid', async (box) => {
    using manager = new Manager(box.path('manager.sock'));
    const container = await box.create(box.bundle(PROGRAM), [], { env: env(manager) });
    let answered = false;
    const starting = box.verb(['start', container.id], { env: env(manager) }).then((outcome) => {
      answered = true;
      return outcome;
    });
    await eventually('the program runs', () => container.out().split('\n').length > 2);
    expect(container.out()).toBe('/run/notify/notify.sock\nsocket:777\n');
    await sleep(200);
    expect(answered).toBe(false);
    ready(container.pid);
    await manager.message(/^READY=1/);
    await manager.message(new RegExp(`MAINPID=${container.pid}`));
    await manager.message(isRuncell ? /BARRIER=1/ : /^READY=1/); // 1.1.5 has no barrier.
    expect(await starting).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  check('run --detach waits for READY too', async (box) => {
    using manager = new Manager(box.path('manager.sock'));
    const id = box.id();
    const { dir } = box.bundle(PROGRAM);
    const file = box.path('pid');
    const args = ['run', '--detach', '--pid-file', file, '--bundle', dir, id];
    const running = box.verb(args, { env: env(manager), detached: true });
    await eventually('a running container', async () => {
      const { status, stdout } = await box.verb(['state', id]);
      return status === 0 && stdout.includes('"running"');
    });
    const { pid } = await box.state(id);
    await eventually('the socket is bound', () => sendable(pid as number));
    await manager.message(/^READY=1/);
    await manager.message(isRuncell ? /BARRIER=1/ : /^READY=1/); // 1.1.5 has no barrier.
    expect(await running).toMatchObject({ status: 0, stderr: '' });
  });

  check('start ends when the program ends without READY', async (box) => {
    using manager = new Manager(box.path('manager.sock'));
    const container = await box.create(box.bundle(['true']), [], { env: env(manager) });
    const outcome = await box.verb(['start', container.id], { env: env(manager) });
    expect(outcome.milliseconds).toBeLessThan(10_000);
    await box.until(container.id, 'stopped');
  });

  check('other messages are not readiness', async (box) => {
    using manager = new Manager(box.path('manager.sock'));
    const container = await box.create(box.bundle(PROGRAM), [], { env: env(manager) });
    let answered = false;
    const starting = box.verb(['start', container.id], { env: env(manager) }).then(() => {
      answered = true;
    });
    await eventually('the program runs', () => container.out().split('\n').length > 2);
    ready(container.pid, 'STATUS=thinking');
    await sleep(200);
    expect(answered).toBe(false);
    ready(container.pid, 'READY=1\nSTATUS=up');
    await manager.message(isRuncell ? /BARRIER=1/ : /^READY=1/); // 1.1.5 has no barrier.
    await starting;
  });

  check('without the variable there is no socket and no mount', async (box: Box) => {
    const patch = (spec: Spec) => void spec.process.env?.push('A=1');
    const out = await box.sh('echo "[$NOTIFY_SOCKET]"; ls /run; cat /proc/self/mountinfo', patch);
    expect(out).toMatch(/^\[\]\n/);
    expect(out).not.toContain('notify');
  });
});

function sendable(pid: number): boolean {
  try {
    ready(pid);
    return true;
  } catch {
    return false;
  }
}
