/**
 * The compiler's talk with the processes of one container: programs out, messages in, and what a
 * message means when it is not the one that was expected.
 */

import type { Config } from '@opencontainers-ts/spec';
import type { FatalRecord, Message } from '../executor/protocol.ts';
import type { ExecutorSession } from '../executor/session.ts';
import { type ExitReport, tryReap } from '../native/libc.ts';
import { TAG, type TagName } from '../plan/messages.ts';
import { SELF_COPY_OPS } from '../plan/self-copy.ts';
import type { Program } from '../program/builder.ts';

/**
 * What stopped a container process, as it was reported. Not an error text yet: the texts are loaded
 * when there is something to tell (failure.ts).
 */
export class ProcessFailure extends Error {
  readonly config: Config;
  readonly program: Program;
  /** Whether it was the container's process, and not the stage that was to make it. */
  readonly stands: boolean;
  readonly what:
    | { readonly fatal: FatalRecord; readonly filesystem: Uint8Array | undefined }
    | { readonly message: Message }
    | { readonly ended: ExitReport };

  constructor(of: Pick<ProcessFailure, 'config' | 'program' | 'stands' | 'what'>) {
    super('a container process failed');
    this.config = of.config;
    this.program = of.program;
    this.stands = of.stands;
    this.what = of.what;
  }
}

export class Conversation {
  readonly #session: ExecutorSession;
  readonly #config: Config;
  #program: Program | undefined;
  /** The self-copy, which everything begins with. */
  #first: Program | undefined;
  /** The container's process as the executor last reported it. */
  pid = 0;

  constructor(session: ExecutorSession, config: Config) {
    this.#session = session;
    this.#config = config;
  }

  send(program: Program): void {
    if (program.before !== undefined) {
      this.send(program.before);
      this.expect('PIECE');
    }
    this.#first ??= program;
    this.#program = program;
    this.#session.send(program);
  }

  /** The next message of this kind; anything that means failure is thrown. */
  expect(tag: TagName): Message {
    let filesystem: Uint8Array | undefined;
    for (;;) {
      const message = this.#receive();
      const { fatal } = message;
      if (fatal !== undefined) throw this.#fatal(fatal, filesystem);
      if (message.tag === TAG.PID) this.pid = message.a;
      if (message.tag === TAG[tag]) return message;
      if (message.tag === TAG.REASON) filesystem = message.payload;
      else if (message.tag !== TAG.PID) throw this.#failed({ message });
    }
  }

  /** The container's passwd, as far as it was read. */
  expectPasswd(): Uint8Array {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const { payload } = this.expect('PASSWD');
      if (payload.length === 0) return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
      pieces.push(payload);
    }
  }

  #fatal(fatal: FatalRecord, filesystem: Uint8Array | undefined): ProcessFailure {
    if (fatal.op >= SELF_COPY_OPS) {
      this.#program = this.#first;
      fatal = { ...fatal, op: fatal.op - SELF_COPY_OPS };
    }
    return this.#failed({ fatal, filesystem });
  }

  #failed(what: ProcessFailure['what']): ProcessFailure {
    const stands = this.pid !== 0;
    return new ProcessFailure({ config: this.#config, program: this.#program!, stands, what });
  }

  #receive(): Message {
    try {
      return this.#session.receive();
    } catch (thrown) {
      const report = this.pid === 0 ? undefined : tryReap(this.pid);
      if (report === undefined) throw thrown;
      throw this.#failed({ ended: report });
    }
  }
}
