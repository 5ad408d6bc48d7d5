/**
 * `linux.seccomp` of a container that is created or entered: the filter, compiled or from the cache, and
 * its agent (runtime-spec 1.3 config-linux.md#seccomp, SCM_RIGHTS of unix(7)). Loaded late, where
 * there is a profile.
 *
 * The agent is connected to before anything is made that could wait for it. It gets one message, the
 * container process state with the listener, on a connection of its own.
 */

import { closeSync, writeSync } from 'node:fs';
import type { LinuxSeccomp, Process, State } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import { stringifyJson } from '../../oci/json.ts';
import { hookState } from '../../oci/state.ts';
import { OCI_VERSION } from '../../oci/validate/document.ts';
import { withSocketPath } from '../console/socket.ts';
import type { Arch } from '../linux/arch.ts';
import { SOCK_STREAM } from '../linux/socket.ts';
import { pidfdGetfd, pidfdOpen } from '../native/libc.ts';
import { connectUnix, sendMessage, unixSocket } from '../native/socket.ts';
import type { Draft } from '../plan/draft.ts';
import { grantable } from '../plan/process.ts';
import { LISTENER_TAKEN, SeccompPlan } from '../plan/seccomp.ts';
import { readFilter, writeFilter } from '../store/seccomp-cache.ts';
import type { Context } from './context.ts';

/** A digest of what makes filters, put in by the build: another compiler has other entries. */
declare const RUNCELL_FILTERS: string | undefined;

/** config-linux.md#containerprocessstate. */
interface ContainerProcessState {
  readonly ociVersion: string;
  readonly fds: readonly string[];
  readonly pid: number;
  readonly metadata?: string;
  readonly state: State;
}

/** Puts the filter into the draft. Of a container that is entered: the process and init's pid. */
export async function planSeccomp(
  context: Context,
  draft: Draft,
  process: Process = draft.config.process!,
  initPid?: number,
): Promise<void> {
  const profile = draft.config.linux!.seccomp!;
  const filter = await filterOf(context, profile, draft.facts.arch);
  const { held } = grantable(draft);
  const plan = new SeccompPlan(filter, process.noNewPrivileges === true, held);
  draft.seccomp = plan;
  if (!filter.notifies) return;
  const { id, bundle } = draft.options;
  const { annotations } = draft.config;
  const status = initPid === undefined ? 'creating' : 'running';
  plan.handOver = connectAgent(profile, (pid) =>
    hookState({ id, status, pid: initPid ?? pid, bundle, annotations }),
  );
}

interface Filter {
  readonly program: Uint8Array;
  readonly flags: number;
  readonly notifies: boolean;
  readonly debug: readonly string[];
}

/** Entries of another version, architecture or profile are other entries. */
async function filterOf(
  { root, log }: Context,
  profile: LinuxSeccomp,
  arch: Arch,
): Promise<Filter> {
  const compiler = typeof RUNCELL_FILTERS === 'string' ? RUNCELL_FILTERS : 'source';
  const source = Buffer.from(`${compiler} ${arch} ${stringifyJson(profile)}`);
  const kept = readFilter(root, source);
  let filter: Filter;
  if (kept !== undefined) {
    filter = decode(kept);
  } else {
    const { checkSeccomp } = await import('../../oci/validate/seccomp.ts');
    const { debug } = checkSeccomp(profile);
    const { compileFilter } = await import('../seccomp/compile.ts');
    const compiled = await compileFilter(profile, arch);
    filter = { ...compiled, debug: [...debug, ...compiled.debug] };
    writeFilter(root, source, encode(filter));
  }
  for (const line of filter.debug) log.debug(line);
  return filter;
}

/** {u32 length of the head}, the head as JSON, the program. */
function encode({ program, ...head }: Filter): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, program]);
}

function decode(bytes: Buffer): Filter {
  const end = 4 + bytes.readUInt32LE(0);
  const head = JSON.parse(bytes.toString('utf8', 4, end)) as Omit<Filter, 'program'>;
  return { ...head, program: bytes.subarray(end) };
}

function connectAgent(
  { listenerPath, listenerMetadata }: LinuxSeccomp,
  stateOf: (pid: number) => string,
): SeccompPlan['handOver'] {
  const path = listenerPath!;
  const socket = unixSocket(SOCK_STREAM);
  const failed = (thrown: unknown): RuncellError => {
    const error = thrown instanceof RuncellError ? thrown : undefined;
    if (error === undefined) throw thrown;
    return error.with({
      code: 'console.socket',
      specPath: 'linux.seccomp.listenerPath',
      target: path,
    });
  };
  try {
    withSocketPath(path, (fitting) => connectUnix(socket, fitting));
  } catch (thrown) {
    closeSync(socket);
    throw failed(thrown);
  }
  return (talk, ctlFd) => {
    const { a: number } = talk.expect('LISTENER');
    const pidfd = pidfdOpen(talk.pid)!;
    const listener = pidfdGetfd(pidfd, number);
    closeSync(pidfd);
    const message: ContainerProcessState = {
      ociVersion: OCI_VERSION,
      fds: ['seccompFd'],
      pid: talk.pid,
      ...(listenerMetadata === undefined ? {} : { metadata: listenerMetadata }),
      state: JSON.parse(stateOf(talk.pid)) as State,
    };
    try {
      sendMessage(socket, Buffer.from(JSON.stringify(message)), [listener]);
    } catch (thrown) {
      throw failed(thrown);
    } finally {
      closeSync(listener);
      closeSync(socket);
    }
    writeSync(ctlFd, LISTENER_TAKEN);
  };
}
