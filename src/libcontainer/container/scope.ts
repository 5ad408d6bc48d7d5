/**
 * What the verbs do for containers whose group is not made by runcell: those of the systemd driver, and
 * those without a group. Loaded late: other containers have nothing of it.
 */

import type { Config } from '@opencontainers-ts/spec';
import { toRuncellError } from '../../error.ts';
import { giveGroup, groupOwner } from '../cgroups/delegation.ts';
import * as disabled from '../cgroups/disabled.ts';
import {
  attachToScope,
  findScope,
  type KnownScope,
  removeScope,
  Scope,
  type ScopeLimits,
  ScopeUpdate,
} from '../cgroups/systemd.ts';
import { killCgroup } from '../cgroups/v2.ts';
import type { StateFile } from '../store/state-file.ts';
import type { Context } from './context.ts';
import { limitGroup, limitOptions } from './limits.ts';

/** The scope of a container that is created: planned before anything is made, then entered. */
export class PlannedScope {
  readonly #scope: Scope;
  readonly #context: Context;
  readonly #config: Config;
  readonly #cgroupRoot: string;

  constructor(context: Context, id: string, config: Config, cgroupRoot: string) {
    this.#context = context;
    this.#config = config;
    this.#cgroupRoot = cgroupRoot;
    const { annotations, linux = {} } = config;
    const limits = limitOptions(config);
    this.#scope = new Scope({ id, linux, annotations, limits, env: context.env, cgroupRoot });
  }

  get directory(): string {
    return this.#scope.directory;
  }

  /** For state.json. */
  get known(): KnownScope {
    return this.#scope.known;
  }

  /** The stage becomes the scope's process; limits that systemd does not know go into the files. */
  enter(stagePid: number): void {
    const { directory } = this.#scope;
    const { linux } = this.#config;
    this.#scope.start(stagePid);
    const { resources } = this.#scope;
    limitGroup(this.#cgroupRoot, directory, { ...this.#config, linux: { ...linux, resources } });
    const owner = groupOwner(this.#config);
    if (owner !== undefined) giveGroup(directory, owner);
    this.#scope.close();
  }

  /** By a connection of its own: that of the start may be why it failed. */
  remove(): void {
    this.#scope.close();
    removeScope(this.known, this.#context.env);
  }
}

/** The directory of no group at all, for a configuration that can do without. */
export function checkNoGroup(config: Config): '' {
  disabled.checkNoGroup(config.linux ?? {}, limitOptions(config));
  return '';
}

/** As systemd knows it: undefined for a container of another driver. */
function knownScope(state: StateFile): KnownScope | undefined {
  const { systemd_unit: unit, systemd_user: user = false } = state;
  return unit === undefined ? undefined : { unit, user };
}

/**
 * The unit is stopped and forgotten; its group goes with it. By force it is done without systemd when
 * systemd does not answer: the group is then removed as a directory.
 */
export function removeUnit(context: Context, state: StateFile, force: boolean): void {
  const scope = knownScope(state);
  if (scope === undefined) return;
  try {
    removeScope(scope, context.env);
  } catch (thrown) {
    if (!force) throw thrown;
    context.log.warn(toRuncellError(thrown).message);
  }
}

/** The unit of a container whose state cannot be read, by what its configuration says. */
export function removeUnrecorded(context: Context, config: Config, id: string): void {
  const scope = findScope(config.linux?.cgroupsPath, id, context.env);
  if (scope === undefined) return;
  killCgroup(scope.directory);
  removeScope(scope, context.env);
}

/** `update`: undefined for a container of another driver. */
export function planUpdate(
  context: Context,
  state: StateFile,
  limits: ScopeLimits,
): ScopeUpdate | undefined {
  const scope = knownScope(state);
  return scope === undefined ? undefined : new ScopeUpdate(scope, context.env, limits);
}

/**
 * The stage of an exec, into the unit or a group below it (`/sub`): without root a process may not be moved, or cloned, across
 * groups that are not its user's, and systemd does it for its user.
 */
export function attachStage(
  context: Context,
  state: StateFile,
  subgroup: string,
  pid: number,
): void {
  const scope = knownScope(state);
  if (scope !== undefined) attachToScope(scope, context.env, subgroup, [pid]);
}
