/**
 * The table of `ps`: the host's own ps, of which the lines of the container's processes are kept.
 * The columns are the user's to choose, so that only PID is looked for (runc's ps).
 */

import { accessSync, closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { RuncellError } from '../../error.ts';
import { describeExit, memfdCreate, reap } from '../native/libc.ts';
import { spawnProcess } from '../native/spawn.ts';
import type { Context } from './context.ts';

/** Where a distribution has it; looked at first, since engines may call without a PATH. */
const SAFE_PATH = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'];

export function processTable(
  context: Context,
  pids: readonly number[],
  args: readonly string[],
): string {
  const words = args.length === 0 ? ['-ef'] : args;
  return filterTable(runPs(context, findPs(pathOf(context.env)), words), pids);
}

function pathOf(env: readonly string[]): string {
  return env.find((entry) => entry.startsWith('PATH='))?.slice(5) ?? '';
}

/** A relative entry of PATH would be looked up in a directory that anybody may have made. */
export function findPs(path: string, safe: readonly string[] = SAFE_PATH): string {
  const directories = [...safe, ...path.split(':').filter((entry) => entry.startsWith('/'))];
  const found = directories.map((directory) => `${directory}/ps`).find(isExecutable);
  if (found !== undefined) return found;
  throw new RuncellError({
    code: 'host.program',
    target: 'ps',
    reason: 'executable file not found in $PATH',
    hint: 'install procps, or ask with --format json',
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** What it prints; stderr too, since that says why it fails. */
function runPs(context: Context, path: string, args: readonly string[]): string {
  const nothing = openSync('/dev/null', 'r');
  const output = memfdCreate('runcell:ps');
  try {
    const pid = spawnProcess({
      path,
      args: ['ps', ...args],
      env: context.handOver.envBytes,
      descriptors: [
        { from: nothing, to: 0 },
        { from: output, to: 1 },
        { from: output, to: 2 },
      ],
    });
    const report = reap(pid);
    const text = contentOf(output);
    if (report?.exited === 0) return text;
    const said = text.trim().split('\n')[0]!;
    const reason = [describeExit(report), said].filter((part) => part !== '').join(': ');
    throw new RuncellError({ code: 'host.program', target: path, reason });
  } finally {
    closeSync(nothing);
    closeSync(output);
  }
}

function contentOf(fd: number): string {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  let done = 0;
  while (done < bytes.length) {
    const read = readSync(fd, bytes, done, bytes.length - done, done);
    if (read === 0) break;
    done += read;
  }
  return bytes.toString('utf8', 0, done);
}

/** The heading, and of the lines those whose PID is one of `pids`. */
export function filterTable(text: string, pids: readonly number[]): string {
  const [heading = '', ...lines] = text.split('\n');
  const column = heading.trim().split(/\s+/).indexOf('PID');
  if (column === -1) {
    throw new RuncellError({
      code: 'host.program',
      reason: "couldn't find PID field in ps output",
    });
  }
  const wanted = new Set(pids.map(String));
  const kept = lines.filter((line) => wanted.has(line.trim().split(/\s+/)[column] ?? ''));
  return [heading, ...kept].map((line) => `${line}\n`).join('');
}
