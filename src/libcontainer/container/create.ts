/**
 * create: from a bundle to an init that waits for start (runtime-spec 1.3 runtime.md#lifecycle).
 *
 * The order is that of undoing: the id is claimed first, the state is written before there is a
 * process, so that whatever kills the verb, `delete --force` finds what it made. What fails is
 * undone here, in reverse.
 */

import type { Config } from '@opencontainers-ts/spec';
import { RuncellError, toRuncellError } from '../../error.ts';
import { type Bundle, loadBundle } from '../../oci/bundle.ts';
import { hookState } from '../../oci/state.ts';
import { hasLimits } from '../../oci/validate/unsupported.ts';
import type { Applied } from '../cgroups/apply.ts';
import { cgroupDirectory, lacksControllers, makeCgroup, missingGroups } from '../cgroups/v2.ts';
import { notifyDirectoryOf } from '../console/notify-directory.ts';
import { checkConsole } from '../console/socket.ts';
import { spawnExecutor } from '../executor/cold.ts';
import type { ExecutorSession } from '../executor/session.ts';
import { findCgroupRoot, ownCgroup } from '../host/cgroup-mode.ts';
import { probeMounts } from '../host/mount-sources.ts';
import { readRootfsPasswd } from '../host/passwd.ts';
import { probeHost } from '../host/probe.ts';
import { pidfdGetfd, pidfdOpen, reap } from '../native/libc.ts';
import { ungrantable } from '../plan/capabilities.ts';
import { CreatePlan } from '../plan/create.ts';
import type { PlanOptions } from '../plan/draft.ts';
import { entersPidNamespaceLast } from '../plan/namespaces.ts';
import { grantable } from '../plan/process.ts';
import { planSelfCopy } from '../plan/self-copy.ts';
import type { Program } from '../program/builder.ts';
import { makeExecFifos } from '../store/exec-fifo.ts';
import { type ContainerLock, lockContainer } from '../store/lock.ts';
import { checkId, claimId, prepareRoot } from '../store/state-dir.ts';
import { loadState, type StateFile, writeConfig, writeState } from '../store/state-file.ts';
import { callerOf, checkKeptFds, keptDescriptors } from './caller.ts';
import type { Context } from './context.ts';
import { Conversation } from './conversation.ts';
import { deviceFilterFor } from './device-filter.ts';
import { explained } from './explained.ts';
import { executorPath } from './installation.ts';
import { homeOf } from './passwd.ts';
import { writePidFile } from './pid-file.ts';
import type { RareParts } from './rare-parts.ts';
import { createdState, initialState } from './record.ts';
import type { PlannedScope } from './scope.ts';

export interface CreateOptions {
  readonly id: string;
  /** Absolute. */
  readonly bundle: string;
  readonly consoleSocket?: string;
  readonly pidfdSocket?: string;
  readonly pidFile?: string;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  readonly preserveFds: number;
  readonly listenFds: number;
  /** NOTIFY_SOCKET of the caller. */
  readonly notifySocket?: string;
  /** Directories that runcell made for this container, for `delete` to remove. */
  readonly owned?: { readonly bundle?: string; readonly image?: string };
}

/** A container that stands, with the lock still held. */
export interface Created {
  readonly directory: string;
  readonly state: StateFile;
  readonly config: Config;
  readonly lock: ContainerLock;
  /** The pty's master where the caller's terminal is the container's. */
  readonly master: number | undefined;
}

/** `create`: leaves init waiting; the pid file is written last. */
export async function createContainer(context: Context, options: CreateOptions): Promise<void> {
  const created = await create(context, options, { foreground: false });
  created.lock.release();
}

export async function create(
  context: Context,
  options: CreateOptions,
  how: { readonly foreground: boolean },
): Promise<Created> {
  const attempt = new Attempt(context, options, how.foreground);
  try {
    return await attempt.run();
  } catch (thrown) {
    throw await attempt.undo(thrown);
  }
}

const NO_HOOKS = { hooks: [], state: new Uint8Array(0) };

