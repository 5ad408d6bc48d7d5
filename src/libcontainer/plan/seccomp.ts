/**
 * `linux.seccomp` as ops: where the compiled filter is loaded (seccomp(2), security.md H30).
 *
 * Whatever is called after the filter is subject to it, so it comes last: every descriptor is closed,
 * the start is told, and between the filter and the user's program there is execve alone. A profile
 * thus needs nothing for the runtime's sake. It takes CAP_SYS_ADMIN or no_new_privs; where
 * `noNewPrivileges` is off, init keeps that capability among the permitted ones until then and makes it
 * effective for this call. No program gets it from there: execve(2) makes the permitted set anew from
 * the inheritable, bounding and ambient ones (capabilities(7)), which are the configured ones by then.
 *
 * Two exceptions. A hook of the container, startContainer, is a program of the image: its process
 * loads the filter too, right before its execve. With SCMP_ACT_NOTIFY the filter is loaded while the
 * compiler is there to hand the listener to the agent: before the CREATED message, as in runc. From
 * there init calls write, read, close, close_range and execve under it; write is told before the agent
 * has the listener and must not be one of its calls (validate/seccomp.ts). Pure.
 */

import { CAPABILITIES } from '../linux/capability.ts';
import { SECCOMP_SET_MODE_FILTER, SOCK_FILTER_SIZE, SOCK_FPROG_SIZE } from '../linux/seccomp.ts';
import {
  CTL,
  type Label,
  type Pointer,
  type ProgramBuilder,
  RECORD_ADDRESS,
  type Slot,
} from '../program/builder.ts';
import { MESSAGE_SIZE } from '../program/op.ts';
import { type CapabilityNumbers, planCapset } from './capabilities.ts';
import { type Draft, sendMessage } from './draft.ts';
import type { ExecRequest } from './execute.ts';

export interface FilterToLoad {
  /** An array of struct sock_filter. */
  readonly program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  readonly notifies: boolean;
}

/** What is said to the process that has loaded a filter, and what it says. */
export interface Talk {
  readonly pid: number;
  expect(tag: 'LISTENER'): { readonly a: number };
}

/** In front of the record of a filter that was not loaded, after STARTED. */
export const FILTER_FAILED = 's';
/** What the compiler answers when the agent has the listener. */
export const LISTENER_TAKEN = 'l';

export class SeccompPlan {
  /** Between the program that loads the filter and its CREATED: with an agent, it gets the listener. */
  handOver: (talk: Talk, ctlFd: number) => void = () => {};
  readonly #filter: FilterToLoad;
  readonly #noNewPrivileges: boolean;
  readonly #held: bigint;
  /** With CAP_SYS_ADMIN in effect; undefined where it need not be put there. */
  #privileged: CapabilityNumbers | undefined;

  /** `held`: the capabilities that the container's process has before it drops them. */
  constructor(filter: FilterToLoad, noNewPrivileges: boolean, held: bigint) {
    this.#filter = filter;
    this.#noNewPrivileges = noNewPrivileges;
    this.#held = held;
  }

  /** The configured sets, and among the permitted what loading the filter takes. */
  capabilities(caps: CapabilityNumbers): CapabilityNumbers {
    const { CAP_SYS_ADMIN } = CAPABILITIES;
    const isHeld = (this.#held & (1n << BigInt(CAP_SYS_ADMIN))) !== 0n;
    // Without it the kernel will say so (EACCES).
    if (this.#noNewPrivileges || !isHeld || caps.effective.has(CAP_SYS_ADMIN)) return caps;
    const permitted = new Set([...caps.permitted, CAP_SYS_ADMIN]);
    this.#privileged = {
      ...caps,
      permitted,
      effective: new Set([...caps.effective, CAP_SYS_ADMIN]),
    };
    return { ...caps, permitted };
  }

  /** With an agent: the filter, its listener to the compiler, and its answer. */
  beforeCreated(draft: Draft): void {
    if (!this.#filter.notifies) return;
    const b = draft.builder;
    const listener = b.slot('seccomp listener');
    this.#load(b, listener);
    b.section('linux.seccomp.listenerPath', 'hand over the listener');
    sendMessage(b, 'LISTENER', listener);
    const answer = b.space(8);
    b.call('read', [CTL, answer, 1], { retry: true });
    b.check(answer, 0xff, LISTENER_TAKEN.charCodeAt(0), 'ECANCELED', { note: 'it was not taken' });
    b.call('close', [listener]);
  }

  /** Right before execve; `failed` is where a failure of that goes. */
  beforeExec(b: ProgramBuilder, { report, args }: ExecRequest, failed: Label): void {
    if (this.#filter.notifies) return;
    const refused = b.label();
    const loaded = b.label();
    b.trap(refused);
    this.#load(b);
    b.trap(failed);
    b.jump(loaded);
    b.place(refused);
    b.call('write', [report, b.string(FILTER_FAILED), 1]);
    b.call('write', [report, RECORD_ADDRESS, MESSAGE_SIZE]);
    b.call('exit_group', [255]);
    b.section('process.args', `execute ${args[0]}`, args[0]!);
    b.place(loaded);
  }

  /** In the child that becomes a hook of the container. */
  beforeHook(b: ProgramBuilder): void {
    if (!this.#filter.notifies) this.#load(b);
  }

  #load(b: ProgramBuilder, into?: Slot): void {
    const { program, flags } = this.#filter;
    const count = program.length / SOCK_FILTER_SIZE;
    b.section('linux.seccomp', 'load the filter', `${count} instructions`);
    if (this.#privileged !== undefined) planCapset(b, this.#privileged);
    const args = [SECCOMP_SET_MODE_FILTER, flags, this.#fprog(b, count)];
    b.call('seccomp', args, into === undefined ? {} : { into });
  }

  #fprog(b: ProgramBuilder, count: number): Pointer {
    const fprog = b.space(SOCK_FPROG_SIZE);
    b.setU16(fprog, count);
    b.setU64(fprog.plus(8), b.bytes(this.#filter.program));
    return fprog;
  }
}
