/**
 * The systemd driver: a container's group is that of a transient scope, and systemd is who makes it,
 * limits it and takes it away (runtime-cli.md §6.1, §6.2, §6.4).
 *
 * A scope is started for processes that are there. The one it is given is the *stage*: runcell's own
 * helper, which has not been told anything yet. Init is then cloned into the group by it, so that no
 * process of the container is ever anywhere else, as with the file driver. Name and group are known
 * before systemd is asked, and stand in state.json by then: whatever kills the verb, `delete
 * --force` stops the unit. Loaded only for containers of this driver.
 */

import type { Linux, LinuxResources } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import { findCgroupRoot } from '../host/cgroup-mode.ts';
import { insideUserNamespace } from '../host/user-namespace.ts';
import type { BusProperty } from '../native/bus-value.ts';
import { deviceRules } from './device-filter.ts';
import type { GroupFiles, LimitOptions } from './resources.ts';
import { annotationProperties } from './systemd-annotations.ts';
import { busPlace, Systemd } from './systemd-bus.ts';
import { deviceProperties } from './systemd-devices.ts';
import {
  oomProperties,
  resourceProperties,
  scopeProperties,
  systemdCpu,
} from './systemd-properties.ts';
import { type ScopeUnit, scopeUnit } from './systemd-unit.ts';
import { cgroupExists } from './v2.ts';

export interface ScopeRequest {
  readonly id: string;
  readonly linux: Linux;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  readonly limits: LimitOptions;
  /** The caller's environment: it may name the bus. */
  readonly env: readonly string[];
  /** Where cgroup2 is mounted. */
  readonly cgroupRoot: string;
}

/** A scope that a container has, as its state remembers it. */
export interface KnownScope {
  readonly unit: string;
  /** Whether it is one of the user's own manager. */
  readonly user: boolean;
}

/** A group that has not been made. */
const NO_GROUP: GroupFiles = { has: () => false, read: () => '' };

/** The scope of a container that is created. */
export class Scope {
  readonly known: KnownScope;
  /** Absolute directory of the group. */
  readonly directory: string;
  readonly #request: ScopeRequest;
  readonly #unit: ScopeUnit;
  readonly #systemd: Systemd;
  readonly #path: string;
  readonly #limits: readonly BusProperty[];

  /** Whatever can be refused is refused here: nothing has been made yet. */
  constructor(request: ScopeRequest) {
    const { id, linux, annotations, env, cgroupRoot } = request;
    this.#request = request;
    const user = callsAsUser();
    const unit = scopeUnit({ cgroupsPath: linux.cgroupsPath, id, user });
    const asked = annotationProperties(annotations);
    this.#unit = unit;
    this.known = { unit: unit.name, user };
    this.#systemd = new Systemd(busPlace(env, user, process.getuid!()));
    try {
      const version = this.#systemd.version();
      const resources = linux.resources ?? {};
      this.#limits = [
        ...asked,
        ...oomProperties(resources, version),
        ...deviceProperties(deviceRules(linux), version),
        ...resourceProperties(resources, NO_GROUP, { ...request.limits, version }),
      ];
      this.#path = this.#systemd.ownGroup() + unit.path;
      this.directory = cgroupRoot + this.#path;
    } catch (thrown) {
      this.#systemd[Symbol.dispose]();
      throw thrown;
    }
  }

  /**
   * Starts it with one process in it. Limits come with the start, so that they hold before anything
   * runs. Where the group is has been written down: it must be there and nowhere else.
   */
  start(pid: number): void {
    const { name } = this.#unit;
    this.#systemd.startScope(name, [...scopeProperties(this.#unit, [pid]), ...this.#limits]);
    const actual = this.#systemd.scopeGroup(name);
    if (actual === this.#path) return;
    throw new RuncellError({
      code: 'systemd.unit',
      operation: 'start the unit',
      target: name,
      reason: `systemd put it at ${actual === '' ? 'no group' : actual}, not at ${this.#path}`,
      hint: 'is the bus that of this machine, and of this cgroup namespace?',
    });
  }

  /** What is left to the files: with the quota that systemd has made of it. */
  get resources(): LinuxResources {
    return systemdCpu(this.#request.linux.resources ?? {}, NO_GROUP);
  }

  /** The unit is gone afterwards, also one that is only half started. */
  stop(): void {
    this.#systemd.stop(this.#unit.name);
  }

  close(): void {
    this.#systemd[Symbol.dispose]();
  }
}

/** Without root, or with a root that is somebody's own, it is the user's manager. */
function callsAsUser(): boolean {
  return process.geteuid!() !== 0 || insideUserNamespace();
}

/** Stops the unit of a container and lets systemd forget it. */
export function removeScope(scope: KnownScope, env: readonly string[]): void {
  using systemd = connect(scope, env);
  systemd.stop(scope.unit);
}

/**
 * The scope that a container of this configuration would have, if its group is there; a path that the
 * driver would not take has none. Without systemd there is none either.
 */
export function findScope(
  cgroupsPath: string | undefined,
  id: string,
  env: readonly string[],
): (KnownScope & { readonly directory: string }) | undefined {
  const user = callsAsUser();
  try {
    const unit = scopeUnit({ cgroupsPath, id, user });
    using systemd = connect({ unit: unit.name, user }, env);
    const directory = findCgroupRoot() + systemd.ownGroup() + unit.path;
    return cgroupExists(directory) ? { unit: unit.name, user, directory } : undefined;
  } catch (thrown) {
    const { code } = toRuncellError(thrown);
    if (code === 'config.value' || code === 'systemd.bus') return undefined;
    throw thrown;
  }
}

/** Moves processes of ours into the unit, where the kernel does not let us do it by the files. */
export function attachToScope(
  scope: KnownScope,
  env: readonly string[],
  subgroup: string,
  pids: readonly number[],
): void {
  using systemd = connect(scope, env);
  systemd.attach(scope.unit, subgroup, pids);
}

export interface ScopeLimits {
  readonly resources: LinuxResources;
  /** What is in force. */
  readonly files: GroupFiles;
  readonly options: LimitOptions;
}

/**
 * Other limits for a scope that is there. The files are written first, for a memory limit below what is
 * in use is reclaimed there; then systemd is told, and writes what they have already.
 */
export class ScopeUpdate implements Disposable {
  /** For the files. */
  readonly resources: LinuxResources;
  readonly #unit: string;
  readonly #systemd: Systemd;
  readonly #properties: readonly BusProperty[];

  constructor(scope: KnownScope, env: readonly string[], limits: ScopeLimits) {
    const { resources, files, options } = limits;
    this.resources = systemdCpu(resources, files);
    this.#unit = scope.unit;
    this.#systemd = connect(scope, env);
    try {
      const version = this.#systemd.version();
      this.#properties = resourceProperties(resources, files, { ...options, version });
    } catch (thrown) {
      this.#systemd[Symbol.dispose]();
      throw thrown;
    }
  }

  tell(): void {
    if (this.#properties.length > 0) this.#systemd.setProperties(this.#unit, this.#properties);
  }

  [Symbol.dispose](): void {
    this.#systemd[Symbol.dispose]();
  }
}

function connect(scope: KnownScope, env: readonly string[]): Systemd {
  return new Systemd(busPlace(env, scope.user, process.getuid!()));
}
