/** Pipes of the caller may be opened again by others, and nothing else of the caller changes. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundleScript } from '../../helpers/bundle.ts';

test('pipes get their mode, a file does not', () => {
  const directory = mkdtempSync(join(tmpdir(), 'runcell-stdio-'));
  const script = bundleScript(`
    import { fstatSync, writeSync } from 'node:fs';
    import { sharePipes } from './src/libcontainer/container/stdio-pipes.ts';
    sharePipes();
    writeSync(1, (fstatSync(1).mode & 0o777).toString(8));
  `);
  const command = 'umask 077; : | "$0" "$1" 2>"$2" | cat';
  const file = join(directory, 'file');
  const args = ['-c', command, process.execPath, script.path, file];
  const { stdout } = spawnSync('sh', args, { encoding: 'utf8' });
  script.remove();
  const { mode } = statSync(file);
  rmSync(directory, { recursive: true });
  expect(stdout).toBe('666');
  expect(mode & 0o777).toBe(0o600);
});
