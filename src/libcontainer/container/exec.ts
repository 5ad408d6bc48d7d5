/**
 * exec: one more process in a container (runtime-cli.md §1.7, §2). The namespaces, cgroup and
 * defaults are the container's; what is asked for is the request's, never more (security.md H34).
 */

import { closeSync, readFileSync, writeSync } from 'node:fs';
import type { Config, Process } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { readGroupFile } from '../cgroups/files.ts';
import { checkConsole } from '../console/socket.ts';
import { spawnExecutor } from '../executor/cold.ts';
import type { ExecutorSession } from '../executor/session.ts';
import { findCgroupRoot } from '../host/cgroup-mode.ts';
import type { HostFacts } from '../host/facts.ts';
import { probeExecHost } from '../host/probe.ts';
import type { NamespaceKind } from '../linux/namespace.ts';
import { exitCodeOf, pidfdGetfd, pidfdOpen, reap } from '../native/libc.ts';
import { ExecPlan } from '../plan/exec.ts';
import { planSelfCopy } from '../plan/self-copy.ts';
import { loadConfigBytes, loadState, type StateFile } from '../store/state-file.ts';
import { checkKeptFds, keptDescriptors } from './caller.ts';
import type { Context } from './context.ts';
import { Conversation } from './conversation.ts';
import { type ExecOptions, execProcess } from './exec-process.ts';
import { explained } from './explained.ts';
import { executorPath } from './installation.ts';
import { locateState } from './locate.ts';
import { homeOf } from './passwd.ts';
import { writePidFile } from './pid-file.ts';
import { initAlive, statusOf } from './status.ts';
import { parseConfig } from './stored-config.ts';
import { becomeWaiter } from './waiter.ts';

export type { ExecOptions } from './exec-process.ts';

/** The process's exit code, 0 when detached. May never return. */
export async function execContainer(context: Context, options: ExecOptions): Promise<number> {
  const directory = locateState(context, options.id);
  const state = loadState(directory);
  refuseUnlessJoinable(directory, state, options);
  const config = parseConfig(loadConfigBytes(directory));
  const process_ = execProcess(config, options);
  const terminal = process_.terminal === true;
  const { consoleSocket } = options;
  checkConsole({ terminal, detach: options.detach || consoleSocket !== undefined, consoleSocket });
  checkKeptFds(context.handOver, { preserveFds: options.preserveFds, listenFds: 0 });
  const initPidfd = openInit(state);
  try {
    const isHostRoot = !process_.user?.uid && !state.namespaces.includes('user');
    if (!terminal && !isHostRoot) (await import('./stdio-pipes.ts')).sharePipes();
    const running = await startProcess(context, {
      options,
      state,
      config,
      process: process_,
      initPidfd,
    });
    if (state.intel_rdt !== undefined) {
      const { joinRdt } = await import('./intel-rdt.ts');
      endingWith(running, () => joinRdt(state.intel_rdt!, running.pid));
    }
    return await settle(context, options, process_, running);
  } catch (thrown) {
    // Without the group: it has a history that is not this process's.
    throw await explained(thrown, false);
  } finally {
    closeSync(initPidfd);
  }
}

function refuseUnlessJoinable(directory: string, state: StateFile, options: ExecOptions): void {
  const conflict = (reason: string): RuncellError =>
    new RuncellError({ code: 'state.conflict', reason });
  const status = statusOf(directory, state);
  if (status === 'stopped') throw conflict('cannot exec in a stopped container');
  if (status === 'creating') throw conflict('cannot exec in a container that is being created');
  if (status === 'paused' && !options.ignorePaused) {
    throw conflict('cannot exec in a paused container (use --ignore-paused to override)');
  }
}

/** The identity is compared after the pidfd is open (security.md H8). */
function openInit(state: StateFile): number {
  const pidfd = pidfdOpen(state.init_process_pid);
  if (pidfd !== undefined && initAlive(state)) return pidfd;
  if (pidfd !== undefined) closeSync(pidfd);
  throw new RuncellError({ code: 'state.conflict', reason: 'cannot exec in a stopped container' });
}

interface Request {
  readonly options: ExecOptions;
  readonly state: StateFile;
  readonly config: Config;
  readonly process: Process;
  readonly initPidfd: number;
}

/** A process that has everything and waits for one byte. */
interface Running {
  readonly session: ExecutorSession;
  readonly pid: number;
  readonly master: number | undefined;
}

async function startProcess(context: Context, request: Request): Promise<Running> {
  const { options, state } = request;
  const kept = keptDescriptors(options.preserveFds);
  const initFd = 3 + options.preserveFds;
  const fds = [...kept, { from: request.initPidfd, to: initFd }];
  const session = spawnExecutor({ image: executorPath(), fds });
  const talk = new Conversation(session, { ...request.config, process: request.process });
  try {
    const cgroupDir = execCgroup(state, options.cgroup);
    const plan = makePlan(context, request, probeExecHost(cgroupDir), initFd);
    if (request.process.terminal === true) {
      plan.draft.console = await import('../plan/console.ts');
    }
    if (request.config.linux?.memoryPolicy !== undefined) {
      plan.draft.planMemoryPolicy = (await import('../plan/memory-policy.ts')).planMemoryPolicy;
    }
    if (state.systemd_user === true) {
      const subgroup = cgroupDir!.slice(state.cgroup_path.length);
      (await import('./scope.ts')).attachStage(context, state, subgroup, session.pid);
    }
    // The filter is the container's, whatever the request.
    if (request.config.linux?.seccomp) {
      const { planSeccomp } = await import('./seccomp.ts');
      await planSeccomp(context, plan.draft, request.process, state.init_process_pid);
    }
    const { arch } = plan.draft.facts;
    const copying = context.handOver.memfdNoexec
      ? (await import('./self-copy.ts')).selfCopy
      : planSelfCopy;
    talk.send(copying(arch, session.ctlFd));
    talk.send(plan.stage());
    const joiner = cgroupDir === undefined ? undefined : talk.expect('JOINER').a;
    talk.expect('PID');
    reap(session.pid);
    if (joiner !== undefined) reap(joiner);
    return { session, pid: talk.pid, master: prepare(plan, talk, request.process, session.fd) };
  } catch (thrown) {
    session.close();
    for (const pid of [session.pid, talk.pid]) if (pid !== 0) end(pid);
    throw thrown;
  }
}

