/**
 * `exec` as programs: the table of contents. Two processes, the first in two parts: the *stage*, which joins the namespaces
 * of the container from the host, and the *process*, made in them and in the container's cgroup.
 *
 * The cgroup is opened before any namespace is joined, for its path does not resolve afterwards; the
 * mount namespace is joined before there is a process in the pid namespace (security.md H15: whoever
 * can trace it there finds no host behind /proc/PID/root); the cgroup namespace and the user
 * namespace are joined by the process itself, because after them it could not have been put into its
 * cgroup. Pure: opens no file.
 */

import type { Process } from '@opencontainers-ts/spec';
import { AT_FDCWD, F_DUPFD_CLOEXEC, O_CLOEXEC, O_DIRECTORY, O_PATH } from '../linux/fcntl.ts';
import { NAMESPACES, type NamespaceKind } from '../linux/namespace.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWUSER,
  CLONE_PARENT,
  PR_SET_DUMPABLE,
  PR_SET_NAME,
} from '../linux/sched.ts';
import { CTL, type Program, type Slot } from '../program/builder.ts';
import type { Terminal } from './console.ts';
import { planSockets, sendPidfd } from './descriptor-passing.ts';
import { Draft, type DraftInput, openHostDirectory, sendMessage } from './draft.ts';
import { planExec } from './execute.ts';
import { closeOwnFds, closePidfdSocket, type InitFds, initFds, stageFds } from './fds.ts';
import { planKeyring } from './keyring.ts';
import { clone, reportJoiner } from './namespaces.ts';
import { planReadPasswd } from './passwd.ts';
import { buildEnvironment, needsHome, planIdentity, planLookup, planNullStdio } from './process.ts';
import { planAffinity, planOomScore } from './scheduling.ts';
import { planFailureReport } from './trap.ts';

export interface ExecInput extends DraftInput {
  readonly process: Process;
  /** Number of the pidfd of the container's init in the executor. */
  readonly initPidfd: number;
  /** Kinds that are the container's own, as its state remembers. */
  readonly namespaces: readonly NamespaceKind[];
  /** Host path of init's root, for a container without a mount namespace. */
  readonly initRoot: string;
}

/** Joined by the stage in one setns(2) on the pidfd; cgroup and user are the process's own. */
const JOINED_BY_STAGE: readonly NamespaceKind[] = ['network', 'uts', 'ipc', 'time', 'mount', 'pid'];

export class ExecPlan {
  readonly draft: Draft;
  readonly #input: ExecInput;
  readonly #fds: InitFds;
  #terminal: Terminal | undefined;

  constructor(input: ExecInput) {
    this.#input = input;
    this.draft = new Draft(input);
    const b = this.draft.builder;
    this.#fds = initFds(b, stageFds(b));
  }

