/**
 * A person at a terminal: a program on a pseudo-terminal of ours (node-pty), what it shows, what is
 * typed, the size of the window. pty(7), termios(3).
 */

/// <reference path="../../node_modules/node-pty/node-pty.d.ts" />

import { createRequire } from 'node:module';
import { eventually } from './eventually.ts';
import { adoptPid } from './reaper.ts';

// The alias brings types under the package's own name, so it is required and not imported.
type Pty = typeof import('@lydell/node-pty');
type IPty = ReturnType<Pty['spawn']>;
const { spawn } = createRequire(import.meta.url)('node-pty') as Pty;

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

export class Terminal implements AsyncDisposable {
  readonly #pty: IPty;
  readonly #ended: Promise<{ exitCode: number; signal?: number | undefined }>;
  #shown = '';
  /** Where the next `sees` begins to look. */
  #mark = 0;
  #alive = true;

  constructor(file: string, args: readonly string[], options: TerminalOptions = {}) {
    this.#pty = spawn(file, [...args], {
      cols: options.columns ?? 80,
      rows: options.rows ?? 24,
      name: 'xterm',
      cwd: options.cwd ?? '/',
      env: options.env ?? { PATH: process.env['PATH'] ?? '/usr/bin:/bin', TERM: 'xterm' },
    });
    const done = adoptPid(this.#pty.pid);
    this.#pty.onData((data) => {
      this.#shown += data;
    });
    this.#ended = new Promise((resolve) => {
      this.#pty.onExit((exit) => {
        this.#alive = false;
        done();
        resolve(exit);
      });
    });
  }

  get pid(): number {
    return this.#pty.pid;
  }

  /** Everything shown so far. */
  get shown(): string {
    return this.#shown;
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#pty.resize(columns, rows);
  }

  /** Waits until what was shown since the last match holds `pattern`; the match. */
  async sees(pattern: RegExp | string, timeoutMs = 10_000): Promise<RegExpExecArray> {
    const wanted = typeof pattern === 'string' ? new RegExp(escapePattern(pattern)) : pattern;
    let match: RegExpExecArray | null = null;
    try {
      await eventually(
        `${wanted}`,
        () => {
          match = wanted.exec(this.#shown.slice(this.#mark));
          return match !== null;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; shown: ${JSON.stringify(this.#shown)}`);
    }
    const found = match as unknown as RegExpExecArray;
    this.#mark += found.index + found[0].length;
    return found;
  }

  /** The exit code; 128 + signal as a shell would say. */
  async ends(timeoutMs = 10_000): Promise<number> {
    await eventually(`the end of ${this.#pty.pid}: ${this.#shown}`, () => !this.#alive, timeoutMs);
    const { exitCode, signal } = await this.#ended;
    return signal === undefined || signal === 0 ? exitCode : 128 + signal;
  }

  signal(name: NodeJS.Signals): void {
    this.#pty.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#alive) this.#pty.kill('SIGKILL');
    await this.#ended;
  }
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