/** Not let go: a process that waits would wait for ever. */
function endingWith({ session, pid }: Running, action: () => void): void {
  try {
    action();
  } catch (thrown) {
    session.close();
    end(pid);
    throw thrown;
  }
}

/** The container's group, or one below it. */
function execCgroup(state: StateFile, path: string | undefined): string | undefined {
  if (state.cgroup_path === '') {
    if (!path) return undefined;
    const reason = 'the container has no cgroup';
    throw new RuncellError({ code: 'usage', operation: '--cgroup', target: path, reason });
  }
  const parts = (path ?? '').split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    const reason = 'leads out of the container with ..';
    throw new RuncellError({ code: 'usage', operation: '--cgroup', target: path, reason });
  }
  if (parts.length === 0) return openGroup(state);
  return [state.cgroup_path, ...parts].join('/');
}

/**
 * The container's group, or where the container has divided it (an init that is systemd does), init's
 * own below it: cgroup v2 lets no process into a group that has given controllers to others (EBUSY).
 */
function openGroup(state: StateFile): string {
  const group = state.cgroup_path;
  if (readGroupFile(`${group}/cgroup.subtree_control`).trim() === '') return group;
  const membership = readFileSync(`/proc/${state.init_process_pid}/cgroup`, 'latin1');
  const current = findCgroupRoot() + (/^0::(.*)$/m.exec(membership)?.[1] ?? '');
  return current.startsWith(`${group}/`) ? current : group;
}

function makePlan(
  context: Context,
  request: Request,
  facts: HostFacts,
  initPidfd: number,
): ExecPlan {
  const { options, state, config, process } = request;
  const { handOver } = context;
  return new ExecPlan({
    config,
    facts,
    process,
    initPidfd,
    namespaces: state.namespaces as readonly NamespaceKind[],
    initRoot: `/proc/${state.init_process_pid}/root`,
    options: {
      id: options.id,
      bundle: state.bundle,
      rootfs: state.rootfs,
      stateDir: '',
      noPivot: false,
      noNewKeyring: state.no_new_keyring,
      keepFds: options.preserveFds,
      listenFds: 0,
      consoleSocket: options.consoleSocket,
      pidfdSocket: options.pidfdSocket,
      foregroundTerminal: process.terminal === true && options.consoleSocket === undefined,
      notifyDir: undefined,
      nofile: { soft: handOver.nofileSoft, hard: handOver.nofileHard },
    },
  });
}

/** Sends what is left of the programs; gives the pty's master where it is ours. */
function prepare(
  plan: ExecPlan,
  talk: Conversation,
  process: Process,
  ctlFd: number,
): number | undefined {
  plan.enter();
  let master: number | undefined;
  if (plan.offersTerminal) {
    talk.send(plan.draft.cut());
    const offered = talk.expect('PTY').a;
    const pidfd = pidfdOpen(talk.pid)!;
    master = pidfdGetfd(pidfd, offered);
    closeSync(pidfd);
  }
  let home: string | undefined;
  if (plan.needsHome) {
    plan.passwd();
    talk.send(plan.draft.cut());
    home = homeOf(talk.expectPasswd(), process.user?.uid ?? 0);
  }
  talk.send(plan.become(home));
  plan.draft.seccomp?.handOver(talk, ctlFd);
  talk.expect('CREATED');
  return master;
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
  reap(pid);
}

/** Lets it go and waits as asked for. */
async function settle(
  context: Context,
  options: ExecOptions,
  process_: Process,
  running: Running,
): Promise<number> {
  const { session, pid, master } = running;
  const writePid = (): void => {
    if (options.pidFile !== undefined) writePidFile(options.pidFile, pid);
  };
  try {
    if (master === undefined && !options.detach) {
      writePid();
      return becomeWaiter(context, {
        pid,
        gate: { kind: 'socket', fd: session.fd },
        alwaysFinish: false,
        finish: ['exec', process_.args![0]!],
        keepFds: [session.fd],
      });
    }
    if (master !== undefined) (await import('../console/terminal.ts')).fitTerminal(master);
    await letGo(session, process_);
    writePid();
  } catch (thrown) {
    session.close();
    end(pid);
    throw thrown;
  }
  return master === undefined ? 0 : relay(pid, master);
}

async function relay(pid: number, masterFd: number): Promise<number> {
  const pidfd = pidfdOpen(pid);
  if (pidfd === undefined) return exitCodeOf(reap(pid));
  try {
    const { relayTerminal } = await import('../console/terminal.ts');
    return await relayTerminal({ masterFd, pidfd });
  } finally {
    closeSync(pidfd);
    closeSync(masterFd);
  }
}

/** One byte, then its report until end of file: it became the program, or it says why not. */
async function letGo(session: ExecutorSession, process_: Process): Promise<void> {
  writeSync(session.fd, 'g');
  const report = session.readRest();
  session.close();
  if (report.length === 1) return;
  const { execReport } = await import('./failure.ts');
  throw execReport(report, process_.args![0]!)!;
}
