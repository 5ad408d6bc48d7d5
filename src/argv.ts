/**
 * The fast parser: argv → one verb with its flags, straight from the rows of oclif.manifest.json.
 *
 * The rules are runc's (reference/runtime-cli.md §1.1), which are those of Go's flag package: one or
 * two dashes, `--f v` and `--f=v`, any next word is a value, repeated scalars: the last wins, lists
 * accumulate and commas do not split, `--` ends flags. Flags may follow positionals, except in the
 * verbs whose manifest row says `payload`. The global flags stand before the verb or after it.
 *
 * Pure: reads no file and prints nothing. An error remembers the verb whose help belongs to it.
 */

import manifest from '../oclif.manifest.json' with { type: 'json' };
import { RuncellError } from './error.ts';

/** What the parser reads of a manifest row; scripts/build.ts drops all other keys. */
export interface FlagRow {
  readonly type: string;
  readonly char?: string;
  readonly multiple?: boolean;
  readonly required?: boolean;
}

export interface VerbRow {
  readonly flags: Readonly<Record<string, FlagRow>>;
  readonly args: Readonly<
    Record<string, { readonly required?: boolean; readonly multiple?: boolean }>
  >;
  /** After the first positional everything is payload. */
  readonly payload?: boolean;
  /** Words after `--` are kept apart, as `rest`. */
  readonly rest?: boolean;
  /** `-it` is `-i -t`. */
  readonly bundling?: boolean;
  /** A row that another bundle has: the words behind the verb are not looked at. */
  readonly elsewhere?: boolean;
}

export interface Manifest {
  readonly version: string;
  readonly globals: Readonly<Record<string, FlagRow>>;
  readonly commands: Readonly<Record<string, VerbRow>>;
}

export interface CommandLine {
  readonly action: 'run' | 'help' | 'version';
  /** Manifest id as `create` or `container:run`; of `help` also a topic or ''. */
  readonly verb: string;
  readonly flags: Values;
  readonly args: readonly string[];
  readonly rest: readonly string[];
}

/** What is to be shown with a usage error, and the exit code. */
export interface UsageNote {
  readonly verb: string;
  /** `Incorrect Usage: …`; absent when runc shows no help for it. */
  readonly headline: string | undefined;
  readonly exitCode: number;
}

/** One for all bundles: a verb in dist/cold.cjs has this file once more (scripts/build.ts). */
const shared = globalThis as unknown as Record<symbol, WeakMap<RuncellError, UsageNote>>;
shared[Symbol.for('runcell.notes')] ??= new WeakMap();
const notes = shared[Symbol.for('runcell.notes')]!;

export function usageNote(error: RuncellError): UsageNote | undefined {
  return notes.get(error);
}

/** A wrong flag or value: `Incorrect Usage: …`, the verb's help, exit 1. */
export function usageError(verb: string, reason: string): RuncellError {
  return noted(reason, { verb, headline: `Incorrect Usage: ${reason}`, exitCode: 1 });
}

function arityError(verb: string, text: string): RuncellError {
  const name = verb.replace(':', ' ');
  return noted(`runcell: "${name}" requires ${text} argument(s)`, {
    verb,
    headline: 'Incorrect Usage.',
    exitCode: 1,
  });
}

function unknownVerb(name: string): RuncellError {
  const note = { verb: '', headline: undefined, exitCode: 3 };
  return noted(`No help topic for '${name}'`, note);
}

function noted(reason: string, note: UsageNote): RuncellError {
  const error = new RuncellError({ code: 'usage', reason });
  notes.set(error, note);
  return error;
}

/** The flags that were given, by their long names. */
export class Values {
  verb = '';
  readonly #given = new Map<string, string[] | boolean>();

  set(name: string, value: string | boolean, multiple: boolean): void {
    const before = this.#given.get(name);
    if (typeof value === 'boolean') this.#given.set(name, value);
    else if (multiple && Array.isArray(before)) before.push(value);
    else this.#given.set(name, [value]);
  }

  has(name: string): boolean {
    return this.#given.has(name);
  }

