/**
 * The /etc/passwd of a rootfs, read before there is a container: it saves a turn with init.
 *
 * openat2(2) with RESOLVE_IN_ROOT on the rootfs and without links: what one leads to may be below a
 * mount; a regular file only, a bounded part of it, never blocking (CVE-2024-9676). Where a mount of the configuration
 * covers the file, only init can see it.
 */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { ERRNO } from '../linux/errno.ts';
import { O_CLOEXEC, OPEN_HOW_SIZE, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS } from '../linux/fcntl.ts';
import { cString, syscall } from '../native/libc.ts';

const READ_BYTES_MAX = 1 << 20;

/** Its content, empty where there is none; undefined when only the container can tell. */
export function readRootfsPasswd(rootfs: string, config: Config): Uint8Array | undefined {
  if ((config.mounts ?? []).some(({ destination }) => covers(destination))) return undefined;
  const root = openSync(rootfs, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | O_CLOEXEC;
    const how = BigUint64Array.of(BigInt(flags), 0n, BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS));
    const fd = syscall('openat2', root, cString('etc/passwd'), how, OPEN_HOW_SIZE);
    if (fd === -ERRNO.ENOENT) return new Uint8Array(0);
    // A link, or an error that init may not have: it tries in its own way.
    if (fd < 0) return undefined;
    return readRegular(fd);
  } finally {
    closeSync(root);
  }
}

/** Mounts on these cannot be above /etc/passwd; any other leaves it to init. */
function covers(destination: string): boolean {
  return destination.includes('..') || !/^\/*(proc|dev|sys|run|tmp)(\/|$)/.test(destination);
}

function readRegular(fd: number): Uint8Array {
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return new Uint8Array(0);
    const bytes = new Uint8Array(Math.min(stat.size, READ_BYTES_MAX));
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}
