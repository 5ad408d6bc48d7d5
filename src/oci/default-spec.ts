/**
 * The document that `spec` writes: runc's example with the union of the masks that runc and Docker
 * ship (reference/security.md §3.1–3.2). A shell on a terminal, a read-only root, three capabilities.
 *
 * Rootless, it is what an unprivileged user can run: one id mapped, the host's network, /sys bound
 * instead of mounted, no cgroup settings.
 */

import fs from 'node:fs';
import type { Config, Linux, LinuxNamespace, Mount } from '@opencontainers-ts/spec';
import { OCI_VERSION } from './validate/document.ts';

export interface DefaultSpecOptions {
  readonly rootless: boolean;
}

export function defaultSpec({ rootless }: DefaultSpecOptions): Config {
  const capabilities = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
      },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'runcell',
    mounts: rootless ? rootlessMounts() : mounts(),
    linux: { ...(rootless ? rootlessLinux() : rootfulLinux()), ...hiddenPaths() },
  };
}

/** In runc's order. */
function mounts(): Mount[] {
  return [
    { destination: '/proc', type: 'proc', source: 'proc' },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
    },
    {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    },
    {
      destination: '/sys',
      type: 'sysfs',
      source: 'sysfs',
      options: ['nosuid', 'noexec', 'nodev', 'ro'],
    },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
    },
  ];
}

/** sysfs belongs to the network namespace, which is the host's here; gid 5 is not mapped. */
function rootlessMounts(): Mount[] {
  const kept = mounts()
    .filter(({ destination }) => !destination.startsWith('/sys'))
    .map((mount) => {
      const options = mount.options?.filter((word) => !/^[ug]id=/.test(word));
      return options === undefined ? mount : { ...mount, options };
    });
  const options = ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'];
  return [...kept, { destination: '/sys', type: 'none', source: '/sys', options }];
}

function rootfulLinux(): Linux {
  return {
    resources: { devices: [{ allow: false, access: 'rwm' }] },
    namespaces: namespaces(['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup']),
  };
}

/** newuidmap is not needed to map one's own ids. */
function rootlessLinux(): Linux {
  const hostUid = process.geteuid?.() ?? 0;
  const hostGid = process.getegid?.() ?? 0;
  return {
    uidMappings: [{ containerID: 0, hostID: hostUid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: hostGid, size: 1 }],
    namespaces: namespaces(['pid', 'ipc', 'uts', 'mount', 'cgroup', 'user']),
  };
}

function namespaces(types: LinuxNamespace['type'][]): LinuxNamespace[] {
  return types.map((type) => ({ type }));
}

/** Kernel state of the host that /proc and /sys show to everyone; a path that is missing costs nothing. */
function hiddenPaths(): Pick<Linux, 'maskedPaths' | 'readonlyPaths'> {
  return {
    maskedPaths: [
      '/proc/acpi',
      '/proc/asound',
      '/proc/interrupts',
      '/proc/kcore',
      '/proc/keys',
      '/proc/latency_stats',
      '/proc/timer_list',
      '/proc/timer_stats',
      '/proc/sched_debug',
      '/proc/scsi',
      '/sys/firmware',
      '/sys/devices/virtual/powercap',
      ...thermalPaths(),
    ],
    readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
  };
}

const CPU_DIR = '/sys/devices/system/cpu';

/** Counters that tell a neighbour's load (GHSA-6fw5-f8r9-fgfm), one directory a CPU. */
function thermalPaths(): string[] {
  let names: string[];
  try {
    names = fs.readdirSync(CPU_DIR);
  } catch {
    // Without sysfs there is nothing to hide.
    return [];
  }
  return names
    .filter((name) => /^cpu\d+$/.test(name))
    .sort((a, b) => Number(a.slice(3)) - Number(b.slice(3)))
    .map((name) => `${CPU_DIR}/${name}/thermal_throttle`)
    .filter((path) => fs.existsSync(path));
}