  names(): string[] {
    return [...this.#given.keys()];
  }

  on(name: string): boolean {
    return this.#given.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.#given.get(name);
    return Array.isArray(value) ? value[0] : undefined;
  }

  list(name: string): string[] {
    const value = this.#given.get(name);
    return Array.isArray(value) ? value : [];
  }

  /** A count as Go's flag package reads an int, but never below 0. */
  integer(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : this.#number(name, value);
  }

  integers(name: string): number[] {
    return this.list(name).map((value) => this.#number(name, value));
  }

  #number(name: string, text: string): number {
    const value = /^\+?[0-9]{1,10}$/.test(text) ? Number(text) : -1;
    if (value < 0 || value > 0xffffffff) {
      throw usageError(this.verb, `invalid value "${text}" for flag -${name}: parse error`);
    }
    return value;
  }
}

/** Fills `globals` as it goes, so that an error can already be told in the asked form. */
export function parseArgv(
  words: readonly string[],
  globals: Values,
  // The compiler sees each row's own literal type, and exact optional properties differ in them.
  table: Manifest = manifest as unknown as Manifest,
): CommandLine {
  return new Parser(words, globals, table).parse();
}

class Parser {
  readonly #words: readonly string[];
  readonly #globals: Values;
  readonly #table: Manifest;
  readonly #flags = new Values();
  #at = 0;
  #verb = '';
  #row: VerbRow | undefined;
  #help = false;
  #version = false;
  #bareVersion = false;

  constructor(words: readonly string[], globals: Values, table: Manifest) {
    this.#words = words;
    this.#globals = globals;
    this.#table = table;
  }

