/**
 * linux.netDevices (runtime-spec 1.3 config-linux.md#network-devices): names that the kernel would
 * take (dev_valid_name in net/core/dev.c), and a network namespace to move to. Loaded late: few
 * containers have any.
 */

import { IFNAME_MAX } from '../../libcontainer/linux/rtnetlink.ts';
import { type Findings, problem } from './findings.ts';
import { hasNamespace, type Subject } from './subject.ts';

/** The place in config.json. */
export function deviceSpecPath(hostName: string): string {
  return `linux.netDevices[${JSON.stringify(hostName)}]`;
}

export const NEEDS_NAMESPACE = "needs a network namespace that is not the runtime's";

export function checkNetDevices(subject: Subject, euid: number): void {
  const { linux, findings } = subject;
  const devices = Object.entries(linux.netDevices ?? {});
  if (devices.length === 0) return;
  if (!hasNamespace(subject, 'network')) {
    problem(findings, 'linux.netDevices', "needs a network namespace that is not the runtime's", {
      hint: 'add {"type": "network"} to linux.namespaces',
    });
  }
  if (euid !== 0) {
    problem(findings, 'linux.netDevices', 'only root can move network devices');
  }
  const targets = new Map<string, string>();
  for (const [hostName, { name }] of devices) {
    const at = deviceSpecPath(hostName);
    checkName(findings, at, hostName, { isTemplate: false });
    const renamed = name !== undefined && name !== '';
    if (renamed) checkName(findings, `${at}.name`, name, { isTemplate: name.endsWith('%d') });
    const target = renamed ? name : hostName;
    const other = targets.get(target);
    if (other !== undefined && !target.endsWith('%d')) {
      problem(
        findings,
        renamed ? `${at}.name` : at,
        `is the name of ${other} in the container too`,
        {
          target,
        },
      );
    }
    targets.set(target, hostName);
  }
}

/** isspace(3) of the kernel: 0xa0 in Latin-1 counts. */
const FORBIDDEN = /[/:\s\0]/;

function checkName(
  findings: Findings,
  at: string,
  name: string,
  { isTemplate }: { readonly isTemplate: boolean },
): void {
  const bytes = Buffer.byteLength(name);
  const fixed = isTemplate ? name.slice(0, -'%d'.length) : name;
  const reason =
    bytes === 0
      ? 'an interface must have a name'
      : bytes > IFNAME_MAX
        ? `an interface's name has ${IFNAME_MAX} bytes or less`
        : name === '.' || name === '..' || FORBIDDEN.test(name)
          ? 'is no name that an interface can have'
          : fixed.includes('%')
            ? 'a name may have one %d, at its end'
            : undefined;
  if (reason !== undefined) problem(findings, at, reason, { target: name });
}
