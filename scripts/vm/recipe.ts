/**
 * What the test system is made of, as data. The image's name in the cache is a hash of everything
 * here and of the files beside it, so a change makes a new image and an old one is never mistaken.
 *
 * To add an image (with an engine, say), add a recipe: each is built by itself when it is asked for,
 * and nobody else's gets larger.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface Recipe {
  /** Debian's name of the release. */
  readonly suite: string;
  readonly mirror: string;
  /** Beyond debootstrap's smallest variant. */
  readonly packages: readonly string[];
  /** Its newest version is taken; only the files, without the scripts that make an initramfs. */
  readonly kernelPackage: string;
  /** Units that must not run, most of them because emulation makes them cost a second each. */
  readonly masked: readonly string[];
  /** The root filesystem's size. What is not used is a hole in the file. */
  readonly gigabytes: number;
}

/** The initramfs loads these in this order, those that the kernel has built in excepted. */
export const BOOT_MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
];

/** Files of the image's own, from its root. */
export const FILES: Readonly<Record<string, string>> = {
  'etc/hostname': 'runcell-vm\n',
  'etc/hosts': '127.0.0.1 localhost runcell-vm\n',
  'etc/fstab': '',
  'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  'etc/systemd/system.conf.d/runcell.conf':
    '[Manager]\nDefaultTimeoutStopSec=5s\nDefaultDeviceTimeoutSec=5s\n',
  'etc/systemd/journald.conf.d/runcell.conf': '[Journal]\nStorage=volatile\n',
  // The limits a rootless container may use, as rootlesscontaine.rs/getting-started/common/cgroup2.
  'etc/systemd/system/user@.service.d/delegate.conf':
    '[Service]\nDelegate=cpu cpuset io memory pids\n',
  // One unit runs the job of the second disk and ends the machine, however the job ended.
  'etc/systemd/system/runcell-job.service': `[Unit]
Description=what the disk of the project asks for
After=basic.target systemd-user-sessions.service systemd-logind.service dbus.service
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate

[Service]
Type=oneshot
Delegate=yes
TimeoutStartSec=infinity
TasksMax=infinity
LimitNOFILE=1048576
Environment=HOME=/root
ExecStartPre=/bin/mkdir -p /project
ExecStartPre=/bin/mount -o noatime /dev/vdb /project
ExecStart=/bin/sh /project/scripts/vm/guest.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0

[Install]
WantedBy=multi-user.target
`,
};

/** Programs that systemd starts at boot to make units of: there is nothing to find. */
export const UNUSED_GENERATORS = [
  'systemd-debug-generator',
  'systemd-fstab-generator',
  'systemd-getty-generator',
  'systemd-gpt-auto-generator',
  'systemd-hibernate-resume-generator',
  'systemd-rc-local-generator',
  'systemd-run-generator',
  'systemd-ssh-generator',
  'systemd-system-update-generator',
  'systemd-sysv-generator',
  'systemd-tpm2-generator',
];

/** The ordinary user, with a range of subordinate ids as adduser(8) would give. */
export const USER = { name: 'tester', uid: 1000, subordinate: 100_000, count: 65_536 };

const SYSTEM: Recipe = {
  suite: 'trixie',
  mirror: 'http://deb.debian.org/debian',
  packages: [
    'busybox-static',
    'crun',
    'dbus',
    'dbus-user-session',
    'e2fsprogs', // a filesystem on a loop device
    'iproute2',
    'kmod',
    'libatomic1', // the pinned Node
    'libpam-systemd',
    'libseccomp2',
    'procps',
    'runc',
    'strace',
    'systemd',
    'systemd-sysv',
    'uidmap',
    'util-linux',
  ],
  kernelPackage: 'linux-image-cloud-amd64',
  masked: [
    'apt-daily-upgrade.timer',
    'apt-daily.timer',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
    'fstrim.timer',
    'getty@tty1.service',
    'kmod-static-nodes.service',
    'ldconfig.service',
    'modprobe@configfs.service',
    'modprobe@drm.service',
    'modprobe@efi_pstore.service',
    'modprobe@fuse.service',
    'run-lock.mount',
    'serial-getty@ttyS0.service',
    'sys-kernel-debug.mount',
    'sys-kernel-tracing.mount',
    'systemd-binfmt.service',
    'systemd-journal-catalog-update.service',
    'systemd-journal-flush.service',
    'systemd-modules-load.service',
    'systemd-random-seed.service',
    'systemd-remount-fs.service',
    'systemd-sysusers.service',
    'systemd-tmpfiles-clean.timer',
    'systemd-tmpfiles-setup-dev-early.service',
    'systemd-update-done.service',
  ],
  gigabytes: 4,
};

export const RECIPES: Readonly<Record<string, Recipe>> = { system: SYSTEM };

export function recipeNamed(name: string): Recipe {
  const recipe = RECIPES[name];
  if (recipe !== undefined) return recipe;
  throw new Error(`no image ${name}; there are ${Object.keys(RECIPES).join(', ')}`);
}

/** What the image depends on besides its recipe. */
const MAKERS = ['recipe.ts', 'image.ts', 'initramfs.sh'];

/** The image's name in the cache. */
export function keyOf(recipe: Recipe): string {
  const hash = createHash('sha256').update(JSON.stringify(recipe));
  for (const name of MAKERS) hash.update(readFileSync(`${import.meta.dirname}/${name}`));
  return `${recipe.suite}-${hash.digest('hex').slice(0, 16)}`;
}
