/** What `spec --seccomp` writes is Docker's default, decision by decision. */

import { describe, expect, test } from 'vitest';
import { compileFilter } from '../../../src/libcontainer/seccomp/compile.ts';
import { defaultSeccomp } from '../../../src/oci/default-seccomp.ts';
import { defaultSpec } from '../../../src/oci/default-spec.ts';
import { checkSeccomp } from '../../../src/oci/validate/seccomp.ts';
import { runFilter } from '../../helpers/seccomp-machine.ts';
import { engineProfile } from '../../helpers/seccomp-profiles.ts';

const NATIVE = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' } as const;
const capabilities = defaultSpec({ rootless: false }).process!.capabilities!.bounding!;

describe.each(['x64', 'arm64'] as const)('%s', (arch) => {
  test("compiles to the same filter as Docker's profile for the default capabilities", async () => {
    const profile = defaultSeccomp(arch);
    expect(checkSeccomp(profile).debug).toEqual([]);
    const ours = await compileFilter(profile, arch);
    const docker = await compileFilter(engineProfile('moby', NATIVE[arch], capabilities), arch);
    expect(Buffer.from(ours.program).equals(docker.program)).toBe(true);
  });
});

test('keeps out what a container has no need of', async () => {
  const { program } = await compileFilter(defaultSeccomp('x64'), 'x64');
  const verdict = (nr: number, ...args: bigint[]) =>
    runFilter(program, { arch: 0xc000003e, nr, args });
  const [EPERM, ENOSYS, ALLOW] = [0x50001, 0x50026, 0x7fff0000];
  // unshare, setns, mount, keyctl, bpf, userfaultfd, io_uring_setup, fsopen, kexec_load
  for (const nr of [272, 308, 165, 250, 321, 323, 425, 430, 246]) expect(verdict(nr)).toBe(EPERM);
  expect(verdict(435)).toBe(ENOSYS);
  // socket: AF_INET, AF_ALG, AF_VSOCK; clone with and without CLONE_NEWUSER
  expect([2n, 38n, 40n].map((family) => verdict(41, family))).toEqual([ALLOW, EPERM, EPERM]);
  expect([verdict(56, 0x11n), verdict(56, 0x10000011n)]).toEqual([ALLOW, EPERM]);
});
