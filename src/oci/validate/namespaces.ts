/**
 * linux.namespaces and what depends on them: host and domain name, time offsets, masked and read-only
 * paths, the propagation of the root (runtime-spec 1.3 config-linux.md#configLinuxNamespaces,
 * #configLinuxTimeOffset, #configLinuxMaskedPaths; namespaces(7), time_namespaces(7)).
 */

import { problem } from './findings.ts';
import { hasNamespace, isAbsolute, namespacePath, type Subject } from './subject.ts';

export function checkNamespaces({ linux, findings }: Subject): void {
  const seen = new Set<string>();
  linux.namespaces?.forEach(({ type, path = '' }, index) => {
    const at = `linux.namespaces[${index}]`;
    if (seen.has(type)) problem(findings, `${at}.type`, 'is given twice', { target: type });
    seen.add(type);
    if (path !== '' && !isAbsolute(path)) {
      problem(findings, `${at}.path`, 'must be an absolute path', { target: path });
    }
  });
}

/** __NEW_UTS_LEN of linux/utsname.h, in bytes. */
const UTS_NAME_MAX = 64;

/** sethostname(2) in the runtime's own UTS namespace would rename the host. */
export function checkNames(subject: Subject): void {
  const { config, findings } = subject;
  for (const field of ['hostname', 'domainname'] as const) {
    const name = config[field];
    if (name === undefined || name === '') continue;
    if (!hasNamespace(subject, 'uts')) {
      problem(findings, field, `unable to set ${field} without a private UTS namespace`, {
        hint: 'add {"type": "uts"} to linux.namespaces',
      });
    }
    if (name.length * 4 > UTS_NAME_MAX && Buffer.byteLength(name) > UTS_NAME_MAX) {
      problem(findings, field, `must have ${UTS_NAME_MAX} bytes or less`);
    }
  }
}

const CLOCKS = ['boottime', 'monotonic'];

export function checkTimeOffsets(subject: Subject): void {
  const { linux, findings } = subject;
  const clocks = Object.entries(linux.timeOffsets ?? {});
  if (clocks.length > 0 && namespacePath(subject, 'time') !== '') {
    problem(findings, 'linux.timeOffsets', 'needs a new time namespace in linux.namespaces');
  }
  for (const [clock, offset] of clocks) {
    if (!CLOCKS.includes(clock)) {
      const reason = `is no clock with an offset; ${CLOCKS.join(' and ')} are`;
      problem(findings, 'linux.timeOffsets', reason, { target: clock });
    } else if ((offset.nanosecs ?? 0) > 999_999_999) {
      problem(findings, `linux.timeOffsets.${clock}.nanosecs`, 'must be at most 999999999');
    }
  }
}

/** Without a mount namespace the masks would be the host's (runc's validator.security). */
export function checkHiddenPaths(subject: Subject): void {
  const { linux, findings } = subject;
  for (const field of ['maskedPaths', 'readonlyPaths'] as const) {
    const paths = linux[field] ?? [];
    if (paths.length > 0 && !hasNamespace(subject, 'mount')) {
      problem(findings, `linux.${field}`, 'needs a mount namespace in linux.namespaces');
    }
    paths.forEach((path, index) => {
      if (field === 'maskedPaths' && /^[/.]*$/.test(path) && isAbsolute(path)) {
        problem(findings, `linux.${field}[${index}]`, 'the root cannot be masked', {
          target: path,
        });
      }
      if (isAbsolute(path)) return;
      problem(findings, `linux.${field}[${index}]`, 'must be an absolute path', { target: path });
    });
  }
}

export function checkPersonality({ linux, findings }: Subject): void {
  const { personality } = linux;
  if (personality === undefined) return;
  if (personality.domain === undefined) {
    problem(findings, 'linux.personality.domain', 'is required');
  }
  if ((personality.flags?.length ?? 0) > 0) {
    problem(findings, 'linux.personality.flags', 'no flag is defined', {
      target: personality.flags!.join(' '),
    });
  }
}

/** A component of `..` would leave the place the path was made for (CVE-2024-3154's neighbours). */
export function checkCgroupsPath({ linux, findings }: Subject): void {
  const path = linux.cgroupsPath;
  if (path?.split('/').includes('..')) {
    problem(findings, 'linux.cgroupsPath', 'must not contain ..', { target: path });
  }
}
