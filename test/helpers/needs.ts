/**
 * What a test needs of the machine. An unmet need is a skip, and every skip has its line with a
 * reason in test/skips.json; one that is not there fails, and so does a need nobody knows.
 */

import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { cgroup2Root, procStatus } from './proc.ts';
import { repository, which } from './runtime.ts';

export interface Needs {
  readonly root?: true;
  /** A cgroup2 hierarchy, also where it is only the unified part of a hybrid host. */
  readonly cgroup2?: true;
  /** A v2 controller the containers may use. */
  readonly controller?: string;
  readonly capability?: string;
  /** The oldest kernel, as `6.1`. */
  readonly kernel?: string;
  readonly tool?: string;
  readonly path?: string;
  /** That this host cannot run the architecture through binfmt_misc. */
  readonly withoutBinfmt?: string;
}

export interface Skip {
  /** `npm test`, or `npm run test:vm`. */
  readonly where: 'host' | 'vm';
  readonly file: string;
  readonly title: string;
  readonly reason: string;
}

/** Bit numbers of linux/capability.h that a test has asked for. */
const CAPABILITY_BITS: Record<string, number> = {
  CAP_SYS_RESOURCE: 24,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_NICE: 23,
};

const CHECKS: { [Need in keyof Needs]-?: (wanted: never) => boolean } = {
  root: () => process.getuid?.() === 0,
  cgroup2: () => cgroup2Root() !== undefined,
  controller: (wanted: string) => {
    const root = cgroup2Root();
    if (root === undefined) return false;
    return readFileSync(`${root}/cgroup.controllers`, 'utf8').trim().split(' ').includes(wanted);
  },
  capability: (wanted: string) => {
    const bit = CAPABILITY_BITS[wanted];
    if (bit === undefined) throw new Error(`needs: unknown capability ${wanted}`);
    const effective = BigInt(`0x${procStatus(process.pid)['CapEff']}`);
    return ((effective >> BigInt(bit)) & 1n) === 1n;
  },
  kernel: (wanted: string) => compareVersions(release(), wanted) >= 0,
  tool: (wanted: string) => which(wanted) !== undefined,
  path: (wanted: string) => existsSync(wanted),
  withoutBinfmt: (wanted: string) => !existsSync(`/proc/sys/fs/binfmt_misc/${wanted}`),
};

function compareVersions(left: string, right: string): number {
  const numbers = (text: string) => text.split('-')[0]!.split('.').map(Number);
  const a = numbers(left);
  const b = numbers(right);
  return (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0);
}

/** The first need this machine does not meet, as `capability CAP_SYS_RESOURCE`. */
export function unmetNeed(needs: Needs): string | undefined {
  for (const [need, wanted] of Object.entries(needs)) {
    const met = CHECKS[need as keyof Needs];
    if (met === undefined) throw new Error(`needs: unknown need ${need}`);
    if (!met(wanted as never)) return wanted === true ? need : `${need} ${wanted}`;
  }
  return undefined;
}

let skips: readonly Skip[] | undefined;

export function knownSkips(): readonly Skip[] {
  const where = process.env['RUNCELL_TEST_VM'] === undefined ? 'host' : 'vm';
  skips ??= (JSON.parse(readFileSync(`${repository}/test/skips.json`, 'utf8')) as Skip[]).filter(
    (skip) => skip.where === where,
  );
  return skips;
}
