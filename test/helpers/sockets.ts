/**
 * The engine's ends of `--console-socket` and `--pidfd-socket`: one connection, one message with
 * one descriptor (runtime-cli.md §4.2, §4.7), received like go-runc and conmon do: any other
 * number of descriptors or messages is an error. unix(7), cmsg(3).
 */

import { eventually } from './eventually.ts';
import { accept, close, listenStream, type Received, receive } from './native.ts';

export class DescriptorSocket implements Disposable {
  readonly path: string;
  readonly #listener: number;
  #connection: number | undefined;

  constructor(path: string) {
    this.path = path;
    this.#listener = listenStream(path);
  }

  /** The one message; its descriptor belongs to the caller. */
  async receive(timeoutMs = 5000): Promise<{ fd: number; data: Buffer }> {
    await eventually(
      `a connection to ${this.path}`,
      () => {
        this.#connection ??= accept(this.#listener);
        return this.#connection !== undefined;
      },
      timeoutMs,
    );
    const { data, fds } = await this.#message(timeoutMs);
    if (fds.length !== 1) throw new Error(`${fds.length} descriptors in one message`);
    const rest = await this.#message(timeoutMs);
    if (rest.data.length > 0 || rest.fds.length > 0) throw new Error('a second message');
    return { fd: fds[0]!, data };
  }

  async #message(timeoutMs: number): Promise<Received> {
    let received: Received | undefined;
    await eventually(
      `a message on ${this.path}`,
      () => {
        received = receive(this.#connection!);
        return received !== undefined;
      },
      timeoutMs,
    );
    return received!;
  }

  [Symbol.dispose](): void {
    close(this.#listener);
    if (this.#connection !== undefined) close(this.#connection);
  }
}
