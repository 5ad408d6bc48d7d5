/**
 * `create` as programs: the table of contents. Every phase is in order, with its reason.
 *
 * Two processes run them. The *stage* is still on the host: it opens what init must not look up
 * itself, joins, and clones. *Init* builds the container around itself and waits for start. The
 * compiler cuts init's program where it has to act between two phases: after the mounts (runtime
 * hooks), and when HOME has to be read from the container's passwd. Pure: opens no file.
 */

import type { Hook } from '@opencontainers-ts/spec';
import type { planHook as PlanHook } from '../../hooks/compile.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  F_DUPFD_CLOEXEC,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_RDWR,
} from '../linux/fcntl.ts';
import { MOUNT_ATTR_RDONLY } from '../linux/mount.ts';
import { PR_SET_DUMPABLE, PR_SET_NAME } from '../linux/sched.ts';
import { CTL, ERR, type Program, type Slot } from '../program/builder.ts';
import type { Terminal } from './console.ts';
import { planSockets } from './descriptor-passing.ts';
import { ownsDev, planDevices } from './devices.ts';
import {
  Draft,
  type DraftInput,
  mountAttr,
  openInRoot,
  relativePath,
  sendMessage,
} from './draft.ts';
import { planExec } from './execute.ts';
import {
  closeOwnFds,
  closePidfdSocket,
  closeStageFds,
  type InitFds,
  initFds,
  type StageFds,
  stageFds,
} from './fds.ts';
import type { IdMaps } from './idmap.ts';
import { planKeyring } from './keyring.ts';
import {
  planMaskedPaths,
  planMaskSource,
  planOwnMaskSource,
  planReadonlyPaths,
} from './masked-paths.ts';
import {
  isReadonlyDev,
  listMounts,
  type PlannedMount,
  planBindSources,
  planMounts,
} from './mounts.ts';
import {
  entersPidNamespaceLast,
  type JoinedNamespaces,
  planClone,
  planFinalClone,
  planLateNamespaces,
  planOpenNamespaces,
} from './namespaces.ts';
import { planLoopback } from './network.ts';
import { planReadPasswd } from './passwd.ts';
import {
  buildEnvironment,
  needsHome,
  planIdentity,
  planLookup,
  planMakeCwd,
  planNullStdio,
} from './process.ts';
import { planPivot, planRootAttach, planRootAttributes, planRootSource } from './rootfs.ts';
import { planOomScore } from './scheduling.ts';
import { planWaitSignals } from './signals.ts';
import { planSysctl } from './sysctl.ts';
import { planFailureReport } from './trap.ts';

/** init's name until it becomes the user's program: how a created container is told from a running one. */
export const INIT_NAME = 'runcell-init';

export class CreatePlan {
  /** How container hooks become ops: set where there are any, few containers load it. */
  planHook: typeof PlanHook | undefined;
  readonly draft: Draft;
  readonly mounts: PlannedMount[];
  #stage: StageFds;
  #init!: InitFds;
  #joined!: JoinedNamespaces;
  #nullFd: Slot | undefined;
  #terminal: Terminal | undefined;

  constructor(input: DraftInput) {
    this.draft = new Draft(input);
    this.mounts = listMounts(this.draft);
    this.#stage = stageFds(this.draft.builder);
  }

  get hasIdMaps(): boolean {
    return this.mounts.some(({ options }) => options.idmap !== 'none');
  }

  /** Before the stage where a mount is id-mapped: few containers load it. */
  useIdMaps(idmap: typeof import('./idmap.ts')): void {
    this.draft.idmap = idmap;
    this.draft.idMaps = idmap.listIdMaps(this.draft, this.mounts);
  }

  get idMaps(): readonly IdMaps[] {
    return this.draft.idMaps;
  }

  /** The stage's program up to holder `index` of an id-mapped mount; the compiler writes its maps. */
  holder(index: number): Program {
    this.draft.idmap!.planHolder(this.draft, index);
    return this.draft.cut();
  }

