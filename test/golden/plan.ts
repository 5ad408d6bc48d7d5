/**
 * From a fragment of config.json to the programs that `create` would send, without a host: the facts
 * are fixed, so the text of a golden file depends on the planner alone.
 */

import type { Config, Process } from '@opencontainers-ts/spec';
import { planHook } from '../../src/hooks/compile.ts';
import { compileDeviceFilter } from '../../src/libcontainer/cgroups/device-filter.ts';
import type { HostFacts } from '../../src/libcontainer/host/facts.ts';
import * as consolePlan from '../../src/libcontainer/plan/console.ts';
import { copyUp } from '../../src/libcontainer/plan/copy-up.ts';
import { CreatePlan } from '../../src/libcontainer/plan/create.ts';
import type { Draft, PlanOptions } from '../../src/libcontainer/plan/draft.ts';
import { ExecPlan } from '../../src/libcontainer/plan/exec.ts';
import * as idmap from '../../src/libcontainer/plan/idmap.ts';
import { planMemoryPolicy } from '../../src/libcontainer/plan/memory-policy.ts';
import { grantable } from '../../src/libcontainer/plan/process.ts';
import { type FilterToLoad, SeccompPlan } from '../../src/libcontainer/plan/seccomp.ts';
import type { Program } from '../../src/libcontainer/program/builder.ts';

/** The smallest configuration that plans: what a test does not name is not in it. */
export function config(fragment: Partial<Config> = {}): Config {
  return {
    ociVersion: '1.3.0',
    root: { path: 'rootfs' },
    process: { cwd: '/', args: ['/bin/true'], user: { uid: 0, gid: 0 }, env: ['HOME=/'] },
    ...fragment,
    linux: {
      namespaces: [{ type: 'mount' }, { type: 'pid' }],
      ...fragment.linux,
    },
  };
}

export function facts(changes: Partial<HostFacts> = {}): HostFacts {
  return {
    arch: 'x64',
    kernel: [6, 12],
    euid: 0,
    cgroupRoot: '/sys/fs/cgroup',
    cgroupDir: '/sys/fs/cgroup/runcell/c1',
    permittedCapabilities: (1n << 41n) - 1n,
    lastCapability: 40,
    sourceIsProc: [],
    sourceIsDirectory: [],
    destinations: [],
    copyUp: new Map(),
    sameNamespaces: new Set(),
    nullStdio: [],
    ...changes,
  };
}

export function options(changes: Partial<PlanOptions> = {}): PlanOptions {
  return {
    id: 'c1',
    bundle: '/b',
    rootfs: '/b/rootfs',
    stateDir: '/run/runcell/states/c1',
    noPivot: false,
    noNewKeyring: false,
    keepFds: 0,
    listenFds: 0,
    consoleSocket: undefined,
    pidfdSocket: undefined,
    foregroundTerminal: false,
    notifyDir: undefined,
    deviceFilter: compileDeviceFilter({}),
    nofile: { soft: 1024n, hard: 4096n },
    ...changes,
  };
}

export interface Scene {
  /** The compiled filter of `linux.seccomp`. */
  readonly filter?: FilterToLoad;
  readonly config?: Partial<Config>;
  readonly facts?: Partial<HostFacts>;
  readonly options?: Partial<PlanOptions>;
}

export interface NamedProgram {
  /** Whose it is, and where the compiler cuts it. */
  readonly name: string;
  readonly program: Program;
  readonly root: 'host' | 'container';
}

/** The OCI state that hooks get, as far as a plan cares: bytes. */
const STATE = new TextEncoder().encode('{"ociVersion":"1.3.0","id":"c1","status":"created"}');

/** The programs of `create`, in order, cut where container/create.ts cuts them. */
export function createPrograms(scene: Scene): NamedProgram[] {
  const plan = new CreatePlan({
    config: config(scene.config),
    facts: facts(scene.facts),
    options: options(scene.options),
  });
  plan.planHook = planHook;
  addFilter(plan.draft, scene, config(scene.config).process!);
  plan.draft.copyUp = copyUp;
  plan.draft.planMemoryPolicy = planMemoryPolicy;
  plan.draft.console = consolePlan;
  if (plan.hasIdMaps) plan.useIdMaps(idmap);
  const programs: NamedProgram[] = [];
  let root: NamedProgram['root'] = 'host';
  const add = (name: string, program: Program): void => {
    if (program.before !== undefined) add(`${name}, a piece of it`, program.before);
    programs.push({ name, program, root });
  };
  const hooks = scene.config?.hooks ?? {};
  plan.idMaps.forEach((_, index) => {
    add(`holder ${index}`, plan.holder(index));
  });
  add('stage', plan.stage());
  plan.setup();
  add('init, up to the runtime hooks', plan.mounted());
  hooks.createContainer?.forEach((hook, index) => {
    plan.createContainerHook(hook, index, STATE);
  });
  plan.enter();
  if (plan.offersTerminal) {
    add('init, up to the terminal', plan.draft.cut());
    root = 'container';
  }
  if (plan.needsHome) {
    plan.passwd();
    add('init, up to HOME', plan.draft.cut());
    root = 'container';
  }
  const start = { hooks: hooks.startContainer ?? [], state: STATE };
  add('init', plan.become(plan.needsHome ? '/root' : undefined, start));
  return programs;
}

/** As container/seccomp.ts does. */
function addFilter(draft: Draft, { filter }: Scene, process: Process): void {
  if (filter === undefined) return;
  const { held } = grantable(draft);
  draft.seccomp = new SeccompPlan(filter, process.noNewPrivileges === true, held);
}

type ExecInput = ConstructorParameters<typeof ExecPlan>[0];

/** The programs of `exec`, cut where container/exec.ts cuts them. */
export function execPrograms(
  request: Pick<ExecInput, 'process' | 'namespaces'>,
  scene: Scene = {},
): NamedProgram[] {
  const plan = new ExecPlan({
    config: config(scene.config),
    facts: facts(scene.facts),
    options: options(scene.options),
    initPidfd: 3,
    initRoot: '/proc/4711/root',
    ...request,
  });
  plan.draft.planMemoryPolicy = planMemoryPolicy;
  plan.draft.console = consolePlan;
  addFilter(plan.draft, scene, request.process);
  const programs: NamedProgram[] = [{ name: 'exec, stage', program: plan.stage(), root: 'host' }];
  plan.enter();
  const add = (name: string, program: NamedProgram['program']): void => {
    programs.push({ name, program, root: 'container' });
  };
  if (plan.offersTerminal) add('exec, up to the terminal', plan.draft.cut());
  if (plan.needsHome) {
    plan.passwd();
    add('exec, up to HOME', plan.draft.cut());
  }
  add('exec', plan.become(plan.needsHome ? '/root' : undefined));
  return programs;
}
