/**
 * Golden files: `<name>.txt` beside this file is what a test's text must be, character by character.
 * `GOLDEN_UPDATE=1` rewrites them; the diff is then read like code, for it is what will run as root.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { checkProgram } from '../../src/libcontainer/program/check.ts';
import { printProgram } from '../../src/libcontainer/program/print.ts';
import { createPrograms, type NamedProgram, type Scene } from './plan.ts';

export function golden(name: string, text: string): void {
  const file = `${import.meta.dirname}/${name}.txt`;
  if (process.env['GOLDEN_UPDATE'] === '1') writeFileSync(file, text);
  if (!existsSync(file)) throw new Error(`no ${file}: run once with GOLDEN_UPDATE=1, read it`);
  expect(text, `${name}.txt, GOLDEN_UPDATE=1 rewrites it`).toBe(readFileSync(file, 'utf8'));
}

export interface GoldenScene extends Scene {
  /** Sections of the programs that are shown, by their header without `# `; absent: all. */
  readonly only?: RegExp;
}

/** What `create` sends for the scene: the fragment of config.json, then the programs' text. */
export function goldenCreate(name: string, scene: GoldenScene): void {
  const programs = createPrograms(scene);
  for (const { name: program, problems } of problemsOf(programs)) {
    expect(problems, `${name}: ${program}`).toEqual([]);
  }
  const { config = {}, facts, options } = scene;
  const given = { config, ...(facts && { facts }), ...(options && { options }) };
  golden(name, `${fragment(given)}\n${programText(programs, scene.only)}`);
}

export function problemsOf(
  programs: readonly NamedProgram[],
): { name: string; problems: string[] }[] {
  return programs.map(({ name, program, root }) => ({
    name,
    problems: checkProgram(program, { root }),
  }));
}

/** The programs without numbers, so that one more op changes one line. */
export function programText(programs: readonly NamedProgram[], only?: RegExp): string {
  return programs
    .map(({ name, program }) => ({ name, text: printProgram(program, { numbers: false }) }))
    .map(({ name, text }) => ({ name, text: only === undefined ? text : excerpt(text, only) }))
    .filter(({ text }) => text !== '')
    .map(({ name, text }) => `== ${name}\n\n${text}`)
    .join('\n');
}

/** The sections whose header matches; labels are numbered anew, so that others do not matter. */
function excerpt(text: string, only: RegExp): string {
  const sections = text
    .trimEnd()
    .split('\n\n')
    .filter((section) => only.test(section.slice(2, section.indexOf('\n'))));
  if (sections.length === 0) return '';
  const labels = new Map<string, string>();
  const rename = (label: string): string => {
    if (!labels.has(label)) labels.set(label, `L${labels.size + 1}`);
    return labels.get(label)!;
  };
  const shown = sections
    .join('\n\n')
    .replace(/([→↑])(L\d+)/g, (_, arrow: string, label: string) => arrow + rename(label))
    .replace(/^(L\d+):$/gm, (_, label: string) => `${rename(label)}:`);
  return `${shown}\n`;
}

/** The fragment as JSON; sets, maps and integers beyond 2^53 as their content. */
function fragment(value: unknown): string {
  const show = (_: string, item: unknown): unknown => {
    if (typeof item === 'bigint') return String(item);
    if (item instanceof Set) return [...item];
    return item instanceof Map ? Object.fromEntries(item) : item;
  };
  return `${JSON.stringify(value, show, 2)}\n`;
}
