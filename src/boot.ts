/**
 * Entry of dist/runcell.cjs, the file that the launcher gives to Node: picks the bundle of the verb
 * and runs it from V8's code cache.
 *
 * A verb's bundle holds that verb and nothing else, since V8 looks at all of a script before it runs
 * the first line (25 µs a KB), and the cache saves compiling what is run. Both are made by
 * scripts/build.ts. A cache of another Node, or none, only costs time: V8 compiles. The guess of the
 * verb may be wrong (`--root state list`); main then asks for the right bundle.
 */

import fs from 'node:fs';

/** Names of the bundles in dist/hot, put in by scripts/build.ts. */
declare const RUNCELL_BUNDLES: readonly string[];
/** process.version of the Node that the build was made with and that package-lock.json pins. */
declare const RUNCELL_NODE: string;

/** The bundle for every word that is no hot verb. */
const REST = 'rest';

export function bundleOf(words: readonly string[], bundles: readonly string[]): string {
  let topic = '';
  for (const word of words) {
    if (word.startsWith('-')) continue;
    const name = `${topic}${word}`;
    if (bundles.includes(name)) return name;
    topic = word === 'container' ? 'container-' : '';
  }
  return REST;
}

type Bundle = (
  require: NodeJS.Require,
  directory: string,
  startBundle: (name: string) => void,
) => void;

function startBundle(name: string): void {
  const file = `${__dirname}/hot/${RUNCELL_BUNDLES.includes(name) ? name : REST}`;
  const source = fs.readFileSync(`${file}.js`, 'latin1');
  const cache = codeCache(`${file}.${process.arch}.cache`);
  runScript(source, `${file}.js`, cache)(require, __dirname, startBundle);
}

/** What is below `vm.Script` (lib/vm.js of the pinned Node). */
interface Contextify {
  readonly ContextifyScript: new (
    ...args: [string, string, number, number, Buffer | undefined, boolean, undefined, symbol]
  ) => { runInContext(...args: [null, number, boolean, boolean, boolean]): unknown };
}

/**
 * As `new Script(…).runInThisContext()`, which this is for a Node that is not the pinned one:
 * `node:vm` and what it loads are no part of Node's own code cache, and compiling them takes 0.5 ms.
 */
function runScript(source: string, filename: string, cachedData: Buffer | undefined): Bundle {
  if (process.version !== RUNCELL_NODE) {
    const { Script } = require('node:vm') as typeof import('node:vm');
    const options = cachedData === undefined ? { filename } : { filename, cachedData };
    return new Script(source, options).runInThisContext() as Bundle;
  }
  const system = process as unknown as { binding(name: 'contextify'): Contextify };
  const { ContextifyScript } = system.binding('contextify');
  const id = Symbol(filename);
  const script = new ContextifyScript(source, filename, 0, 0, cachedData, false, undefined, id);
  return script.runInContext(null, -1, true, false, false) as Bundle;
}

function codeCache(path: string): Buffer | undefined {
  try {
    return fs.readFileSync(path);
  } catch {
    // Not built for this architecture.
    return undefined;
  }
}

if (typeof RUNCELL_BUNDLES !== 'undefined') {
  startBundle(bundleOf(process.argv.slice(3), RUNCELL_BUNDLES));
}
