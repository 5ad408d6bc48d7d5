/**
 * koffi without its JavaScript: its `.node` file is opened by process.dlopen.
 *
 * `require('koffi')` reads 60 KB of script that declares types for every platform (8 to 11 ms);
 * the addon alone is ready in 0.8 ms. It is looked for from the file that runs, never from the
 * working directory or the environment: the bundle's own tree is the only one trusted. Only the
 * glibc build is wanted, the pinned Node being a glibc program. dlopen(3), koffi's doc/pointers.md.
 */

import { existsSync } from 'node:fs';
import { RuncellError } from '../../error.ts';

/** What a pointer or a number may be given as; typed arrays are passed by the address of their data. */
export type NativeArgument = number | bigint | null | NodeJS.TypedArray;
export type NativeFunction = (...args: NativeArgument[]) => number;
export type AsyncNativeFunction = NativeFunction & {
  async(...args: [...NativeArgument[], (error: Error | null, result: number) => void]): void;
};

export interface NativeLibrary {
  func(name: string, result: string, args: readonly string[]): AsyncNativeFunction;
}

export interface Koffi {
  /** A library by its path, or with null the process itself. */
  load(path: string | null): NativeLibrary;
  errno(): number;
  /** The address of a typed array's data; valid as long as the array is reachable. */
  address(array: NodeJS.TypedArray): bigint;
}

let opened: Koffi | undefined;

/** The addon, opened at the first call. */
export function openKoffi(): Koffi {
  opened ??= dlopenKoffi();
  return opened;
}

function dlopenKoffi(): Koffi {
  const path = findAddon(baseDirectory());
  const holder: { exports: unknown } = { exports: {} };
  try {
    process.dlopen(holder as NodeJS.Module, path);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new RuncellError({ code: 'internal', operation: 'dlopen', target: path, reason });
  }
  return holder.exports as Koffi;
}

/**
 * The directory of the running file: the bundle's `dist` in the product, this file's own under
 * vitest and plain node, where a module is ESM and has no __dirname.
 */
function baseDirectory(): string {
  return typeof __dirname === 'string' ? __dirname : import.meta.dirname;
}

/**
 * npm puts the package into our own node_modules or, where we are installed ourselves, hoists it to
 * the node_modules that we are in. Nowhere else is looked: further up, others might write.
 */
function findAddon(base: string): string {
  const file = `@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;
  const tree = treeOf(base);
  const own = `${tree}/node_modules/${file}`;
  if (existsSync(own)) return own;
  const around = parentOf(tree);
  const hoisted = `${around}/${file}`;
  if (around.endsWith('/node_modules') && existsSync(hoisted)) return hoisted;
  throw new RuncellError({
    code: 'internal',
    operation: 'find',
    target: own,
    reason: 'not installed',
    hint: 'install again with optional dependencies',
  });
}

/** The directory of our package.json: one above the bundle, three above this file. */
function treeOf(base: string): string {
  const source = base.endsWith('/src/libcontainer/native');
  return source ? parentOf(parentOf(parentOf(base))) : parentOf(base);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
