/**
 * linux.netDevices for `create`: checks them before anything is made, has them moved by the mover
 * (plan/net-devices.ts) when init stands, and ends the mover one way or the other. Loaded late.
 */

import { closeSync, existsSync, statSync, writeSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { noFindings, problem, throwProblems } from '../../oci/validate/findings.ts';
import {
  checkNetDevices,
  deviceSpecPath,
  NEEDS_NAMESPACE,
} from '../../oci/validate/net-devices.ts';
import type { ValidConfig } from '../../oci/validate.ts';
import { spawnExecutor } from '../executor/cold.ts';
import { decodeMessage } from '../executor/protocol.ts';
import type { ExecutorSession } from '../executor/session.ts';
import { listLinks, probeNetDevices } from '../host/net-devices.ts';
import type { Arch } from '../linux/arch.ts';
import type { Link, NetDevice } from '../linux/interface.ts';
import { pidfdGetfd, pidfdOpen, reap } from '../native/libc.ts';
import { COMMIT, type DeviceMove, NetDevicesPlan } from '../plan/net-devices.ts';
import type { Program } from '../program/builder.ts';
import { Conversation, ProcessFailure } from './conversation.ts';
import { explainFailure, fatalError } from './failure.ts';
import { executorPath } from './installation.ts';
import { selfCopy } from './self-copy.ts';

/** Any byte but COMMIT. */
const UNDO = 'u';

/** The interfaces of one container between the host and its namespace. */
export class NetDevices {
  readonly #config: ValidConfig;
  readonly #devices: readonly NetDevice[];
  #session: ExecutorSession | undefined;
  #program: Program | undefined;

  /** Everything that can be found wrong before there is a container; undefined: none to move. */
  static prepare(config: ValidConfig): NetDevices | undefined {
    const names = Object.keys(config.linux.netDevices ?? {});
    if (names.length === 0) return undefined;
    const findings = noFindings();
    checkNetDevices({ config, linux: config.linux, findings }, process.geteuid!());
    if (joinsOwnNamespace(config)) problem(findings, 'linux.netDevices', NEEDS_NAMESPACE);
    throwProblems(findings);
    const devices = probeNetDevices(names);
    const absent = names.find((name) => !devices.some((device) => device.name === name));
    if (absent === undefined) return new NetDevices(config, devices);
    throw new RuncellError({
      code: 'config.value',
      specPath: deviceSpecPath(absent),
      reason: "there is no such interface in the runtime's network namespace",
    });
  }

  private constructor(config: ValidConfig, devices: readonly NetDevice[]) {
    this.#config = config;
    this.#devices = devices;
  }

  /** Into the network namespace of the process, which waits for its program. */
  move(pid: number): void {
    try {
      this.#move(pid);
    } catch (thrown) {
      throw thrown instanceof ProcessFailure ? explainFailure(thrown, false) : thrown;
    }
  }

  #move(pid: number): void {
    const session = spawnExecutor({ image: executorPath() });
    this.#session = session;
    const talk = new Conversation(session, this.#config);
    const arch = process.arch as Arch;
    talk.send(selfCopy(arch, session.ctlFd));
    const plan = new NetDevicesPlan(arch);
    talk.send(plan.join(pid));
    const { a: socketFd } = talk.expect('NETLINK');
    const moves = this.#choose(this.#linksThere(socketFd));
    this.#program = plan.move(moves);
    talk.send(this.#program);
    talk.expect('DEVICES');
  }

  #linksThere(socketFd: number): Link[] {
    const pidfd = pidfdOpen(this.#session!.pid)!;
    try {
      const socket = pidfdGetfd(pidfd, socketFd);
      try {
        return listLinks(socket);
      } finally {
        closeSync(socket);
      }
    } finally {
      closeSync(pidfd);
    }
  }

  /** Names must be free there; an index that is not gives way to one above all others. */
  #choose(links: readonly Link[]): DeviceMove[] {
    const indexes = new Set(links.map(({ index }) => index));
    return this.#devices.map((device) => {
      const wanted = this.#config.linux.netDevices![device.name]?.name;
      const name = wanted === undefined || wanted === '' ? device.name : wanted;
      const isTaken = links.some((link) => link.name === name || link.otherNames.includes(name));
      if (isTaken) throw takenError(device.name, name);
      const index = indexes.has(device.index) ? Math.max(...indexes) + 1 : device.index;
      indexes.add(index);
      return { specPath: deviceSpecPath(device.name), device, name, index };
    });
  }

  /** The container stands: the interfaces are its own from now on. */
  commit(): void {
    this.#end(COMMIT);
  }

  /** Everything back where it was; gives what could not be. */
  undo(): string[] {
    const rest = this.#end(UNDO);
    const problems: string[] = [];
    const program = this.#program;
    for (let at = 0; program !== undefined; ) {
      const found = decodeMessage(rest.subarray(at));
      if (found === undefined) break;
      at += found.size;
      const { fatal } = found.message;
      if (fatal !== undefined) problems.push(fatalError(program, fatal).message);
    }
    return problems;
  }

  /** Waits for the mover's end; gives what it still said. */
  #end(word: string): Uint8Array {
    const session = this.#session;
    if (session === undefined) return NOTHING;
    this.#session = undefined;
    let rest: Uint8Array = NOTHING;
    if (this.#program !== undefined) {
      try {
        writeSync(session.fd, word);
      } catch {
        // EPIPE: it has ended by itself, after it took everything back.
      }
      rest = session.readRest();
    }
    session.close();
    reap(session.pid);
    return rest;
  }
}

const NOTHING = new Uint8Array(0);

/** A path that leads to where the interfaces are already; one that leads nowhere is told later. */
function joinsOwnNamespace({ linux }: ValidConfig): boolean {
  const path = linux.namespaces?.find(({ type }) => type === 'network')?.path;
  if (path === undefined || path === '' || !existsSync(path)) return false;
  const [theirs, ours] = [statSync(path), statSync('/proc/self/ns/net')];
  return theirs.ino === ours.ino && theirs.dev === ours.dev;
}

function takenError(hostName: string, name: string): RuncellError {
  const at = deviceSpecPath(hostName);
  return new RuncellError({
    code: 'config.value',
    specPath: name === hostName ? at : `${at}.name`,
    target: name === hostName ? undefined : name,
    reason: "the container's network namespace has an interface of this name",
  });
}
