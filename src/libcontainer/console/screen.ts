/**
 * A whole terminal for a picture that changes in place: the alternate screen, no cursor, keys as they
 * are typed (console_codes(4), xterm's control sequences, termios(3)). All of it is put back when it
 * is disposed of, and while the user has stopped us.
 *
 * A picture is written in one piece, and of it only the lines that are others than before; terminals
 * that know of synchronized updates (mode 2026) show it at once, so that nothing flickers.
 */

import { readSync } from 'node:fs';
import type { Output } from '../../output.ts';
import { SIGNALS } from '../linux/signal.ts';
import { syscall } from '../native/libc.ts';
import {
  getTermios,
  keyModes,
  restoreTermios,
  setTermios,
  type Termios,
  type WindowSize,
  windowSize,
} from './termios.ts';

const STDIN = 0;
const STDOUT = 1;
const ESC = '\u001b';
const ENTER = `${ESC}[?1049h${ESC}[?25l`;
const LEAVE = `${ESC}[?25h${ESC}[?1049l`;
const BEGIN_UPDATE = `${ESC}[?2026h`;
const END_UPDATE = `${ESC}[?2026l`;
const STANDARD: WindowSize = { columns: 80, rows: 24 };

export class Screen implements Disposable {
  readonly #output: Output;
  readonly #modes: Termios | undefined;
  #shown: readonly string[] | undefined;

  /** Undefined where stdout is no terminal. */
  static open(output: Output): Screen | undefined {
    return getTermios(STDOUT) === undefined ? undefined : new Screen(output);
  }

  private constructor(output: Output) {
    this.#output = output;
    this.#modes = getTermios(STDIN);
    this.#enter();
  }

  /** Where keys come from; -1 where stdin is something else. */
  get keysFd(): number {
    return this.#modes === undefined ? -1 : STDIN;
  }

  get size(): WindowSize {
    return windowSize(STDOUT) ?? STANDARD;
  }

  /** What was typed; undefined when the terminal is gone. */
  readKeys(): string | undefined {
    const bytes = Buffer.alloc(64);
    try {
      const read = readSync(STDIN, bytes, 0, bytes.length, null);
      return read === 0 ? undefined : bytes.toString('latin1', 0, read);
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if (code === 'EAGAIN' || code === 'EINTR') return '';
      if (code === 'EIO') return undefined;
      throw thrown;
    }
  }

  draw(lines: readonly string[]): void {
    const update = pictureUpdate(this.#shown, lines);
    this.#shown = lines;
    if (update !== '') this.#output.out(BEGIN_UPDATE + update + END_UPDATE);
  }

  /** The next picture is drawn whole: the size has changed, or something else wrote on it. */
  forget(): void {
    this.#shown = undefined;
  }

  /** Gives the terminal back and stops, as the terminal's ctrl-Z wants; returns when continued. */
  suspend(): void {
    this.#leave();
    syscall('kill', process.pid, SIGNALS.SIGSTOP);
    this.#enter();
  }

  #enter(): void {
    if (this.#modes !== undefined) setTermios(STDIN, keyModes(this.#modes));
    this.forget();
    this.#output.out(ENTER);
  }

  #leave(): void {
    if (this.#modes !== undefined) restoreTermios(STDIN, this.#modes);
    this.#output.out(LEAVE);
  }

  [Symbol.dispose](): void {
    try {
      this.#leave();
    } catch {
      // Nobody is there any more to see it.
    }
  }
}

/** What makes the picture that is shown the next one; all of it without one. */
export function pictureUpdate(
  shown: readonly string[] | undefined,
  next: readonly string[],
): string {
  const changed = next
    .map((line, row) =>
      line === shown?.[row] && row < (shown?.length ?? 0)
        ? ''
        : `${ESC}[${row + 1};1H${line}${ESC}[K`,
    )
    .join('');
  if (shown === undefined) return `${ESC}[2J${changed}`;
  return shown.length > next.length ? `${changed}${ESC}[${next.length + 1};1H${ESC}[J` : changed;
}