  stage(): Program {
    const { draft } = this;
    const b = draft.builder;
    const { config, facts } = draft;
    b.section('', 'keep other processes out', 'prctl');
    if (facts.euid === 0) b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
    b.call('umask', [0]);
    planOomScore(b, { ...config.process!, ...this.#input.process });
    planAffinity(b, 'initial', this.#input.process.execCPUAffinity?.initial);
    const cgroup = facts.cgroupDir === undefined ? undefined : this.#fds.cgroup;
    if (cgroup !== undefined) {
      b.section('', 'open the cgroup', facts.cgroupDir);
      openHostDirectory(b, facts.cgroupDir!, cgroup);
    }
    planSockets(draft, this.#fds);
    if (cgroup !== undefined) this.#enterCgroup(cgroup);
    this.#join();
    this.#clone();
    closePidfdSocket(draft, this.#fds);
    return draft.cut();
  }

  /**
   * A child that is born in the cgroup and goes on as the stage: the handle is closed before there is
   * a process in the container's pid namespace, whose members may look at it (CVE-2016-9962).
   */
  #enterCgroup(cgroup: Slot): void {
    const { draft } = this;
    const b = draft.builder;
    const child = b.label();
    clone(draft, { flags: CLONE_PARENT, cgroup, child, pid: b.slot('stage in the cgroup') });
    b.call('exit_group', [0]);
    b.place(child);
    b.call('close', [cgroup]);
    reportJoiner(b);
  }

  #join(): void {
    const b = this.draft.builder;
    const { namespaces, initPidfd, initRoot } = this.#input;
    const kinds = JOINED_BY_STAGE.filter((kind) => namespaces.includes(kind));
    if (!namespaces.includes('mount')) {
      b.section('root.path', 'open the root of the container', initRoot);
      openHostDirectory(b, initRoot, this.#fds.root);
    }
    b.section('linux.namespaces', 'join the namespaces of the container', kinds.join(' '));
    const flags = kinds.reduce((sum, kind) => sum + NAMESPACES[kind].flag, 0);
    if (flags !== 0) b.call('setns', [initPidfd, flags]);
    if (!namespaces.includes('mount')) {
      b.call('fchdir', [this.#fds.root]);
      b.call('chroot', [b.string('.')]);
    }
  }

  #clone(): void {
    const { draft } = this;
    const b = draft.builder;
    b.section('', 'make the process in the container', 'clone3');
    const child = b.label();
    const pid = b.slot('process');
    const pidfd = draft.options.pidfdSocket === undefined ? undefined : this.#fds.pidfd;
    clone(draft, { flags: CLONE_PARENT, cgroup: undefined, child, pid, pidfd });
    if (pidfd !== undefined) sendPidfd(b, this.#fds.pidfdSocket, pidfd, 'setns');
    sendMessage(b, 'PID', pid);
    b.call('exit_group', [0]);
    b.place(child);
  }

  /** The process, into what is left of the namespaces, with its terminal. */
  enter(): void {
    const { draft } = this;
    const b = draft.builder;
    const { namespaces, initPidfd, process } = this.#input;
    draft.prologue = () => planFailureReport(draft, this.#fds);
    draft.prologue();
    b.section('', 'become a session', 'setsid');
    b.call('setsid', []);
    b.call('prctl', [PR_SET_NAME, b.string('runcell-exec'), 0, 0, 0]);
    b.section('linux.namespaces', 'join the cgroup and user namespaces', 'setns');
    if (namespaces.includes('cgroup')) b.call('setns', [initPidfd, CLONE_NEWCGROUP]);
    if (namespaces.includes('user')) {
      b.call('setns', [initPidfd, CLONE_NEWUSER]);
      // Where 0 is not mapped the configured ids are taken directly.
      b.call('setresgid', [0, 0, 0], { tolerate: ['EINVAL'] });
      b.call('setresuid', [0, 0, 0], { tolerate: ['EINVAL'] });
      b.call('prctl', [PR_SET_DUMPABLE, 0, 0, 0, 0]);
    }
    b.call('close', [initPidfd]);
    if (!draft.options.noNewKeyring) planKeyring(b, draft.options.id, { join: true });
    const flags = O_PATH | O_DIRECTORY(b.arch) | O_CLOEXEC;
    b.call('openat', [AT_FDCWD, b.string('/'), flags], { into: this.#fds.root });
    planAffinity(b, 'final', process.execCPUAffinity?.final);
    if (process.terminal !== true) {
      planNullStdio(draft, this.#fds.root, this.#fds.scratch);
    } else {
      const { root, consoleSocket } = this.#fds;
      const owner = process.user?.uid ?? 0;
      const { planTerminal, planHandOver } = draft.console!;
      this.#terminal = planTerminal(draft, { root, consoleSocket }, process.consoleSize, owner);
      planHandOver(draft, this.#terminal, consoleSocket);
    }
  }

  get offersTerminal(): boolean {
    return this.#terminal !== undefined && this.draft.options.foregroundTerminal;
  }

  get needsHome(): boolean {
    return needsHome(this.#input.process.env);
  }

  passwd(): void {
    planReadPasswd(this.draft, this.#fds.root, this.#fds.scratch);
  }

  /** To the user's program, which waits for one byte on the control socket and reports there. */
  become(home: string | undefined): Program {
    const { draft } = this;
    const b = draft.builder;
    const { process } = this.#input;
    const env = buildEnvironment(process.env, { home, listenFds: 0, notify: false });
    if (this.#terminal !== undefined) draft.console!.planUseTerminal(draft, this.#terminal);
    const keepBelow = 3 + draft.options.keepFds;
    b.section('', 'keep the report descriptor', 'fcntl');
    const report = b.slot('report kept');
    b.call('fcntl', [CTL, F_DUPFD_CLOEXEC, keepBelow], { into: report });
    planIdentity(draft, process);
    const path = b.slot('program');
    planLookup(b, process.args!, env, path);
    closeOwnFds(b, [this.#fds.root]);
    draft.seccomp?.beforeCreated(draft);
    b.section('', 'wait for the caller', 'control socket');
    sendMessage(b, 'CREATED');
    const gate = b.space(8);
    b.call('read', [report, gate, 1], { retry: true });
    b.check(gate, 0xff, 'g'.charCodeAt(0), 'ECANCELED', { note: 'the caller is gone' });
    planExec(draft, { path, args: process.args!, env, report, keepBelow });
    return draft.finish();
  }
}
