/**
 * Finds the first trouble in a JSON text (RFC 8259), with line, column and path.
 *
 * Only read after json.ts has seen that something is odd, so it is plain instead of fast: one
 * function a rule of the grammar, over a cursor. It makes no values; JSON.parse does that. Beyond the
 * grammar it refuses duplicate keys, the key `__proto__`, NUL, lone surrogates and too many levels.
 */

export interface JsonProblem {
  /** From 1, in UTF-16 code units. */
  readonly line: number;
  readonly column: number;
  /** Where in the document, as `mounts[3].options`; empty at the top. */
  readonly path: string;
  readonly reason: string;
}

/** A longer path tells a person nothing. */
const PATH_STEPS_MAX = 16;

interface Cursor {
  readonly text: string;
  readonly depthMax: number;
  at: number;
  /** Steps from the top: keys and indices. */
  readonly steps: (string | number)[];
}

/** How the grammar's functions leave: with the place and the reason. */
class Trouble extends Error {
  readonly at: number;
  constructor(at: number, reason: string) {
    super(reason);
    this.at = at;
  }
}

/** The first thing wrong with the text, or undefined. */
export function findJsonProblem(text: string, depthMax: number): JsonProblem | undefined {
  const cursor: Cursor = { text, depthMax, at: 0, steps: [] };
  try {
    value(cursor);
    space(cursor);
    if (cursor.at < text.length) throw unexpected(cursor, 'the end of the document');
    return undefined;
  } catch (trouble) {
    if (!(trouble instanceof Trouble)) throw trouble;
    const before = text.slice(0, trouble.at);
    return {
      line: before.split('\n').length,
      column: trouble.at - before.lastIndexOf('\n'),
      path: cursor.steps.length > PATH_STEPS_MAX ? '' : pathOf(cursor.steps),
      reason: trouble.message,
    };
  }
}

function value(cursor: Cursor): void {
  space(cursor);
  const char = cursor.text[cursor.at];
  if (char === '{' || char === '[') {
    if (cursor.steps.length >= cursor.depthMax) {
      throw new Trouble(cursor.at, `more than ${cursor.depthMax} levels`);
    }
    if (char === '{') members(cursor);
    else elements(cursor);
  } else if (char === '"') {
    string(cursor);
  } else {
    scalar(cursor);
  }
}

function members(cursor: Cursor): void {
  const seen = new Set<string>();
  cursor.at++;
  if (closes(cursor, '}')) return;
  do {
    space(cursor);
    const start = cursor.at;
    if (cursor.text[start] !== '"') throw unexpected(cursor, 'a key in double quotes');
    const key = string(cursor);
    cursor.steps.push(key);
    if (key === '__proto__') throw new Trouble(start, 'the key "__proto__" is not allowed');
    if (seen.has(key)) throw new Trouble(start, `duplicate key ${JSON.stringify(key)}`);
    seen.add(key);
    space(cursor);
    if (cursor.text[cursor.at] !== ':') throw unexpected(cursor, '":" after the key');
    cursor.at++;
    value(cursor);
    cursor.steps.pop();
  } while (continues(cursor, '}'));
}

function elements(cursor: Cursor): void {
  cursor.at++;
  if (closes(cursor, ']')) return;
  let index = 0;
  do {
    cursor.steps.push(index++);
    value(cursor);
    cursor.steps.pop();
  } while (continues(cursor, ']'));
}

function closes(cursor: Cursor, close: string): boolean {
  space(cursor);
  if (cursor.text[cursor.at] !== close) return false;
  cursor.at++;
  return true;
}

function continues(cursor: Cursor, close: string): boolean {
  if (closes(cursor, close)) return false;
  if (cursor.text[cursor.at] !== ',') throw unexpected(cursor, `"," or "${close}"`);
  cursor.at++;
  return true;
}

function string(cursor: Cursor): string {
  const start = cursor.at++;
  for (;;) {
    const char = cursor.text[cursor.at];
    if (char === undefined) throw new Trouble(cursor.at, 'string without an end');
    if (char === '"') break;
    if (char < ' ') throw new Trouble(cursor.at, 'control character in a string');
    cursor.at += char === '\\' ? escapeLength(cursor) : 1;
  }
  cursor.at++;
  const decoded = JSON.parse(cursor.text.slice(start, cursor.at)) as string;
  if (decoded.includes('\0')) throw new Trouble(start, 'NUL in a string');
  if (!decoded.isWellFormed()) throw new Trouble(start, 'half a surrogate pair in a string');
  return decoded;
}

function escapeLength(cursor: Cursor): number {
  const rest = cursor.text.slice(cursor.at + 1, cursor.at + 6);
  if (/^["\\/bfnrt]/.test(rest)) return 2;
  if (/^u[0-9a-fA-F]{4}$/.test(rest)) return 6;
  throw new Trouble(cursor.at, 'unknown escape in a string');
}

const SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.+-])/y;

function scalar(cursor: Cursor): void {
  SCALAR.lastIndex = cursor.at;
  const match = SCALAR.exec(cursor.text);
  if (match === null) throw unexpected(cursor, 'a value');
  cursor.at += match[0].length;
}

function space(cursor: Cursor): void {
  while (' \t\n\r'.includes(cursor.text[cursor.at] ?? '.')) cursor.at++;
}

function unexpected(cursor: Cursor, wanted: string): Trouble {
  const found = cursor.text[cursor.at];
  const what = found === undefined ? 'the document ends' : `found ${JSON.stringify(found)}`;
  return new Trouble(cursor.at, `${what} where ${wanted} should be`);
}

/** Steps as they are written of config.json: `mounts[3].options`. */
export function pathOf(steps: readonly (string | number)[]): string {
  let path = '';
  for (const step of steps) {
    if (typeof step === 'number') path += `[${step}]`;
    else if (!/^[A-Za-z_]\w*$/.test(step)) path += `[${JSON.stringify(step)}]`;
    else path += path === '' ? step : `.${step}`;
  }
  return path;
}
