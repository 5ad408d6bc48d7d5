/**
 * This machine and the files a plan depends on, as one value: what the planner may know of the
 * host. Gathering is `probeHost` in probe.ts; the planner only reads. Types, no I/O.
 */

import type { Arch } from '../linux/arch.ts';
import type { NamespaceKind } from '../linux/namespace.ts';

/** One thing below a directory that a tmpfs with `tmpcopyup` covers; `path` is relative to it. */
export type CopyEntry = { readonly path: string; readonly uid: number; readonly gid: number } & (
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'file'; readonly mode: number; readonly size: number }
  | { readonly kind: 'link'; readonly target: string }
);

export interface HostFacts {
  readonly arch: Arch;
  /** Major and minor version of the running kernel. */
  readonly kernel: readonly [number, number];
  readonly euid: number;
  /** Where cgroup2 is mounted, `/sys/fs/cgroup` or its `unified` part on a hybrid host. */
  readonly cgroupRoot: string;
  /** The container's own cgroup directory, made before the plan runs. */
  readonly cgroupDir: string | undefined;
  /** Capabilities the compiler itself holds permitted: bit n is capability n (capabilities(7)). */
  readonly permittedCapabilities: bigint;
  /** Number of the last capability this kernel knows. */
  readonly lastCapability: number;
  /** For each entry of `mounts`, whether the source of a bind is a directory. */
  readonly sourceIsDirectory: readonly boolean[];
  /** For each entry of `mounts`, whether it binds the root of a procfs. */
  readonly sourceIsProc: readonly boolean[];
  /** For each entry of `mounts`, where its destination is inside the rootfs with links resolved. */
  readonly destinations: readonly string[];
  /** For each `tmpcopyup` mount, by its index, what its destination holds, parents first. */
  readonly copyUp: ReadonlyMap<number, readonly CopyEntry[]>;
  /** Namespaces whose configured path is the one the caller is in: joining them is no change. */
  readonly sameNamespaces: ReadonlySet<NamespaceKind>;
  /** Standard descriptors (0, 1, 2) that are the host's /dev/null. */
  readonly nullStdio: readonly number[];
}
