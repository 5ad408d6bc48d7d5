/**
 * How long seccomp(2) takes for our filter of Docker's default profile and for libseccomp's of the same
 * profile and architectures, side by side: CPU time of the calling thread, each filter in a process of
 * its own (the executor), alternating, medians.
 */

import { expect, test } from 'vitest';
import { SYSCALLS } from '../../src/libcontainer/linux/syscall.ts';
import { compileFilter } from '../../src/libcontainer/seccomp/compile.ts';
import { ExecutorProcess } from '../helpers/executor-process.ts';
import { openLibseccomp } from '../helpers/libseccomp.ts';
import { RawProgram } from '../helpers/raw-program.ts';
import { engineProfile } from '../helpers/seccomp-profiles.ts';

const SAMPLES = 41;
const TIMES_FASTER = 4;
/** The tree is as deep as ours and several times as long. */
const TIMES_FASTER_THAN_TREE = 1.5;
const PR_SET_NO_NEW_PRIVS = 38;
const CLOCK_THREAD_CPUTIME_ID = 3;

const arch = process.arch as 'x64' | 'arm64';
const native = arch === 'x64' ? 'SCMP_ARCH_X86_64' : 'SCMP_ARCH_AARCH64';

/** Microseconds of CPU for one load. */
async function load(filter: Uint8Array): Promise<number> {
  const numbers = SYSCALLS[arch];
  const executor = new ExecutorProcess(arch);
  const program = new RawProgram();
  const instructions = program.data(filter);
  const fprog = program.words(filter.length / 8, instructions);
  const [before, after] = [program.words(0, 0, 0, 0), program.words(0, 0)];
  program.op(numbers.prctl, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
  // The first reading also faults the pages in.
  for (let i = 0; i < 2; i++) program.op(numbers.clock_gettime, [CLOCK_THREAD_CPUTIME_ID, before]);
  program.op(numbers.seccomp, [1, 0, fprog]);
  program.op(numbers.clock_gettime, [CLOCK_THREAD_CPUTIME_ID, after]);
  program.op(numbers.write, [3, before, 48]);
  program.op(numbers.exit_group, [0]);
  executor.send(program.wire());
  const bytes = await executor.receive(48);
  await executor.exit;
  const at = (offset: number) =>
    Number(bytes.readBigUInt64LE(offset)) * 1e6 + Number(bytes.readBigUInt64LE(offset + 8)) / 1e3;
  return at(32) - at(0);
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

test('loads at least four times as fast as what libseccomp makes', {
  timeout: 120_000,
}, async () => {
  const profile = engineProfile('moby', native);
  const oracle = openLibseccomp();
  if (oracle === undefined) throw new Error('libseccomp.so.2 is not installed (apt: libseccomp2)');
  const ours = (await compileFilter(profile, arch)).program;
  // As libseccomp makes them by itself, and as the tree that runc asks for.
  const linear = oracle.compile(profile, false) as Uint8Array;
  const tree = oracle.compile(profile, true) as Uint8Array;
  const times: Record<string, number[]> = { ours: [], linear: [], tree: [] };
  for (let i = 0; i < SAMPLES; i++) {
    times['ours']!.push(await load(ours));
    times['linear']!.push(await load(linear));
    times['tree']!.push(await load(tree));
  }
  const [a, b, c] = [median(times['ours']!), median(times['linear']!), median(times['tree']!)];
  const length = (filter: Uint8Array) => filter.length / 8;
  console.info(
    `seccomp(2): ours ${a.toFixed(0)} us (${length(ours)}), libseccomp ${b.toFixed(0)} us ` +
      `(${length(linear)}), its tree ${c.toFixed(0)} us (${length(tree)}): ` +
      `${(b / a).toFixed(1)} and ${(c / a).toFixed(1)} times as long`,
  );
  expect(b / a).toBeGreaterThanOrEqual(TIMES_FASTER);
  expect(c / a).toBeGreaterThanOrEqual(TIMES_FASTER_THAN_TREE);
});
