/**
 * A program as text, for `explain`, `--debug` and tests: one op a line, strace-like, under the place
 * of config.json it was compiled from.
 *
 *     # mounts[3]: mount proc on /proc
 *       12 openat2(root, "proc", {flags=O_PATH|O_CLOEXEC, resolve=…}, 24) = destination  ENOENT→15
 *
 * The encoded bytes are decoded, not the builder's inputs (print/image.ts): what is printed is what
 * runs. The same program always prints the same text. Never imported by a hot verb.
 */

import type { Program } from './builder.ts';
import type { PrintOptions } from './print/call.ts';
import { Renderer } from './print/render.ts';
import { plain } from './print/text.ts';

export type { PrintOptions } from './print/call.ts';

/** The whole program; values of environment variables are hidden unless `secrets` is set. */
export function printProgram(program: Program, options: PrintOptions = {}): string {
  const renderer = new Renderer(program, options);
  const lines: string[] = [];
  let section = -1;
  for (let index = 0; index < program.opCount; index++) {
    const next = program.sectionOf[index] ?? -1;
    if (next !== section) {
      if (lines.length > 0) lines.push('');
      lines.push(sectionLine(program, next));
      section = next;
    }
    const landing = landingLine(renderer, index, options);
    if (landing !== undefined) lines.push(landing);
    lines.push(opLine(program, renderer, index, options));
  }
  return `${lines.join('\n')}\n`;
}

/** One line of the program, as a report of op `index` quotes it. */
export function printOp(program: Program, index: number, options: PrintOptions = {}): string {
  return opLine(program, new Renderer(program, options), index, options);
}

function sectionLine(program: Program, index: number): string {
  const section = program.sections[index];
  if (section === undefined) return '# (no place in config.json)';
  const { specPath, reason, target } = section;
  const place = specPath === '' ? '' : `${plain(specPath)}: `;
  const shown = target === '' || reason.includes(target) ? '' : ` (${plain(target)})`;
  return `# ${place}${plain(reason)}${shown}`;
}

function landingLine(renderer: Renderer, index: number, options: PrintOptions): string | undefined {
  const from = renderer.landings.get(index);
  if (from === undefined) return undefined;
  if (options.numbers === false) return `${renderer.label(index)}:`;
  return `${String(index).padStart(4)}: from ${from.join(', ')}`;
}

function opLine(
  program: Program,
  renderer: Renderer,
  index: number,
  options: PrintOptions,
): string {
  const note = program.notes.get(index);
  const text = note === undefined ? renderer.op(index) : `${renderer.op(index)}  ; ${plain(note)}`;
  return options.numbers === false ? `  ${text}` : `${String(index).padStart(4)} ${text}`;
}