/** One try at a container: what has been made so far, and how to unmake it. */
class Attempt {
  readonly #context: Context;
  readonly #options: CreateOptions;
  readonly #foreground: boolean;
  #bundle: Bundle | undefined;
  #cgroupRoot = '';
  #limits: Applied | undefined;
  #scope: PlannedScope | undefined;
  #stageReaped = false;
  /** The child that joins a user namespace for the stage, until it is reaped. */
  #joiner = 0;
  #directory: string | undefined;
  #lock: ContainerLock | undefined;
  #state: StateFile | undefined;
  #created: StateFile | undefined;
  #session: ExecutorSession | undefined;
  #talk: Conversation | undefined;
  #rareParts: RareParts | undefined;
  #attachFilter: (() => void) | undefined;

  constructor(context: Context, options: CreateOptions, foreground: boolean) {
    this.#context = context;
    this.#options = options;
    this.#foreground = foreground;
  }

  async run(): Promise<Created> {
    checkId(this.#options.id);
    const { config } = this.#load();
    if (hasLimits(config)) {
      (await import('./limits.ts')).checkConfigLimits(config, this.#context.log);
    }
    const terminal = config.process.terminal === true;
    const { consoleSocket } = this.#options;
    checkConsole({ terminal, detach: !this.#foreground, consoleSocket });
    checkKeptFds(this.#context.handOver, this.#options);
    const { netDevices, intelRdt, memoryPolicy } = config.linux;
    if ((netDevices ?? intelRdt ?? memoryPolicy) !== undefined) {
      const { RareParts } = await import('./rare-parts.ts');
      this.#rareParts = new RareParts({ config, id: this.#options.id, log: this.#context.log });
    }
    await this.#claim();
    const plan = await this.#plan();
    const isHostRoot = !config.process.user?.uid && !plan.draft.hasNamespace('user');
    if (!terminal && !isHostRoot) (await import('./stdio-pipes.ts')).sharePipes();
    if (config.linux.seccomp) {
      await (await import('./seccomp.ts')).planSeccomp(this.#context, plan.draft);
    }
    await this.#sendStage(plan);
    writeConfig(this.#directory!, this.#bundle!.configBytes);
    // While the stage works, init's program up to its mounts is made; while init mounts, the rest.
    plan.setup();
    const mounts = plan.mounted();
    const home = this.#homeOnHost(plan);
    await this.#awaitInit(plan);
    this.#rareParts?.apply(this.#talk!.pid);
    this.#talk!.send(mounts);
    const master = await this.#runInit(plan, home);
    return this.#finish(master);
  }

  #load(): Bundle {
    const bundle = loadBundle(this.#options.bundle);
    for (const warning of bundle.warnings) this.#context.log.warn(warning);
    for (const line of bundle.debug) this.#context.log.debug(line);
    this.#bundle = bundle;
    return bundle;
  }

  /** The id, its lock, and a state that tells `delete` where to look. */
  async #claim(): Promise<void> {
    const { root, explicitRoot } = this.#context;
    const { id, owned } = this.#options;
    const bundle = this.#bundle!;
    prepareRoot(root, { explicit: explicitRoot });
    const cgroupRoot = findCgroupRoot();
    this.#cgroupRoot = cgroupRoot;
    const wanted = await this.#groupDirectory(bundle.config);
    this.#directory = claimId(root, id);
    this.#lock = lockContainer(this.#directory);
    const missing = wanted === '' ? [] : missingGroups(cgroupRoot, wanted);
    this.#state = initialState({
      ...this.#rareParts?.record,
      id,
      bundle,
      owned,
      cgroup: wanted,
      // Slices are systemd's own.
      cgroupMade: this.#scope === undefined ? missing : missing.slice(-1),
      scope: this.#scope?.known,
      noNewKeyring: this.#options.noNewKeyring,
    });
    writeState(this.#directory, this.#state);
    if (this.#context.cgroupManager === 'cgroupfs') await this.#makeGroup(wanted);
    this.#rareParts?.make();
    makeExecFifos(this.#directory);
    if (this.#options.notifySocket !== undefined) {
      const { makeNotifyDirectory } = await import('../console/notify.ts');
      makeNotifyDirectory(this.#directory);
    }
  }

  async #makeGroup(directory: string): Promise<void> {
    const root = this.#cgroupRoot;
    makeCgroup(root, directory);
    const { config } = this.#bundle!;
    if (!hasLimits(config) && !lacksControllers(root, directory)) return;
    const { limitGroup } = await import('./limits.ts');
    this.#limits = limitGroup(root, directory, config);
  }

  /** Where the group will be, '' for none. Whatever another manager refuses it refuses here. */
  async #groupDirectory(config: Config): Promise<string> {
    const { cgroupManager } = this.#context;
    const root = this.#cgroupRoot;
    const { id } = this.#options;
    if (cgroupManager === 'cgroupfs') {
      return cgroupDirectory(root, ownCgroup(), config.linux?.cgroupsPath, id);
    }
    const { checkNoGroup, PlannedScope } = await import('./scope.ts');
    if (cgroupManager === 'disabled') return checkNoGroup(config);
    this.#scope = new PlannedScope(this.#context, id, config, root);
    return this.#scope.directory;
  }

  async #plan(): Promise<CreatePlan> {
    const { bundleDir, rootfsPath, config } = this.#bundle!;
    const mounts = probeMounts(config, bundleDir, rootfsPath);
    const cgroupDir = this.#state!.cgroup_path || undefined;
    const facts = probeHost({ config, mounts, cgroupRoot: this.#cgroupRoot, cgroupDir });
    const planned = { ...config, mounts: mounts.mounts };
    const { log } = this.#context;
    const filter = await deviceFilterFor({ state: this.#state!, config, facts, log });
    this.#attachFilter = filter.late;
    const options = { ...this.#planOptions(), deviceFilter: filter.early };
    const plan = new CreatePlan({ config: planned, facts, options });
    this.#rareParts?.usePlanners(plan.draft);
    if (config.process.terminal === true) {
      plan.draft.console = await import('../plan/console.ts');
    }
    if (plan.hasIdMaps) plan.useIdMaps(await import('../plan/idmap.ts'));
    if (facts.copyUp.size > 0) plan.draft.copyUp = (await import('../plan/copy-up.ts')).copyUp;
    const caps = ungrantable(config.process.capabilities, grantable(plan.draft));
    for (const name of caps) {
      log.warn(`process.capabilities: ${name} cannot be granted and is left out`);
    }
    return plan;
  }

  #planOptions(): PlanOptions {
    const { handOver } = this.#context;
    const options = this.#options;
    const { bundleDir, rootfsPath, config } = this.#bundle!;
    return {
      id: options.id,
      bundle: bundleDir,
      rootfs: rootfsPath,
      stateDir: this.#directory!,
      noPivot: options.noPivot,
      noNewKeyring: options.noNewKeyring,
      keepFds: options.listenFds + options.preserveFds,
      listenFds: options.listenFds,
      consoleSocket: options.consoleSocket,
      pidfdSocket: options.pidfdSocket,
      foregroundTerminal: config.process.terminal === true && options.consoleSocket === undefined,
      notifyDir:
        options.notifySocket === undefined ? undefined : notifyDirectoryOf(this.#directory!),
      nofile: { soft: handOver.nofileSoft, hard: handOver.nofileHard },
    };
  }

  /** Up to a child in its namespaces and cgroup that waits for its program. */
  async #sendStage(plan: CreatePlan): Promise<void> {
    const fds = keptDescriptors(plan.draft.options.keepFds);
    const session = spawnExecutor({ image: executorPath(), fds });
    this.#session = session;
    const talk = new Conversation(session, this.#bundle!.config);
    this.#talk = talk;
    this.#scope?.enter(session.pid);
    const { arch } = plan.draft.facts;
    const copying = this.#context.handOver.memfdNoexec
      ? (await import('./self-copy.ts')).selfCopy
      : planSelfCopy;
    talk.send(copying(arch, session.ctlFd));
    for (const [index, maps] of plan.idMaps.entries()) {
      talk.send(plan.holder(index));
      const holder = talk.expect('HOLDER');
      (await import('./id-maps.ts')).writeIdMaps(holder.a, maps, 'mounts');
    }
    talk.send(plan.stage());
  }

  async #awaitInit(plan: CreatePlan): Promise<void> {
    const talk = this.#talk!;
    const isNew = plan.draft.isNewNamespace('user');
    const joins = !isNew && plan.draft.hasNamespace('user');
    if (joins) this.#joiner = talk.expect('JOINER').a;
    talk.expect('PID');
    if (!isNew && !joins) return;
    const { compareIdMaps, writeIdMaps } = await import('./id-maps.ts');
    const { linux } = this.#bundle!.config;
    if (joins) {
      reap(this.#joiner);
      this.#joiner = 0;
      return compareIdMaps(talk.pid, linux);
    }
    const { uidMappings = [], gidMappings = [] } = linux;
    writeIdMaps(talk.pid, { uidMappings, gidMappings }, 'linux');
  }

  /** HOME where the environment has none: from the passwd of the rootfs, if that is what counts. */
  #homeOnHost(plan: CreatePlan): string | undefined {
    if (!plan.needsHome) return undefined;
    const { rootfsPath, config } = this.#bundle!;
    const passwd = readRootfsPasswd(rootfsPath, config);
    return passwd === undefined ? undefined : homeOf(passwd, config.process.user?.uid ?? 0);
  }

  #reapStage(): void {
    reap(this.#session!.pid);
    this.#stageReaped = true;
  }

  /**
   * Init's programs from its mounts on, cut where the compiler has to act. The first is made before
   * init is asked how it is. Gives the terminal's master if it is ours to take.
   */
  async #runInit(plan: CreatePlan, knownHome: string | undefined): Promise<number | undefined> {
    const talk = this.#talk!;
    const stageLeaves = entersPidNamespaceLast(plan.draft) ? talk.pid : undefined;
    await this.#planEnter(plan);
    let home = knownHome;
    const asksHome = plan.needsHome && home === undefined;
    const next = (): Program => {
      if (!asksHome || home !== undefined) return this.#planBecome(plan, home);
      plan.passwd();
      return plan.draft.cut();
    };
    let program = plan.offersTerminal ? plan.draft.cut() : next();
    talk.expect('MOUNTED');
    this.#attachFilter?.();
    await this.#runRuntimeHooks();
    let master: number | undefined;
    if (plan.offersTerminal) {
      talk.send(program);
      master = this.#takeMaster();
      program = next();
    }
    if (asksHome) {
      talk.send(program);
      home = homeOf(talk.expectPasswd(), this.#bundle!.config.process.user?.uid ?? 0);
      program = next();
    }
    talk.send(program);
    // Init's identity is read while it works; another process may take its place yet.
    if (stageLeaves === undefined) this.#created = createdState(this.#state!, talk.pid);
    plan.draft.seccomp?.handOver(talk, this.#session!.fd);
    talk.expect('CREATED');
    this.#reapStage();
    if (stageLeaves !== undefined) reap(stageLeaves);
    return master;
  }

  /** From the mounts to the container's root, with the hooks in between. */
  async #planEnter(plan: CreatePlan): Promise<void> {
    const { hooks = {} } = this.#bundle!.config;
    if (hooks.createContainer?.length || hooks.startContainer?.length) {
      plan.planHook = (await import('../../hooks/compile.ts')).planHook;
    }
    hooks.createContainer?.forEach((hook, index) => {
      plan.createContainerHook(hook, index, this.#containerHookState(plan, 'creating'));
    });
    plan.enter();
  }

  #planBecome(plan: CreatePlan, home: string | undefined): Program {
    const hooks = this.#bundle!.config.hooks?.startContainer ?? [];
    if (hooks.length === 0) return plan.become(home, NO_HOOKS);
    return plan.become(home, { hooks, state: this.#containerHookState(plan, 'created') });
  }

  /** What a hook in the container's namespaces gets: the pid is init's own. */
  #containerHookState(plan: CreatePlan, status: 'creating' | 'created'): Uint8Array {
    const pid = plan.draft.isNewNamespace('pid') ? 1 : this.#talk!.pid;
    return Buffer.from(this.#hookState(status, pid));
  }

  async #runRuntimeHooks(): Promise<void> {
    const { prestart = [], createRuntime = [] } = this.#bundle!.config.hooks ?? {};
    if (prestart.length === 0 && createRuntime.length === 0) return;
    const { pid } = this.#talk!;
    // Hooks may ask for the state, and a hook that hangs must not make the container unkillable.
    this.#state = { ...createdState(this.#state!, pid), status: 'Creating' };
    writeState(this.#directory!, this.#state);
    await this.#runHooks('prestart', pid);
    await this.#runHooks('createRuntime', pid);
  }

  /** pidfd_getfd(2) of the descriptor that init offers and keeps open until its next program. */
  #takeMaster(): number {
    const talk = this.#talk!;
    const offered = talk.expect('PTY').a;
    const pidfd = pidfdOpen(talk.pid);
    return pidfdGetfd(pidfd!, offered);
  }

  #finish(master: number | undefined): Created {
    const state = this.#created ?? createdState(this.#state!, this.#talk!.pid);
    this.#context.log.debug(`init ${state.init_process_pid} in ${state.cgroup_path}`);
    // A foreground run goes on at once and writes what it comes to.
    if (!this.#foreground) writeState(this.#directory!, state);
    if (this.#options.pidFile !== undefined && !this.#foreground) {
      writePidFile(this.#options.pidFile, state.init_process_pid);
    }
    this.#rareParts?.commit();
    this.#session!.close();
    return {
      directory: this.#directory!,
      state,
      config: this.#bundle!.config,
      lock: this.#lock!,
      master,
    };
  }

  #hookState(status: 'creating' | 'created' | 'stopped', pid: number | undefined): string {
    const { bundleDir: bundle, config } = this.#bundle!;
    return hookState({
      id: this.#options.id,
      status,
      pid,
      bundle,
      annotations: config.annotations,
    });
  }

  async #runHooks(point: 'prestart' | 'createRuntime', pid: number): Promise<void> {
    const hooks = this.#bundle!.config.hooks?.[point] ?? [];
    if (hooks.length === 0) return;
    const { runHooks } = await import('../../hooks/run.ts');
    // A delete need not wait for a hook, however long it takes.
    this.#lock!.release();
    runHooks({
      point,
      hooks,
      state: this.#hookState('creating', pid),
      directory: this.#bundle!.bundleDir,
      ...callerOf(this.#context),
    });
    this.#lockAgain();
  }

  /** What a delete took away meanwhile is not ours to undo: the id may be another container's. */
  #lockAgain(): void {
    const pid = this.#state!.init_process_pid;
    try {
      this.#lock = lockContainer(this.#directory!);
      if (loadState(this.#directory!).init_process_pid === pid) return;
    } catch (thrown) {
      if (toRuncellError(thrown).code !== 'state.missing') throw thrown;
    }
    this.#directory = undefined;
    this.#state = undefined;
    const reason = 'the container was deleted while its hooks ran';
    throw new RuncellError({ code: 'state.conflict', reason });
  }

  /** Everything that was made, in reverse; the error comes back with what could not be undone. */
  async undo(thrown: unknown): Promise<RuncellError> {
    // Before the group goes, whose counts tell of a want of memory.
    const error = await explained(thrown, true, this.#state?.cgroup_path);
    const { undoCreate } = await import('./undo-create.ts');
    return undoCreate(error, {
      session: this.#session,
      pid: this.#talk?.pid ?? 0,
      stageReaped: this.#stageReaped,
      joiner: this.#joiner,
      state: this.#state,
      limits: this.#limits,
      rareParts: this.#rareParts,
      scope: this.#scope,
      directory: this.#directory,
      lock: this.#lock,
      poststop: {
        point: 'poststop',
        hooks: this.#bundle?.config.hooks?.poststop ?? [],
        state: this.#bundle === undefined ? '' : this.#hookState('stopped', undefined),
        directory: this.#context.cwd || '/',
        ...callerOf(this.#context),
      },
    });
  }
}