  /**
   * The stage: non-dumpable before anything else (security.md H11), then every host path, then the
   * namespaces; the mount namespace is joined last, for no host path resolves after it.
   */
  stage(): Program {
    const { draft } = this;
    const b = draft.builder;
    b.section('', 'keep other processes out', 'prctl');
    // An unprivileged compiler could not write the maps of a process that is not dumpable.
    if (draft.facts.euid === 0) b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
    b.call('umask', [0]);
    planOomScore(b, draft.config.process!);
    planRootSource(draft, this.#stage);
    if (draft.hasMountNamespace) planBindSources(draft, this.mounts);
    draft.idmap?.planCloseHolders(draft);
    this.#openFifos();
    planSockets(draft, this.#stage);
    this.#joined = planOpenNamespaces(draft);
    planClone(draft, this.#stage, this.#joined);
    closeStageFds(draft, this.#stage, { clonesAgain: entersPidNamespaceLast(draft) });
    return draft.cut();
  }

  /** Opened here because a container's user may not open them (executor-notes.md §2). */
  #openFifos(): void {
    const b = this.draft.builder;
    const { stateDir } = this.draft.options;
    b.section('', 'open the exec FIFOs', stateDir);
    const flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW(b.arch);
    const { go, report } = this.#stage;
    b.call('openat', [AT_FDCWD, b.string(`${stateDir}/exec.go`), flags], { into: go });
    b.call('openat', [AT_FDCWD, b.string(`${stateDir}/exec.report`), flags], { into: report });
  }

  /**
   * Init, up to a complete root that is not entered yet. Namespaces first, for everything else is
   * made in them; keyring before any container process exists; the null device of the masks while
   * the host's tree is at hand; then root, mounts in order, /dev.
   */
  setup(): void {
    const { draft } = this;
    const b = draft.builder;
    this.#init = initFds(b, this.#stage);
    draft.prologue = () => planFailureReport(draft, this.#init);
    draft.prologue();
    planWaitSignals(b);
    this.#becomeSession();
    planLateNamespaces(draft, this.#joined);
    b.section('', 'keep other processes out', 'prctl');
    b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
    if (!draft.options.noNewKeyring) planKeyring(b, draft.options.id);
    if (draft.isNewNamespace('network')) planLoopback(b);
    if (draft.hasMountNamespace) {
      const last = entersPidNamespaceLast(draft);
      const later = last ? this.#proc() : [];
      if (!last) this.#nullFd = planMaskSource(draft);
      planRootAttach(draft, this.#init);
      const now = this.mounts.filter((mount) => !later.includes(mount));
      planMounts(draft, this.#init, now);
      if (ownsDev(draft, this.mounts)) planDevices(draft, this.#init);
    }
  }

  /**
   * Ends the phase before the runtime hooks: init says that its root stands. It is a program of its
   * own also without hooks, so that init mounts while the rest is planned.
   */
  mounted(): Program {
    sendMessage(this.draft.builder, 'MOUNTED');
    return this.draft.cut();
  }

  /** A createContainer hook: container namespaces, host paths, the rootfs as directory. */
  createContainerHook(hook: Hook, index: number, state: Uint8Array): void {
    this.planHook!(this.draft, {
      hook,
      specPath: `hooks.createContainer[${index}]`,
      index,
      state,
      defaultEnv: [],
      directory: this.#init.root,
    });
  }

  /**
   * Init, into its root. Masks come after the hooks, which may mount, and before everything else
   * that the image can influence (H26); the null device that masks files is the host's, so they come
   * before the pivot too. After it the host's tree is gone.
   */
  enter(): void {
    const { draft } = this;
    const fds = this.#init;
    const b = draft.builder;
    if (!entersPidNamespaceLast(draft)) this.#hidePaths();
    planPivot(draft, fds);
    if (entersPidNamespaceLast(draft)) this.#enterPidNamespace();
    planSysctl(draft, fds);
    planMakeCwd(draft, fds, draft.config.process!);
    if (draft.config.process?.terminal !== true) planNullStdio(draft, fds.root, fds.scratch);
    this.#makeTerminal();
    this.#readonlyDev();
    planRootAttributes(draft, fds);
    if (draft.config.hostname) {
      b.section('hostname', `set ${draft.config.hostname}`, draft.config.hostname);
      b.call('sethostname', nameArgument(b, draft.config.hostname));
    }
    if (draft.config.domainname) {
      b.section('domainname', `set ${draft.config.domainname}`, draft.config.domainname);
      b.call('setdomainname', nameArgument(b, draft.config.domainname));
    }
  }

  #becomeSession(): void {
    const b = this.draft.builder;
    b.section('', 'become a session', INIT_NAME);
    b.call('setsid', []);
    b.call('prctl', [PR_SET_NAME, b.string(INIT_NAME), 0, 0, 0]);
  }

  #hidePaths(): void {
    planMaskedPaths(this.draft, this.#init, this.#nullFd);
    planReadonlyPaths(this.draft, this.#init);
  }

  /**
   * A procfs shows the pid namespace of the process that mounts it, so in a pid namespace that is
   * joined it is mounted, and its paths hidden, by the final init.
   */
  #enterPidNamespace(): void {
    const { draft } = this;
    planFinalClone(draft, this.#stage);
    closePidfdSocket(draft, this.#stage);
    this.#becomeSession();
    if (!draft.hasMountNamespace) return;
    planMounts(draft, this.#init, this.#proc());
    this.#nullFd = planOwnMaskSource(draft, this.#init);
    this.#hidePaths();
  }

  /** proc mounts and what is mounted below them. */
  #proc(): PlannedMount[] {
    const tops = this.mounts
      .filter(({ type, options }) => type === 'proc' && options.bind === 'none')
      .map(({ destination }) => relativePath(destination));
    return this.mounts.filter(({ destination }) => {
      const path = relativePath(destination);
      return tops.some((top) => path === top || path.startsWith(`${top}/`));
    });
  }

  #makeTerminal(): void {
    const { draft } = this;
    const { process } = draft.config;
    if (process?.terminal !== true) return;
    const ownsConsole = ownsDev(draft, this.mounts);
    const { root, dev, consoleSocket } = this.#init;
    const fds = ownsConsole ? { root, dev, consoleSocket } : { root, consoleSocket };
    const { planTerminal, planHandOver } = draft.console!;
    this.#terminal = planTerminal(draft, fds, process.consoleSize, process.user?.uid ?? 0);
    planHandOver(draft, this.#terminal, consoleSocket);
  }

  /** Whether the compiler must take the pty's master before init goes on: it cuts after `enter`. */
  get offersTerminal(): boolean {
    return this.#terminal !== undefined && this.draft.options.foregroundTerminal;
  }

  #readonlyDev(): void {
    const mount = this.mounts.find(isReadonlyDev);
    if (mount === undefined) return;
    const { draft } = this;
    const b = draft.builder;
    b.section(mount.specPath, 'make /dev read-only', '/dev');
    const { destination, root } = this.#init;
    openInRoot(b, root, mount.destination, destination);
    const attr = mountAttr(b, { set: MOUNT_ATTR_RDONLY });
    b.call('mount_setattr', [destination, b.string(''), AT_EMPTY_PATH, attr.pointer, attr.size]);
    b.call('close', [destination]);
  }

  /** Whether HOME is to be looked up: `passwd` then precedes `become`. */
  get needsHome(): boolean {
    return needsHome(this.draft.config.process?.env);
  }

  /** Sends the head of the container's passwd, a regular file opened below the root. */
  passwd(): void {
    planReadPasswd(this.draft, this.#init.root, this.#init.scratch);
  }

  /** Init, from root to the user's program; `home` from passwd where env has none. */
  become(
    home: string | undefined,
    startHooks: { hooks: readonly Hook[]; state: Uint8Array },
  ): Program {
    const { draft } = this;
    const fds = this.#init;
    const b = draft.builder;
    const process = draft.config.process!;
    const env = buildEnvironment(process.env, {
      home,
      listenFds: draft.options.listenFds,
      notify: draft.options.notifyDir !== undefined,
    });
    if (this.#terminal !== undefined) draft.console!.planUseTerminal(draft, this.#terminal);
    // Above everything the container keeps, before limits may forbid it.
    const keepBelow = 3 + draft.options.keepFds;
    const report = b.slot('report kept');
    b.section('', 'keep the report descriptor', 'fcntl');
    b.call('fcntl', [fds.report, F_DUPFD_CLOEXEC, keepBelow], { into: report });
    planIdentity(draft, process);
    const path = b.slot('program');
    planLookup(b, process.args!, env, path);
    closeOwnFds(b, ownsDev(draft, this.mounts) ? [fds.root, fds.dev] : [fds.root]);
    draft.seccomp?.beforeCreated(draft);
    b.section('', 'wait for start', 'exec.go');
    sendMessage(b, 'CREATED');
    b.call('close', [CTL]);
    b.sum(ERR, report);
    b.call('read', [fds.go, b.space(8), 1], { retry: true });
    startHooks.hooks.forEach((hook, index) => {
      const specPath = `hooks.startContainer[${index}]`;
      this.planHook!(draft, { hook, specPath, index, state: startHooks.state, defaultEnv: env });
    });
    planExec(draft, { path, args: process.args!, env, report, keepBelow });
    return draft.finish();
  }
}

function nameArgument(b: Draft['builder'], name: string) {
  return [b.string(name), new TextEncoder().encode(name).length];
}
