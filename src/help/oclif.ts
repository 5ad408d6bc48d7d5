/**
 * oclif set up by hand: one plugin whose rows are oclif.manifest.json and whose classes are those of
 * this folder. No user, dev or jit plugin is looked for: a plugin path from the environment would be
 * code run as root (DESIGN.md §6).
 */

import { type Command, Config, Help, type Interfaces } from '@oclif/core';
import manifest from '../../oclif.manifest.json' with { type: 'json' };
import pjson from '../../package.json' with { type: 'json' };
import { RuncellError } from '../error.ts';
import { CONTAINER_VERBS, STORAGE_VERBS } from './container-verbs.ts';
import { RUNC_VERBS } from './runc-verbs.ts';
import type { VerbOptions } from './verb.ts';

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
  const help = new CollectedHelp(await loadConfig(showsHelpOnly), {
    stripAnsi: true,
    maxWidth: 100,
  });
  await help.showHelp(id === '' ? [] : id.split(':'));
  return `${help.text.trimEnd()}\n`;
}

/** Runs a verb as oclif does, hooks and all; `execute` gets its id and does the work. */
export async function runThroughOclif(
  id: string,
  execute: (id: string) => Promise<number>,
): Promise<number> {
  const config = await loadConfig(execute);
  return config.runCommand<number>(id);
}

class CollectedHelp extends Help {
  text = '';

  protected override log(...args: string[]): void {
    this.text += `${args.join(' ')}\n`;
  }

  override async showRootHelp(): Promise<void> {
    await super.showRootHelp();
    const rows = Object.entries(manifest.globals).map(([name, row]): [string, string] => {
      const value = 'helpValue' in row ? ` ${row.helpValue}` : '';
      return [`--${name}${value}`, row.description];
    });
    const list = this.renderList(rows, { indentation: 2, stripAnsi: true });
    this.log(this.section('GLOBAL FLAGS', list));
  }
}

function showsHelpOnly(id: string): never {
  throw new RuncellError({ code: 'internal', target: id, reason: 'help runs no verb' });
}

async function loadConfig(execute: VerbOptions['execute']): Promise<Config> {
  // Nothing is looked up below it.
  const root = '/';
  const plugin = rootPlugin(root);
  const options: VerbOptions = {
    root,
    plugins: new Map([[plugin.name, plugin]]),
    userPlugins: false,
    devPlugins: false,
    jitPlugins: false,
    execute,
  };
  const config = new Config(options);
  await config.load();
  return config;
}

function rootPlugin(root: string): Interfaces.Plugin {
  const commands = Object.entries(manifest.commands).map(([id, row]) => ({
    ...row,
    flags: { ...row.flags, ...manifest.globals },
    usage: usageOf(id, row),
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

/** Flags before the arguments, which is right for every verb; oclif would put them last. */
function usageOf(id: string, row: object): string {
  const { args = {}, rest } = row as {
    args?: Record<string, { name: string; required?: boolean; multiple?: boolean }>;
    rest?: boolean;
  };
  const words = Object.values(args).map(({ name, required, multiple }) => {
    const word = multiple === true ? `${name}...` : name;
    return required === true ? word : `[${word}]`;
  });
  const tail = rest === true ? ['[-- WORD...]'] : [];
  return [
    id.replace(':', ' '),
    '[FLAGS]',
    ...words.map((word) => word.toUpperCase()),
    ...tail,
  ].join(' ');
}

async function loadClass(id: string): Promise<Command.Class> {
  const found = VERB_CLASSES[id]!;
  found.id = id;
  return found;
}
