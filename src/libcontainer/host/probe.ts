/**
 * Gathers `HostFacts`: the only part of planning that looks at the machine. Every read is there
 * because a plan depends on it; what most containers do not need is not read.
 */

import { fstatSync, readFileSync, statSync } from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { toRuncellError } from '../../error.ts';
import type { Arch } from '../linux/arch.ts';
import { LINUX_CAPABILITY_VERSION_3 } from '../linux/capability.ts';
import { NAMESPACES, type NamespaceKind } from '../linux/namespace.ts';
import { checked, syscall } from '../native/libc.ts';
import type { HostFacts } from './facts.ts';
import type { MountFacts } from './mount-sources.ts';

export interface ProbeRequest {
  readonly config: Config;
  readonly mounts: MountFacts;
  readonly cgroupRoot: string;
  readonly cgroupDir: string | undefined;
}

export function probeHost(request: ProbeRequest): HostFacts {
  const capabilities = probeCapabilities();
  return {
    arch: process.arch as Arch,
    kernel: kernelVersion(),
    euid: process.geteuid!(),
    cgroupRoot: request.cgroupRoot,
    cgroupDir: request.cgroupDir,
    permittedCapabilities: capabilities.permitted,
    lastCapability: capabilities.last,
    sourceIsDirectory: request.mounts.sourceIsDirectory,
    sourceIsProc: request.mounts.sourceIsProc,
    destinations: request.mounts.destinations,
    copyUp: request.mounts.copyUp,
    sameNamespaces: probeSameNamespaces(request.config),
    nullStdio: [0, 1, 2].filter(isNullDevice),
  };
}

/** What an exec depends on: the container's own surroundings exist already. */
export function probeExecHost(cgroupDir: string | undefined): HostFacts {
  const capabilities = probeCapabilities();
  return {
    arch: process.arch as Arch,
    kernel: kernelVersion(),
    euid: process.geteuid!(),
    cgroupRoot: '',
    cgroupDir,
    permittedCapabilities: capabilities.permitted,
    lastCapability: capabilities.last,
    sourceIsDirectory: [],
    sourceIsProc: [],
    destinations: [],
    copyUp: new Map(),
    sameNamespaces: new Set(),
    nullStdio: [0, 1, 2].filter(isNullDevice),
  };
}

/** struct utsname: six fields of 65 bytes, `release` the third (uname(2)). */
const UTSNAME = { size: 390, release: 130, field: 65 } as const;

/** `6.18.44-…` as [6, 18]. By uname(2): reading a file of /proc costs ten times as much. */
export function kernelVersion(): [number, number] {
  const name = Buffer.alloc(UTSNAME.size);
  checked(syscall('uname', name), 'uname');
  const release = name.toString('latin1', UTSNAME.release, UTSNAME.release + UTSNAME.field);
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return [major, minor];
}

/** Inode of the user namespace that the kernel starts with: USER_NS_INIT_INO of linux/nsfs.h. */
const USER_NS_INIT_INO = 0xeffffffd;

/** Whether the caller's capabilities count everywhere, not only in a user namespace (user_namespaces(7)). */
export function inInitialUserNamespace(): boolean {
  return statSync('/proc/self/ns/user').ino === USER_NS_INIT_INO;
}

/** What this process holds, and which capability is the kernel's last (capget(2), capabilities(7)). */
export function probeCapabilities(): { permitted: bigint; last: number } {
  // Two structs of effective, permitted and inheritable, for capabilities 0 to 31 and 32 to 63.
  const data = new Uint32Array(6);
  checked(syscall('capget', Uint32Array.of(LINUX_CAPABILITY_VERSION_3, 0), data), 'capget');
  const permitted = (BigInt(data[4]!) << 32n) | BigInt(data[1]!);
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1'));
  return { permitted, last };
}

/** Paths that lead to the namespace the caller is in: nsfs(5) inodes are compared. */
function probeSameNamespaces(config: Config): Set<NamespaceKind> {
  const same = new Set<NamespaceKind>();
  (config.linux?.namespaces ?? []).forEach(({ type, path }, index) => {
    if (path === undefined || path === '') return;
    try {
      const theirs = statSync(path);
      const ours = statSync(`/proc/self/ns/${NAMESPACES[type].file}`);
      if (theirs.ino === ours.ino && theirs.dev === ours.dev) same.add(type);
    } catch (thrown) {
      throw toRuncellError(thrown, {
        specPath: `linux.namespaces[${index}].path`,
        operation: 'join',
        target: path,
      });
    }
  });
  return same;
}

/** Device 1:3, as fstat(2) encodes it. */
const NULL_RDEV = 0x103;

function isNullDevice(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isCharacterDevice() && stat.rdev === NULL_RDEV;
  } catch {
    return false;
  }
}
