/**
 * Writes the two machine code files of a build: <directory>/executor and <directory>/runcell.
 * `node scripts/emit.ts dist [x64|arm64]`, or `emit` from scripts/build.ts.
 */

import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launcherImage } from '../src/launcher/image.ts';
import { executorImage } from '../src/libcontainer/executor/image.ts';
import type { Arch } from '../src/libcontainer/linux/arch.ts';

const EXECUTABLE = 0o755;

export function emit(outDir: string, arch: Arch): void {
  mkdirSync(outDir, { recursive: true });
  writeExecutable(join(outDir, 'executor'), executorImage(arch));
  writeExecutable(join(outDir, 'runcell'), launcherImage(arch));
}

/** Renamed into place: a file that is being executed cannot be written to (ETXTBSY). */
function writeExecutable(path: string, image: Uint8Array): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, image);
  chmodSync(temporary, EXECUTABLE); // whatever the umask
  renameSync(temporary, path);
}

if (process.argv[1]?.endsWith('emit.ts')) {
  const [outDir = 'dist', arch = process.arch] = process.argv.slice(2);
  if (arch !== 'x64' && arch !== 'arm64') throw new Error(`no executor for ${arch}`);
  emit(outDir, arch);
}
