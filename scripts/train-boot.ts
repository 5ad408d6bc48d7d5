/**
 * Stands in for src/boot.ts while scripts/train.ts runs the verbs: it runs a bundle in the same way
 * and, when the verb is done, writes V8's code cache of it with the functions that were compiled,
 * which are those that were called.
 *
 * A verb is done when it ends the process or, in the foreground wait, when it becomes the executor by
 * execve(2). What it then is and does is the verb's own: nothing of it is changed.
 */

import fs from 'node:fs';
import { Script } from 'node:vm';
import { bundleOf } from '../src/boot.ts';
import { SYSCALLS } from '../src/libcontainer/linux/syscall.ts';

type Bundle = (
  require: NodeJS.Require,
  directory: string,
  startBundle: (name: string) => void,
) => void;

/** The part of koffi that leads to syscall(2) (src/libcontainer/native/libc.ts). */
type Call = ((...args: unknown[]) => unknown) & { async?: unknown };
interface Addon {
  load(path: string | null): { func(...declaration: unknown[]): Call };
}

const { execve, exit_group } = SYSCALLS[process.arch as keyof typeof SYSCALLS];
/** By which a verb's process ends or becomes another program. */
const LAST_CALLS: readonly unknown[] = [execve, exit_group];

function startBundle(name: string): void {
  const file = `${__dirname}/hot/${name}`;
  const script = new Script(fs.readFileSync(`${file}.js`, 'latin1'), { filename: `${file}.js` });
  writeAtTheEnd(() => fs.writeFileSync(`${file}.${process.arch}.cache`, script.createCachedData()));
  (script.runInThisContext() as Bundle)(require, __dirname, startBundle);
}

function writeAtTheEnd(write: () => void): void {
  const system = process as unknown as { reallyExit(code: number): never };
  const { reallyExit } = system;
  system.reallyExit = (code) => {
    write();
    return reallyExit.call(process, code);
  };
  const { dlopen } = process;
  process.dlopen = (holder: object, ...rest) => {
    dlopen.call(process, holder, ...rest);
    const module = holder as { exports: Addon };
    module.exports = withLastCalls(module.exports, write);
  };
}

/** The addon, with a syscall(2) that writes the cache before this process becomes another program. */
function withLastCalls(addon: Addon, write: () => void): Addon {
  const load: Addon['load'] = (path) => {
    const library = addon.load(path);
    const func = (...declaration: unknown[]) => {
      const call = library.func(...declaration);
      const wrapped = (...args: unknown[]) => {
        if (declaration[0] === 'syscall' && LAST_CALLS.includes(args[0])) write();
        return call(...args);
      };
      return Object.assign(wrapped, { async: call.async });
    };
    return { func };
  };
  return new Proxy(addon, {
    get: (target, key) => (key === 'load' ? load : Reflect.get(target, key)),
  });
}

const names = fs.readdirSync(`${__dirname}/hot`).map((name) => name.replace(/\..*$/, ''));
startBundle(bundleOf(process.argv.slice(3), names));
