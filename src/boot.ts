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
import { Script } from 'node:vm';

/** Names of the bundles in dist/hot, put in by scripts/build.ts. */
declare const RUNCELL_BUNDLES: readonly string[];

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
  const script = new Script(fs.readFileSync(`${file}.js`, 'latin1'), {
    filename: `${file}.js`,
    ...codeCache(`${file}.${process.arch}.cache`),
  });
  (script.runInThisContext() as Bundle)(require, __dirname, startBundle);
}

function codeCache(path: string): { cachedData?: Buffer } {
  try {
    return { cachedData: fs.readFileSync(path) };
  } catch {
    // Not built for this architecture.
    return {};
  }
}

if (typeof RUNCELL_BUNDLES !== 'undefined') {
  startBundle(bundleOf(process.argv.slice(3), RUNCELL_BUNDLES));
}
