/**
 * Entry of dist/cold.cjs, the bundle with oclif in it: help, and the verbs that are rare.
 *
 * oclif finds no plugins here: it is given one, made of the manifest and the classes. Two things it
 * does while loading are fenced off first: it opens process.stdout (which leaves O_NONBLOCK behind)
 * and reads a theme from the home directory.
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import type { Output } from '../output.ts';

type ColdVerb = (
  context: Context,
  line: CommandLine,
  output: Output,
) => number | undefined | Promise<number | undefined>;

const VERBS: Readonly<Record<string, () => Promise<ColdVerb>>> = {
  spec: async () => (await import('../commands/spec.ts')).spec,
  'storage:pull': async () => (await import('../commands/storage/pull.ts')).storagePull,
  'storage:mount': async () => (await import('../commands/storage/mount.ts')).storageMount,
  'storage:umount': async () => (await import('../commands/storage/umount.ts')).storageUmount,
  'storage:cleanup': async () => (await import('../commands/storage/cleanup.ts')).storageCleanup,
};

/** The ids that main leaves to this bundle. */
export const coldVerbs = (): string[] => Object.keys(VERBS);

/** The help of one verb, of a topic, or of the whole when `id` is empty. */
export async function helpText(id: string): Promise<string> {
  fenceOff();
  const { oclifHelp } = await import('./oclif.ts');
  return oclifHelp(id);
}

export async function runCold(
  context: Context,
  line: CommandLine,
  output: Output,
): Promise<number> {
  fenceOff();
  const { runThroughOclif } = await import('./oclif.ts');
  return runThroughOclif(line.verb, async (id) => {
    const verb = await VERBS[id]!();
    return (await verb(context, line, output)) ?? 0;
  });
}

function fenceOff(): void {
  process.env['OCLIF_COLUMNS'] = '100';
  process.env['RUNCELL_DISABLE_THEME'] = '1';
  const nowhere = { isTTY: false, columns: 100, on: () => nowhere, write: () => true };
  for (const name of ['stdout', 'stderr']) {
    Object.defineProperty(process, name, { value: nowhere, configurable: true });
  }
}
