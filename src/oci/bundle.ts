/**
 * A bundle: a directory with config.json and the root filesystem it names (runtime-spec 1.3 bundle.md,
 * config.md#configRoot). Reads, validates and resolves; the process's own directory does not matter.
 *
 * Two sentences are runc's, callers match them (reference/runtime-cli.md §3.2).
 */

import fs from 'node:fs';
import { RuncellError, toRuncellError } from '../error.ts';
import { JSON_BYTES_MAX, parseJson } from './json.ts';
import { type ValidConfig, validateConfig } from './validate.ts';

export interface Bundle {
  /** Absolute. */
  readonly bundleDir: string;
  readonly config: ValidConfig;
  /** config.json as it was read: what the state directory keeps. */
  readonly configBytes: Uint8Array;
  /** Absolute; a directory that exists. */
  readonly rootfsPath: string;
  readonly warnings: readonly string[];
  readonly debug: readonly string[];
}

/** Precondition: `bundleDir` is absolute. */
export function loadBundle(bundleDir: string): Bundle {
  const directory = cleanPath(bundleDir);
  const file = directory === '/' ? '/config.json' : `${directory}/config.json`;
  const configBytes = readConfig(directory, file);
  const { config, warnings, debug } = validateConfig(parseJson(configBytes, { source: file }));
  const rootfsPath = rootfsOf(directory, config.root.path);
  requireDirectory(rootfsPath);
  return { bundleDir: directory, config, configBytes, rootfsPath, warnings, debug };
}

/** The root of a configuration in a bundle: absolute, or relative to the bundle's directory. */
export function rootfsOf(bundleDir: string, path: string): string {
  return cleanPath(path.startsWith('/') ? path : `${bundleDir}/${path}`);
}

/** Without `.`, `..`, doubled and trailing slashes: lexical, as Go's filepath.Clean. */
export function cleanPath(path: string): string {
  const steps: string[] = [];
  for (const step of path.split('/')) {
    if (step === '..') steps.pop();
    else if (step !== '' && step !== '.') steps.push(step);
  }
  return `/${steps.join('/')}`;
}

function readConfig(directory: string, file: string): Uint8Array {
  let fd: number;
  try {
    // A FIFO in its place must not hang the verb.
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (thrown) {
    throw missing(directory, file, thrown);
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) {
      throw new RuncellError({
        code: 'config.missing',
        target: file,
        reason: 'is not a regular file',
      });
    }
    if (stat.size > JSON_BYTES_MAX) {
      throw new RuncellError({
        code: 'config.syntax',
        target: file,
        reason: 'is larger than 16 MiB',
      });
    }
    return fs.readFileSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** runc first changes into the bundle, and tells that from a bundle without the file. */
function missing(directory: string, file: string, thrown: unknown): RuncellError {
  const error = thrown as NodeJS.ErrnoException;
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') return toRuncellError(thrown);
  const stat = fs.statSync(directory, { throwIfNoEntry: false });
  if (stat?.isDirectory()) {
    return new RuncellError({
      code: 'config.missing',
      reason: 'JSON specification file config.json not found',
      target: file,
      cause: thrown,
    });
  }
  return new RuncellError({
    code: 'config.missing',
    operation: 'chdir',
    target: directory,
    errno: Math.abs(error.errno ?? 0),
    cause: thrown,
  });
}

function requireDirectory(rootfs: string): void {
  const place = { code: 'config.rootfs', specPath: 'root.path', target: rootfs } as const;
  let stat: fs.Stats | undefined;
  try {
    stat = fs.statSync(rootfs);
  } catch (thrown) {
    const errno = Math.abs((thrown as NodeJS.ErrnoException).errno ?? 0);
    throw new RuncellError({ ...place, errno, cause: thrown });
  }
  if (!stat.isDirectory()) {
    throw new RuncellError({ ...place, reason: 'is not a directory' });
  }
}
