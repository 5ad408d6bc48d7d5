/**
 * The configuration of a container that was asked for by image or rootfs instead of by bundle:
 * the default spec with docker's habits, since these verbs are docker's (usage document).
 *
 * Pure but for the default spec it starts from.
 */

import type { Config } from '@opencontainers-ts/spec';
import { defaultSpec } from '../oci/default-spec.ts';

export interface ContainerRequest {
  readonly id: string;
  /** Absolute. */
  readonly rootfs: string;
  readonly args: readonly string[];
  readonly tty: boolean;
}

/** docker's default set (security.md §3.1). */
const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Longest label of RFC 1123; the kernel would take 64 bytes of anything (sethostname(2)). */
const HOSTNAME_MAX = 63;
/** For ids that are no host name. */
const HOSTNAME = 'runcell';

export function containerConfig(request: ContainerRequest): Config {
  const config = defaultSpec({ rootless: false });
  const hostname = isHostName(request.id) ? request.id : HOSTNAME;
  const env = [`PATH=${PATH}`, `HOSTNAME=${hostname}`];
  if (request.tty) env.push('TERM=xterm');
  const { rlimits: _inherited, ...process } = config.process ?? { cwd: '/' };
  return {
    ...config,
    hostname,
    // Writes go to the overlay, or to a directory that the user named for this container.
    root: { path: request.rootfs, readonly: false },
    process: {
      ...process,
      terminal: request.tty,
      args: [...request.args],
      env,
      cwd: '/',
      capabilities: {
        bounding: CAPABILITIES,
        permitted: CAPABILITIES,
        effective: CAPABILITIES,
      },
      // As docker: an image's su, sudo and ping are set-id or have file capabilities, which the
      // bounding set above limits; with the bit set they would fail without a word.
      noNewPrivileges: false,
    },
  };
}

function isHostName(id: string): boolean {
  return id.length <= HOSTNAME_MAX && /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(id);
}
