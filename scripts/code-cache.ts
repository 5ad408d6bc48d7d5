/**
 * Writes V8's code cache of every script in a directory: `node NODE_FLAGS scripts/code-cache.ts DIR`.
 *
 * Run by scripts/build.ts with the pinned Node and the launcher's flags, both of which V8 compares
 * when the cache is read. All functions are compiled (`--no-lazy`), also those that a verb calls
 * only with privileges that a build has not; the flag is taken back before the cache is made, since
 * V8 notes the flags in it.
 */

import fs from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

export function writeCodeCache(file: string): void {
  const source = fs.readFileSync(file, 'latin1');
  setFlagsFromString('--no-lazy');
  const script = new Script(source, { filename: file });
  setFlagsFromString('--lazy');
  fs.writeFileSync(file.replace(/\.js$/, `.${process.arch}.cache`), script.createCachedData());
}

if (process.argv[1] === import.meta.filename) {
  const directory = process.argv[2]!;
  for (const name of fs.readdirSync(directory)) {
    if (name.endsWith('.js')) writeCodeCache(path.join(directory, name));
  }
}
