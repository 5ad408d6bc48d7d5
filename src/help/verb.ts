/**
 * The class of every verb for oclif: what it takes, as data. The rows of oclif.manifest.json are
 * made from these classes (scripts/manifest.ts), so there is one table of flags. Cold: loads oclif.
 *
 * oclif's own argument parser is not used: src/argv.ts follows runc's rules, and a verb runs with
 * the command line it made.
 */

import { Args, Command, Flags, type Interfaces } from '@oclif/core';

/** oclif's options with the one thing of ours in them: how a verb is carried out. */
export interface VerbOptions extends Interfaces.Options {
  readonly execute: (id: string) => number | Promise<number>;
}

export abstract class Verb extends Command {
  static override baseFlags = {
    root: Flags.string({
      description: 'directory that the state of all containers lives below',
      helpGroup: 'GLOBAL',
      helpValue: 'DIR',
    }),
    log: Flags.string({
      description: 'file that records are appended to (default: stderr)',
      helpGroup: 'GLOBAL',
      helpValue: 'FILE',
    }),
    'log-format': Flags.string({
      description: 'form of the records: text or json',
      helpGroup: 'GLOBAL',
      helpValue: 'FORMAT',
    }),
    debug: Flags.boolean({ description: 'write debug records', helpGroup: 'GLOBAL' }),
    verbose: Flags.boolean({
      char: 'v',
      description: 'write debug records; -v without a verb prints the version',
      helpGroup: 'GLOBAL',
    }),
    version: Flags.boolean({ description: 'print the version', helpGroup: 'GLOBAL' }),
    'systemd-cgroup': Flags.boolean({
      description: 'have systemd make the cgroups: cgroupsPath is then slice:prefix:name',
      helpGroup: 'GLOBAL',
    }),
    rootless: Flags.string({
      description: 'tolerate missing cgroup permissions: true (not supported yet), false or auto',
      helpGroup: 'GLOBAL',
      helpValue: 'MODE',
    }),
    'cgroup-manager': Flags.string({
      description: 'who makes the cgroups: cgroupfs, systemd, or disabled for none',
      helpGroup: 'GLOBAL',
      helpValue: 'NAME',
    }),
  };

  /** After the first positional everything is payload. */
  static payload: boolean | undefined;
  /** Words after `--` are kept apart. */
  static rest: boolean | undefined;
  /** `-it` is `-i -t`. */
  static bundling: boolean | undefined;

  override async run(): Promise<number> {
    return (this.config.options as VerbOptions).execute(this.id ?? '');
  }
}

export const containerId = {
  id: Args.string({ name: 'ID', required: true, description: 'name of the container' }),
};
