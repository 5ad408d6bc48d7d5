/**
 * `linux.netDevices`: every system call of the process that moves interfaces fails once, on the way
 * there and on the way back. The runtime is a copy whose executor runs under strace, which injects
 * EIO into the n-th call.
 */

import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Bundle, Outcome } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { type HostNetwork, withNetwork } from '../helpers/host-network.ts';
import { repository, which } from '../helpers/runtime.ts';

const own = {
  tool: 'strace',
  notRunc: 'runc has linux.netDevices since 1.4',
  timeoutMs: 600_000,
} as const;

/** What the mover does; `read` and `write` are the wait and what it tells. */
const CALLS = ['setsid', 'openat', 'socket', 'setns', 'sendto', 'recvfrom'];

/** A copy of the runtime in the box; gives the path of its executor. */
function copyRuntime(box: Box): { launcher: string; executor: string } {
  const tree = box.path('tree');
  mkdirSync(tree);
  cpSync(`${repository}/dist`, `${tree}/dist`, { recursive: true });
  symlinkSync(`${repository}/node_modules`, `${tree}/node_modules`);
  cpSync(`${tree}/dist/executor`, `${tree}/dist/executor.elf`);
  return { launcher: `${tree}/dist/runcell`, executor: `${tree}/dist/executor` };
}

/** The tracer is a grandchild (-D): the executor keeps its pid, and what it clones is not traced. */
function tracedExecutor(executor: string, call: string, when: number): string {
  const inject = `inject=${call}:error=EIO:when=${when}`;
  const tracer = `${which('strace')} -D -qq -e trace=${call} -e ${inject} -o /dev/null`;
  return `#!/bin/sh\nexec ${tracer} ${executor}.elf "$@"\n`;
}

class Subject {
  readonly #box: Box;
  readonly #host: HostNetwork;
  readonly #bundle: Bundle;
  readonly #runtime: { launcher: string; executor: string };

  constructor(box: Box, host: HostNetwork) {
    this.#box = box;
    this.#host = host;
    this.#runtime = copyRuntime(box);
    this.#bundle = box.bundle(['true'], (spec) => {
      Object.assign(spec.linux, { netDevices: { rcd0: { name: 'eth0' } } });
      spec.hooks = { createRuntime: [{ path: '/bin/false' }] };
    });
  }

  /** A fresh interface, whatever became of the last one. */
  renew(): void {
    if (this.#host.names().includes('rcp0')) this.#host.ip('link delete rcp0');
    this.#host.veth('rcd0', 'rcp0');
    this.#host.ip('link set rcd0 mtu 1400 up');
    this.#host.ip('address add 10.9.8.7/24 dev rcd0');
    this.#host.ip('address add fd00::5/64 nodad dev rcd0');
  }

  async create(call: string, when: number): Promise<Outcome> {
    const { launcher, executor } = this.#runtime;
    writeFileSync(executor, tracedExecutor(executor, call, when), { mode: 0o755 });
    const id = this.#box.id();
    const verb = [launcher, '--root', this.#box.root, 'create', '--bundle', this.#bundle.dir, id];
    const outcome = await this.#box.command('nsenter', [`--net=${this.#host.file}`, ...verb]);
    expect((await this.#box.verb(['state', id])).status).toBe(1);
    return outcome;
  }
}

describe('a call that fails while an interface is moved', () => {
  check('there: it is back as it was; back: it is not lost, and told', own, async (box) => {
    await withNetwork(box, async (host) => {
      const subject = new Subject(box, host);
      const failed = { there: 0, back: 0 };
      for (const call of CALLS) {
        for (let when = 1; ; when++) {
          subject.renew();
          const before = host.interface('rcd0');
          const { status, stderr } = await subject.create(call, when);
          const what = `${call} ${when}: ${stderr}`;
          expect(status, what).toBe(1);
          expect(stderr.trimEnd().split('\n').length, what).toBe(1);
          const isBack = stderr.includes('while undoing');
          if (isBack) {
            expect(stderr, what).toMatch(/hooks\.createRuntime.*while undoing.*netDevices.*EIO/);
            expect(host.names(), what).toContainEqual(expect.stringMatching(/^(rcd0|eth0|dev\d)$/));
            failed.back++;
          } else {
            expect(host.interface('rcd0'), what).toEqual(before);
            if (!stderr.includes('EIO')) break;
            failed.there++;
          }
        }
      }
      // Four messages there, besides what opens and joins; five back; two calls each.
      expect(failed.there).toBeGreaterThanOrEqual(14);
      expect(failed.back).toBe(10);
    });
  });
});
