/**
 * `spec`: writes config.json to begin with into the bundle directory, tab-indented as runc's.
 */

import fs from 'node:fs';
import type { CommandLine } from '../argv.ts';
import { RuncellError, toRuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { defaultSeccomp } from '../oci/default-seccomp.ts';
import { defaultSpec } from '../oci/default-spec.ts';
import { stringifyJson } from '../oci/json.ts';
import { absolutePath } from './path.ts';

export function spec(context: Context, line: CommandLine): undefined {
  const bundle = absolutePath(line.flags.text('bundle') ?? '', context.cwd);
  // The file is the user's: it gets the user's permissions, not the runtime's.
  process.umask(context.handOver.umask);
  const config = defaultSpec({ rootless: line.flags.on('rootless') });
  if (line.flags.on('seccomp')) {
    const seccomp = defaultSeccomp(process.arch as 'x64' | 'arm64');
    config.linux = { ...config.linux, seccomp };
  }
  writeNew(`${bundle}/config.json`, stringifyJson(config, '\t'));
}

/** O_EXCL: whatever is there, a dangling link too, is never written through. */
function writeNew(path: string, text: string): void {
  try {
    fs.writeFileSync(path, text, { flag: 'wx', mode: 0o666 });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') {
      const reason = 'File config.json exists. Remove it first';
      throw new RuncellError({ code: 'usage', reason, cause: thrown });
    }
    throw toRuncellError(thrown);
  }
}
