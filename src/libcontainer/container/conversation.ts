/**
 * The compiler's talk with the processes of one container: programs out, messages in, and what a
 * message means when it is not the one that was expected.
 */

import type { Config } from '@opencontainers-ts/spec';
import { RuncellError } from '../../error.ts';
import type { Message } from '../executor/protocol.ts';
import type { ExecutorSession } from '../executor/session.ts';
import { describeExit, tryReap } from '../native/libc.ts';
import { TAG, type TagName } from '../plan/messages.ts';
import type { Program } from '../program/builder.ts';
import { cwdError, fatalError, filesystemReason, hookError, lookupError } from './failure.ts';

const SIGKILL_HINT = 'a memory limit that is too low, or somebody killed it';

export class Conversation {
  readonly #session: ExecutorSession;
  readonly #config: Config;
  #program: Program | undefined;
  /** The container's process as the executor last reported it. */
  pid = 0;

  constructor(session: ExecutorSession, config: Config) {
    this.#session = session;
    this.#config = config;
  }

  send(program: Program): void {
    this.#program = program;
    this.#session.send(program);
  }

  /** The next message of this kind; anything that means failure is thrown. */
  expect(tag: TagName): Message {
    let reason: string | undefined;
    for (;;) {
      const message = this.#receive();
      if (message.fatal !== undefined) throw fatalError(this.#program!, message.fatal, reason);
      if (message.tag === TAG.PID) this.pid = message.a;
      if (message.tag === TAG[tag]) return message;
      if (message.tag === TAG.REASON) reason = filesystemReason(message.payload);
      else if (message.tag !== TAG.PID) throw this.#failure(message);
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

  #failure(message: Message): RuncellError {
    const process = this.#config.process;
    switch (message.tag) {
      case TAG.LOOKUP:
        return lookupError(process?.args?.[0] ?? '', -message.a);
      case TAG.CWD:
        return cwdError(process?.cwd ?? '');
      case TAG.HOOK:
        return hookError('createContainer', this.#config.hooks?.createContainer ?? [], message);
      default: {
        const reason = `unexpected message ${message.tag}`;
        return new RuncellError({ code: 'internal', operation: 'executor', reason });
      }
    }
  }

  #receive(): Message {
    try {
      return this.#session.receive();
    } catch (thrown) {
      const report = this.pid === 0 ? undefined : tryReap(this.pid);
      if (report === undefined) throw thrown;
      const reason = `container init ended before the container stood: ${describeExit(report)}`;
      const hint = report.signal === 9 ? SIGKILL_HINT : undefined;
      throw new RuncellError({ code: 'kernel.init', reason, hint, cause: thrown });
    }
  }
}