  parse(): CommandLine {
    const first = this.#word();
    if (this.#version || (first === undefined && this.#bareVersion)) return this.#line('version');
    if (first === undefined) return this.#line('help');
    if (first === 'help' || first === 'h') return this.#helpTopic();
    if (isTopic(this.#table, first)) {
      const second = this.#word();
      if (this.#version) return this.#line('version');
      if (second === undefined) {
        this.#verb = first;
        return this.#line('help');
      }
      if (second === 'help' || second === 'h') return this.#helpTopic(first);
      this.#choose(`${first}:${second}`);
    } else {
      // `container:run` is how the manifest writes it, not how anybody calls it.
      if (first.includes(':')) throw unknownVerb(first);
      this.#choose(first);
    }
    return this.#parseVerb();
  }

  #line(
    action: CommandLine['action'],
    args: readonly string[] = [],
    rest: readonly string[] = [],
  ): CommandLine {
    return { action, verb: this.#verb, flags: this.#flags, args, rest };
  }

  #choose(id: string): void {
    const row = rowOf(this.#table, id);
    if (row === undefined) throw unknownVerb(id.replace(':', ' '));
    this.#verb = id;
    this.#flags.verb = id;
    this.#row = row;
  }

  #helpTopic(topic?: string): CommandLine {
    const names = [...(topic === undefined ? [] : [topic]), ...this.#words.slice(this.#at)].filter(
      (word) => !word.startsWith('-'),
    );
    const id = names.slice(0, isTopic(this.#table, names[0] ?? '') ? 2 : 1).join(':');
    if (id !== '' && rowOf(this.#table, id) === undefined && !isTopic(this.#table, id)) {
      throw unknownVerb(id.replace(':', ' '));
    }
    this.#verb = id;
    return this.#line('help');
  }

  /** Takes global flags up to the next word that is none. */
  #word(): string | undefined {
    while (this.#at < this.#words.length) {
      const word = this.#words[this.#at++]!;
      if (word === '--') return this.#words[this.#at++];
      if (!isFlag(word)) return word;
      this.#flag(word);
    }
    return undefined;
  }

  #parseVerb(): CommandLine {
    const row = this.#row!;
    if (row.elsewhere === true) return this.#line('run');
    const args: string[] = [];
    let rest: readonly string[] = [];
    while (this.#at < this.#words.length) {
      const word = this.#words[this.#at++]!;
      if (word === '--') {
        const after = this.#words.slice(this.#at);
        if (row.rest === true) rest = after;
        else args.push(...after);
        break;
      }
      if (isFlag(word)) {
        this.#flag(word);
        continue;
      }
      args.push(word);
      if (row.payload === true) {
        args.push(...this.#words.slice(this.#at));
        break;
      }
    }
    if (this.#help) return this.#line('help');
    this.#checkRequired(row);
    this.#checkArity(row, args.length);
    return this.#line('run', args, rest);
  }

  #checkRequired(row: VerbRow): void {
    for (const name in row.flags) {
      if (row.flags[name]!.required === true && !this.#flags.has(name)) {
        throw usageError(this.#verb, `required flag "${name}" not set`);
      }
    }
  }

  #checkArity(row: VerbRow, given: number): void {
    let least = 0;
    let most = 0;
    for (const name in row.args) {
      const arg = row.args[name]!;
      if (arg.required === true) least++;
      most = arg.multiple === true ? Number.POSITIVE_INFINITY : most + 1;
    }
    if (given >= least && given <= most) return;
    if (least === most) throw arityError(this.#verb, `exactly ${least}`);
    if (given < least) throw arityError(this.#verb, `a minimum of ${least}`);
    throw arityError(this.#verb, `a maximum of ${most}`);
  }

  #flag(word: string): void {
    const dashes = word.startsWith('--') ? 2 : 1;
    const equals = word.indexOf('=', dashes);
    const given = word.slice(dashes, equals === -1 ? undefined : equals);
    const value = equals === -1 ? undefined : word.slice(equals + 1);
    if (given === '' || given.startsWith('-')) {
      throw usageError(this.#verb, `bad flag syntax: ${word}`);
    }
    const own = this.#row === undefined ? undefined : find(this.#row.flags, given);
    const name = own ?? find(this.#table.globals, given);
    if (name === undefined && (given === 'h' || given === 'help')) {
      this.#help = this.#boolean(given, value);
    } else if (name === undefined && dashes === 1 && this.#bundled(given, value)) {
      return;
    } else if (name === undefined || (name === 'version' && this.#row !== undefined)) {
      throw usageError(this.#verb, `flag provided but not defined: -${given}`);
    } else {
      this.#store(name, given, value, own !== undefined);
    }
  }

  /** Sets one known flag; an option without `=` takes the next word, whatever it is. */
  #store(name: string, given: string, value: string | undefined, own: boolean): void {
    const row = own ? this.#row!.flags[name]! : this.#table.globals[name]!;
    const values = own ? this.#flags : this.#globals;
    if (row.type === 'boolean') {
      const on = this.#boolean(given, value);
      values.set(name, on, false);
      // `-v` alone is the version, with a verb after it the verbose log.
      if (name === 'version') this.#version = on;
      if (given === 'v' && this.#row === undefined) this.#bareVersion = on;
      return;
    }
    const text = value ?? this.#words[this.#at++];
    if (text === undefined) {
      throw usageError(this.#verb, `flag needs an argument: -${given}`);
    }
    values.set(name, text, row.multiple === true);
  }

  /** `-it`: every letter a short flag, only the last may take a value. */
  #bundled(letters: string, value: string | undefined): boolean {
    const row = this.#row;
    if (row?.bundling !== true || letters.length < 2) return false;
    const names = [...letters].map((letter) => find(row.flags, letter));
    const last = names.length - 1;
    const all = names.every(
      (name, index) =>
        name !== undefined && (index === last || row.flags[name]!.type === 'boolean'),
    );
    if (!all) return false;
    names.forEach((name, index) => {
      this.#store(name!, letters[index]!, index === last ? value : undefined, true);
    });
    return true;
  }

  #boolean(given: string, value: string | undefined): boolean {
    switch (value) {
      case undefined:
      case '1':
      case 't':
      case 'T':
      case 'true':
      case 'TRUE':
      case 'True':
        return true;
      case '0':
      case 'f':
      case 'F':
      case 'false':
      case 'FALSE':
      case 'False':
        return false;
      default:
        throw usageError(this.#verb, `invalid boolean value "${value}" for -${given}: parse error`);
    }
  }
}

/** A lone `-` is a word. */
function isFlag(word: string): boolean {
  return word.length > 1 && word.startsWith('-');
}

function find(rows: Readonly<Record<string, FlagRow>>, given: string): string | undefined {
  if (Object.hasOwn(rows, given)) return given;
  if (given.length !== 1) return undefined;
  for (const name in rows) if (rows[name]!.char === given) return name;
  return undefined;
}

function rowOf(table: Manifest, id: string): VerbRow | undefined {
  return Object.hasOwn(table.commands, id) ? table.commands[id] : undefined;
}

function isTopic(table: Manifest, word: string): boolean {
  if (word === '' || word.includes(':')) return false;
  for (const id in table.commands) if (id.startsWith(`${word}:`)) return true;
  return false;
}
