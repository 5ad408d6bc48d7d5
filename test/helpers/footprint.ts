/**
 * Measuring what a verb takes: script bytes by strace(1), memory by proc_pid_smaps(5) and
 * proc_pid_status(5).
 */

import { readFileSync, readlinkSync, statSync } from 'node:fs';
import type { Box } from './box.ts';
import { sleep } from './eventually.ts';
import { descendants, procStatus } from './proc.ts';
import { runtime } from './runtime.ts';

/** Bytes that only `pid` holds: Private_Clean + Private_Dirty. */
export function privateMemory(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  let bytes = 0;
  for (const [, size] of text.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)) {
    bytes += Number(size) * 1024;
  }
  return bytes;
}

/** Files of script that a traced command opened: those of our tree that Node compiles. */
export function scriptFiles(trace: string): string[] {
  const files = new Set<string>();
  for (const [, path] of trace.matchAll(/openat\([^"]*"([^"]+)"[^)]*\) += \d+/g)) {
    if (/\.(c|m)?js$|\.json$/.test(path!) && !path!.endsWith('config.json')) files.add(path!);
  }
  return [...files].filter((path) => !/\/(state|image|bundle|process)\.json$/.test(path));
}

/** Bytes of script that the verb loads. */
export async function loadedScript(box: Box, args: readonly string[]): Promise<number> {
  const trace = box.path('trace');
  const tracer = ['-qq', '-s', '4096', '-e', 'trace=openat', '-o', trace];
  const command = [...tracer, runtime.path, '--root', box.root, ...args];
  const outcome = await box.command('strace', command, { detached: true });
  if (outcome.status !== 0) throw new Error(`strace ${args.join(' ')}: ${outcome.stderr}`);
  const files = scriptFiles(readFileSync(trace, 'latin1'));
  return files.reduce((sum, path) => sum + statSync(path).size, 0);
}

/**
 * Peak resident bytes of the Node process of a verb. strace holds its exit back for a moment, so
 * that the last value of VmHWM, proc_pid_status(5), can be read.
 */
export async function peakMemory(box: Box, args: readonly string[]): Promise<number> {
  const delay = ['-qq', '-e', 'trace=exit_group', '-o', '/dev/null'];
  const held = ['-e', 'inject=exit_group:delay_enter=200000'];
  const command = [...delay, ...held, runtime.path, '--root', box.root, ...args];
  let done = false;
  const running = box.command('strace', command, { detached: true }).finally(() => {
    done = true;
  });
  let peak = 0;
  while (!done) {
    for (const { pid } of descendants(process.pid)) peak = Math.max(peak, nodePeak(pid));
    await sleep(2);
  }
  const outcome = await running;
  if (outcome.status !== 0) throw new Error(`strace ${args.join(' ')}: ${outcome.stderr}`);
  return peak;
}

function nodePeak(pid: number): number {
  try {
    if (!/\/node$/.test(readlinkSync(`/proc/${pid}/exe`))) return 0;
    const line = procStatus(pid)['VmHWM'];
    return line === undefined ? 0 : Number.parseInt(line, 10) * 1024;
  } catch {
    return 0; // It ended between the two reads.
  }
}
