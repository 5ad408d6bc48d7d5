/**
 * A network namespace in the place of the host's: tests of network devices make their own interfaces
 * in it and run the runtime there. The machine's own are never touched.
 *
 * ip(8) of iproute2; the kernel here has veth, bridge and ifb.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Box, Bundle, Outcome, VerbOptions } from './box.ts';
import { runtime } from './runtime.ts';

export interface Address {
  readonly text: string;
  readonly scope: string;
  readonly label?: string;
  /** Flags that ip shows, without those that come and go by themselves. */
  readonly flags: readonly string[];
}

export interface Interface {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly isUp: boolean;
  readonly master?: string;
  readonly addresses: readonly Address[];
}

/** As `ip -j address` gives them. */
interface Listed {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly addr_info: readonly Record<string, unknown>[];
}

export class HostNetwork {
  readonly #box: Box;
  readonly file: string;

  constructor(box: Box, name = 'netns') {
    this.#box = box;
    this.file = box.path(name);
    writeFileSync(this.file, '');
    succeed('unshare', [`--net=${this.file}`, 'true']);
    this.ip('link set lo up');
  }

  /** Runs ip in the namespace. */
  ip(command: string): string {
    return succeed('nsenter', [`--net=${this.file}`, 'ip', ...command.split(' ')]);
  }

  /** A pair of interfaces, the second one up so that the first has a carrier. */
  veth(name: string, peer: string): void {
    this.ip(`link add ${name} type veth peer name ${peer}`);
    this.ip(`link set ${peer} up`);
  }

  interfaces(): Interface[] {
    return (JSON.parse(this.ip('-j address')) as Listed[]).map(interfaceOf);
  }

  interface(name: string): Interface | undefined {
    return this.interfaces().find((one) => one.name === name);
  }

  names(): string[] {
    return this.interfaces().map(({ name }) => name);
  }

  /** The runtime with this namespace as the one it is in. */
  verb(args: readonly string[], options: VerbOptions = {}): Promise<Outcome> {
    const command = [`--net=${this.file}`, runtime.path, '--root', this.#box.root, ...args];
    return this.#box.command('nsenter', command, options);
  }

  /** `create` there; gives the id and init's pid. */
  async create(bundle: Bundle): Promise<{ id: string; pid: number }> {
    const id = this.#box.id();
    const pidFile = this.#box.path(`${id}.pid`);
    const args = ['create', '--bundle', bundle.dir, '--pid-file', pidFile, id];
    const { status, stderr } = await this.verb(args, { detached: true });
    if (status !== 0 || stderr !== '') throw new Error(`create: ${status} ${stderr}`);
    return { id, pid: Number(readFileSync(pidFile, 'latin1')) };
  }

  close(): void {
    if (existsSync(this.file)) spawnSync('umount', [this.file]);
  }
}

/** Takes the namespace away whatever the body does. */
export async function withNetwork(
  box: Box,
  body: (host: HostNetwork) => Promise<void>,
  name?: string,
): Promise<void> {
  const host = new HostNetwork(box, name);
  try {
    await body(host);
  } finally {
    host.close();
  }
}

/** The interfaces of a process's network namespace. */
export function interfacesOf(pid: number): Interface[] {
  const json = succeed('nsenter', ['-t', String(pid), '-n', 'ip', '-j', 'address']);
  return (JSON.parse(json) as Listed[]).map(interfaceOf);
}

const PASSING = new Set(['tentative', 'dadfailed', 'deprecated']);

function interfaceOf(listed: Listed): Interface {
  return {
    name: listed.ifname,
    index: listed.ifindex,
    mtu: listed.mtu,
    isUp: listed.flags.includes('UP'),
    ...(listed.master === undefined ? {} : { master: listed.master }),
    addresses: listed.addr_info.map((one) => ({
      text: `${one['local']}/${one['prefixlen']}`,
      scope: String(one['scope']),
      ...(one['label'] === undefined ? {} : { label: String(one['label']) }),
      flags: Object.keys(one)
        .filter((key) => one[key] === true && !PASSING.has(key))
        .sort(),
    })),
  };
}

function succeed(file: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', timeout: 10_000 });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${status} ${stderr}`);
  return stdout;
}
