/**
 * A directory tree as npm lays it out, with the emitted launcher and in the place of Node a shell
 * script that dumps what it was given: argv, environment, descriptors and the hand-over.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type HandOver, parseHandOver } from '../../src/launcher/hand-over.ts';
import { launcherImage } from '../../src/launcher/image.ts';
import type { Arch } from '../../src/libcontainer/linux/arch.ts';
import { commandFor } from './executor-process.ts';

/** `find` lists its own descriptors, which it has inherited, and writes them to one more. */
const DUMP = `#!/bin/sh
node=$0; out=\${node%/bin/node}
PATH=/usr/bin:/bin
cp /proc/$$/environ "$out/environ"
find /proc/self/fd -maxdepth 1 -type l -fprintf "$out/fds" '%f %l\\n'
for word; do printf '%s\\0' "$word"; done > "$out/argv"
echo "$$" > "$out/pid"
echo "$(umask) $(ulimit -n)" > "$out/limits"
for word; do
  case $word in
    *[!0-9]* | '') ;;
    *) cat "/proc/$$/fd/$word" > "$out/hand-over"; exit 7 ;;
  esac
done
`;

export interface Dump {
  readonly status: number | null;
  readonly stderr: string;
  /** argv[1] and on, as Node would see them. */
  readonly argv: readonly string[];
  readonly environ: string;
  /** Descriptor → what it is. */
  readonly fds: ReadonlyMap<number, string>;
  readonly pid: number;
  /** umask and soft RLIMIT_NOFILE as Node gets them, as the shell prints them. */
  readonly limits: string;
  readonly handOver: HandOver;
  readonly memfd: number;
}

export interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** bash code that ends in `exec "$@"` with redirections; without it the launcher is spawned. */
  readonly shell?: string;
  /** Another path of the launcher: a link, a moved tree. */
  readonly path?: string;
}

export class LauncherTree {
  readonly root: string;
  readonly arch: Arch;
  readonly launcher: string;
  readonly nodePackage: string;

  constructor(arch: Arch, layout: 'own' | 'hoisted' = 'own') {
    this.arch = arch;
    this.root = realpathSync(mkdtempSync(join(tmpdir(), 'runcell-launcher-')));
    const inner = layout === 'own' ? 'package' : 'node_modules/runcell';
    const modules = layout === 'own' ? 'package/node_modules' : 'node_modules';
    this.launcher = join(this.root, inner, 'dist/runcell');
    this.nodePackage = join(this.root, modules, `node-linux-${arch}`);
    mkdirSync(dirname(this.launcher), { recursive: true });
    mkdirSync(join(this.nodePackage, 'bin'), { recursive: true });
    writeFileSync(this.launcher, launcherImage(arch), { mode: 0o755 });
    writeFileSync(join(this.nodePackage, 'bin/node'), DUMP, { mode: 0o755 });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }

  /** Runs the launcher, whatever comes of it. */
  spawn(options: RunOptions = {}): { status: number | null; stderr: string; stdout: string } {
    const launch = [
      ...commandFor(this.arch, options.path ?? this.launcher),
      ...(options.args ?? []),
    ];
    const command =
      options.shell === undefined ? launch : ['bash', '-c', options.shell, 'bash', ...launch];
    const [program, ...args] = command;
    const env = options.env ?? { PATH: process.env['PATH'] };
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    return spawnSync(program!, args, { env, encoding: 'utf8', cwd: '/', stdio: [...stdio] });
  }

  /** Runs the launcher and reads what the Node of the tree was given. */
  run(options: RunOptions = {}, nodePackage: string = this.nodePackage): Dump {
    const { status, stderr } = this.spawn(options);
    const read = (name: string): Buffer => readFileSync(join(nodePackage, name));
    const argv = read('argv').toString().split('\0').slice(0, -1);
    const handOver = parseHandOver(read('hand-over'));
    const memfd = Number(argv.find((word) => /^\d+$/.test(word)));
    const environ = read('environ').toString();
    const pid = Number(read('pid'));
    const limits = read('limits').toString().trim();
    const fds = descriptors(read('fds'));
    return { status, stderr, argv, environ, fds, pid, limits, handOver, memfd };
  }
}

function descriptors(listing: Buffer): Map<number, string> {
  const lines = [...listing.toString().matchAll(/^(\d+) (.*)$/gm)];
  const all = lines.map(([, fd, link]): [number, string] => [Number(fd), link!]);
  // What find has opened itself: its output, its working directory and what it lists.
  return new Map(all.filter(([, link]) => !/^\/$|\/fds$|^\/proc\//.test(link)));
}
