/**
 * An emitted executor as a child process, for x86-64 directly and for arm64 under
 * qemu-aarch64-static. Descriptor 3 of the child is one end of a socket pair.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { executorImage } from '../../src/libcontainer/executor/image.ts';
import type { Arch } from '../../src/libcontainer/linux/arch.ts';
import { which } from './runtime.ts';

const EMULATOR: Record<Arch, readonly string[]> = { x64: [], arm64: ['qemu-aarch64-static'] };

/**
 * How this machine runs a program of that architecture. A missing emulator is said at once: `spawn`
 * would only fail later, and each test would wait for its own timeout.
 */
export function commandFor(arch: Arch, path: string): readonly string[] {
  if (process.arch === arch) return [path];
  const [emulator] = EMULATOR[arch];
  if (emulator !== undefined && which(emulator) === undefined) {
    throw new Error(`${emulator} is not installed (apt-get install qemu-user-static)`);
  }
  return [...EMULATOR[arch], path];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ExecutorProcess {
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #directory: string;
  #received: Buffer = Buffer.alloc(0);
  readonly exit: Promise<Exit>;

  constructor(arch: Arch) {
    this.#directory = mkdtempSync(join(tmpdir(), 'runcell-executor-'));
    const path = join(this.#directory, 'executor');
    writeFileSync(path, executorImage(arch), { mode: 0o755 });
    const [command, ...args] = commandFor(arch, path);
    this.#child = spawn(command!, [...args, '3'], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    });
    this.#socket = this.#child.stdio[3] as Duplex;
    this.#socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
    });
    // A child that exits with unread input resets the socket; its exit status is what counts.
    this.#socket.on('error', () => {});
    this.exit = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        rmSync(this.#directory, { recursive: true });
        resolve({ code, signal });
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** End of file for the executor. */
  end(): void {
    this.#socket.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The next bytes that the executor writes. */
  async receive(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#socket.readableEnded) {
        throw new Error(`the executor closed after ${this.#received.length} of ${length} bytes`);
      }
      await new Promise<void>((resolve) => {
        this.#socket.once('data', () => resolve());
        this.#socket.once('end', () => resolve());
      });
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }

  /** The next words that the executor writes, signed. */
  async receiveWords(count: number): Promise<bigint[]> {
    const bytes = await this.receive(count * 8);
    return Array.from({ length: count }, (_, index) => bytes.readBigInt64LE(index * 8));
  }
}
