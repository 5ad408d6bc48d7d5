/**
 * The default profiles of Docker (github.com/moby/profiles/seccomp v0.3.0, default.json) and Podman
 * (github.com/containers/common v0.64.2, the seccomp.json of its package seccomp), both under the Apache License 2.0, and
 * what their engines make of them for a container: entries by architecture, capability and kernel.
 */

import { readFileSync } from 'node:fs';
import type {
  LinuxSeccomp,
  LinuxSeccompAction,
  LinuxSeccompArch,
  LinuxSeccompArg,
} from '@opencontainers-ts/spec';

interface Filter {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

interface EngineProfile {
  readonly defaultAction: LinuxSeccompAction;
  readonly defaultErrnoRet?: number;
  readonly archMap: readonly {
    readonly architecture: LinuxSeccompArch;
    readonly subArchitectures: readonly LinuxSeccompArch[] | null;
  }[];
  readonly syscalls: readonly {
    readonly names: readonly string[];
    readonly action: LinuxSeccompAction;
    readonly errnoRet?: number | null;
    readonly args?: readonly LinuxSeccompArg[] | null;
    readonly includes?: Filter;
    readonly excludes?: Filter;
  }[];
}

/** Docker's default capabilities. */
export const DOCKER_CAPABILITIES: readonly string[] = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW'],
  ...['CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP', 'CAP_SETPCAP', 'CAP_NET_BIND_SERVICE'],
  ...['CAP_SYS_CHROOT', 'CAP_KILL', 'CAP_AUDIT_WRITE'],
];

/** Go's names of architectures, as the profiles have them. */
const GO_ARCHITECTURES: Partial<Record<LinuxSeccompArch, string>> = {
  SCMP_ARCH_X86_64: 'amd64',
  SCMP_ARCH_AARCH64: 'arm64',
  SCMP_ARCH_RISCV64: 'riscv64',
};

/** The profile that the engine writes into config.json on a machine of this architecture. */
export function engineProfile(
  engine: 'moby' | 'podman',
  native: LinuxSeccompArch = 'SCMP_ARCH_X86_64',
  capabilities: readonly string[] = DOCKER_CAPABILITIES,
): LinuxSeccomp {
  const file = `${import.meta.dirname}/profiles/${engine}.json`;
  const profile = JSON.parse(readFileSync(file, 'utf8')) as EngineProfile;
  const own = profile.archMap.find(({ architecture }) => architecture === native)!;
  const go = GO_ARCHITECTURES[native]!;
  const has = (caps: readonly string[]) => caps.every((cap) => capabilities.includes(cap));
  const syscalls = profile.syscalls.filter(({ includes = {}, excludes = {} }) => {
    if (excludes.arches?.includes(go)) return false;
    if (excludes.caps?.some((cap) => capabilities.includes(cap))) return false;
    if ((includes.arches?.length ?? 0) > 0 && !includes.arches!.includes(go)) return false;
    return includes.caps === undefined || has(includes.caps);
  });
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: [native, ...(own.subArchitectures ?? [])],
    syscalls: syscalls.map(({ names, action, errnoRet, args }) => ({
      names: [...names] as [string, ...string[]],
      action,
      ...(typeof errnoRet === 'number' && action === 'SCMP_ACT_ERRNO' ? { errnoRet } : {}),
      ...(args?.length ? { args: [...args] } : {}),
    })),
  };
}
