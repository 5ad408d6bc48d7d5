/**
 * oclif set up by hand: one plugin whose rows are oclif.manifest.json and whose classes are those of
 * this folder. No user, dev or jit plugin is looked for: a plugin path from the environment would be
 * code run as root (DESIGN.md §6).
 */

import { type Command, Help, type Interfaces } from '@oclif/core';
import manifest from '../../oclif.manifest.json' with { type: 'json' };
import pjson from '../../package.json' with { type: 'json' };
import { CONTAINER_VERBS, STORAGE_VERBS } from './container-verbs.ts';
import { RUNC_VERBS } from './runc-verbs.ts';
import { VerbConfig } from './verb.ts';

export const VERB_CLASSES: Readonly<Record<string, Command.Class>> = {
  ...RUNC_VERBS,
  ...CONTAINER_VERBS,
  ...STORAGE_VERBS,
};

const TOPICS = {
  container: { description: 'run containers from images' },
  storage: { description: 'images and mounts' },
};

export async function oclifHelp(id: string): Promise<string> {
  const help = new CollectedHelp(await loadConfig(), { stripAnsi: true, maxWidth: 100 });
  await help.showHelp(id === '' ? [] : id.split(':'));
  return `${help.text.trimEnd()}\n`;
}

/** Runs a verb as oclif does, hooks and all; `execute` gets its id and does the work. */
export async function runThroughOclif(
  id: string,
  execute: (id: string) => Promise<number>,
): Promise<number> {
  const config = await loadConfig();
  config.execute = execute;
  return config.runCommand<number>(id);
}

class CollectedHelp extends Help {
  text = '';

  protected override log(...args: string[]): void {
    this.text += `${args.join(' ')}\n`;
  }
}

async function loadConfig(): Promise<VerbConfig> {
  // Nothing is looked up below it.
  const root = '/';
  const plugin = rootPlugin(root);
  const config = new VerbConfig({
    root,
    plugins: new Map([[plugin.name, plugin]]),
    userPlugins: false,
    devPlugins: false,
    jitPlugins: false,
  });
  await config.load();
  return config;
}

function rootPlugin(root: string): Interfaces.Plugin {
  const commands = Object.entries(manifest.commands).map(([id, row]) => ({
    ...row,
    flags: { ...row.flags, ...manifest.globals },
    load: async () => loadClass(id),
  })) as unknown as Command.Loadable[];
  return {
    _base: 'runcell',
    alias: pjson.name,
    commandIDs: Object.keys(manifest.commands),
    commands,
    commandsDir: undefined,
    findCommand: (id: string) => loadClass(id),
    hasManifest: true,
    hooks: {},
    isRoot: true,
    load: async () => {},
    moduleType: 'commonjs',
    name: pjson.name,
    options: { root },
    parent: undefined,
    pjson: { ...pjson, oclif: { bin: 'runcell', topicSeparator: ' ', topics: TOPICS } },
    root,
    topics: Object.entries(TOPICS).map(([name, topic]) => ({ name, ...topic })),
    type: 'core',
    valid: true,
    version: pjson.version,
  } as unknown as Interfaces.Plugin;
}

async function loadClass(id: string): Promise<Command.Class> {
  const found = VERB_CLASSES[id]!;
  found.id = id;
  return found;
}
