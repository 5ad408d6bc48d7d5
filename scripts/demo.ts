/**
 * `npm start` after the build: a container's life from the command line, on this machine, as root.
 *
 * Everything is below one temporary directory with a state root of its own: a root filesystem made
 * from programs that are here (a static busybox, or the host's shell and a few tools with their
 * libraries; nothing is downloaded), a bundle, and two containers. Each command is shown before it
 * runs. At the end, and after a failure as well, nothing of it is left.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** dist/runcell; the tests give another. */
const product = process.argv[2] ?? path.join(import.meta.dirname, '../dist/runcell');
const TOOLS = ['sh', 'sleep', 'cat', 'ls', 'echo', 'id', 'hostname', 'ps'];

function say(text: string): void {
  fs.writeSync(1, `${text}\n`);
}

/** Programs of this machine by name, also where a bare PATH misses the administrator's. */
function which(name: string): string | undefined {
  const places = `${process.env['PATH'] ?? ''}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`;
  for (const place of places.split(':')) {
    const file = `${place}/${name}`;
    if (place.startsWith('/') && fs.statSync(file, { throwIfNoEntry: false })?.isFile())
      return file;
  }
  return undefined;
}

/** Whether an ELF file needs no loader: elf(5), no PT_INTERP among its program headers. */
function isStatic(file: string): boolean {
  const PT_INTERP = 3;
  const image = fs.readFileSync(file);
  if (image.length < 64 || image.toString('latin1', 0, 4) !== '\x7fELF') return false;
  const [table, size, count] = [32, 54, 56].map((at, field) =>
    field === 0 ? Number(image.readBigUInt64LE(at)) : image.readUInt16LE(at),
  ) as [number, number, number];
  for (let i = 0; i < count; i++) {
    if (image.readUInt32LE(table + i * size) === PT_INTERP) return false;
  }
  return true;
}

/** Makes the root filesystem; says what it is made of. */
function makeRootfs(rootfs: string): string {
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'root']) {
    fs.mkdirSync(`${rootfs}/${name}`, { recursive: true });
  }
  fs.writeFileSync(`${rootfs}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
  fs.writeFileSync(`${rootfs}/etc/group`, 'root:x:0:\n');
  fs.writeFileSync(`${rootfs}/etc/os-release`, 'NAME="runcell demo"\n');
  const busybox = which('busybox');
  if (busybox !== undefined && isStatic(busybox)) {
    copy(busybox, `${rootfs}/bin/busybox`);
    for (const name of TOOLS) fs.symlinkSync('busybox', `${rootfs}/bin/${name}`);
    return `busybox from ${busybox}`;
  }
  const found = TOOLS.map((name) => [name, which(name)] as const);
  const libraries = new Set<string>();
  const copied: string[] = [];
  for (const [name, file] of found) {
    if (file === undefined) continue;
    copy(file, `${rootfs}/bin/${name}`);
    copied.push(name);
    for (const library of librariesOf(file)) libraries.add(library);
  }
  if (!copied.includes('sh') || !copied.includes('sleep')) {
    throw new Error('neither a static busybox nor sh and sleep are in PATH');
  }
  for (const library of libraries) copy(library, `${rootfs}${library}`);
  return `${copied.join(', ')} of this machine and ${libraries.size} libraries`;
}

/** The content alone: what is a link here (usrmerge, library versions) is a file there. */
function copy(from: string, to: string): void {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.copyFileSync(fs.realpathSync(from), to);
  fs.chmodSync(to, 0o755);
}

/** The loader and all libraries, `name => /path (0x…)` or `/path (0x…)` in the words of ldd(1). */
function librariesOf(file: string): string[] {
  if (isStatic(file)) return [];
  const text = execFileSync('ldd', [fs.realpathSync(file)], { encoding: 'utf8' });
  return [...text.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!);
}

class Demo {
  readonly directory: string;
  readonly root: string;
  readonly ids: readonly [string, string];
  /** Directories in /proc and the cgroup hierarchy that containers had. */
  readonly #kernel: string[] = [];

  constructor() {
    this.directory = fs.realpathSync(fs.mkdtempSync('/tmp/runcell-demo-'));
    this.root = `${this.directory}/root`;
    this.ids = [`demo-${process.pid}`, `demo-${process.pid}-image`];
  }

  /** Shows the command and runs it; it must succeed. */
  runcell(...args: string[]): void {
    const shown = args.map((word) => (/^[\w./:=-]+$/.test(word) ? word : `'${word}'`));
    say(`$ runcell ${shown.join(' ')}`);
    const { status, signal, error } = this.#spawn(args, 'inherit');
    if (status !== 0) throw new Error(`${error?.message ?? signal ?? `exit status ${status}`}`);
  }

  #spawn(args: readonly string[], output: 'inherit' | 'ignore') {
    const options = { stdio: ['ignore', output, output] as ('inherit' | 'ignore')[] };
    return spawnSync(product, ['--root', this.root, ...args], options);
  }

  run(): void {
    const [first, second] = this.ids;
    const bundle = `${this.directory}/bundle`;
    const rootfs = `${bundle}/rootfs`;
    say(`The root filesystem: ${makeRootfs(rootfs)}, in ${rootfs}`);
    say(`The state root of this demo: ${this.root} (--root, left out below)\n`);

    say('# a bundle: config.json beside rootfs/, changed to run without a terminal');
    this.runcell('spec', '--bundle', bundle);
    rewriteConfig(`${bundle}/config.json`);

    say('\n# the life of an OCI container');
    this.runcell('create', '--bundle', bundle, first);
    this.runcell('state', first);
    say('');
    this.runcell('start', first);
    this.runcell('list');
    this.runcell(
      'exec',
      first,
      'sh',
      '-c',
      'echo "here is process $$ in $(cat /proc/1/comm)"; ls /',
    );

    say('\n# a container over an image: an overlay, the image itself is never written to');
    const command = ['--command', '/bin/sleep', '--args', '1000', '--detach'];
    this.runcell('container', 'run', '--id', second, '--image', rootfs, ...command);
    this.runcell('container', 'list');
    for (const id of this.ids) this.#remember(id);
    const write = ['-c', 'echo written > /new; ls /'];
    const words = write.flatMap((word) => ['--args', word]);
    this.runcell('container', 'exec', '--id', second, '--command', '/bin/sh', ...words);
    if (fs.existsSync(`${rootfs}/new`)) throw new Error('the image was written to');
    this.runcell('container', 'delete', '--id', second);

    say('\n# the end');
    this.runcell('delete', '--force', first);
    this.runcell('container', 'list', '--all');
    const left = this.left();
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
    say('\nAll is gone: no process, mount, cgroup or directory of a container is left.');
  }

  /** What the kernel has of the container, from the state file (docs/state.md). */
  #remember(id: string): void {
    const state = JSON.parse(fs.readFileSync(`${this.root}/states/${id}/state.json`, 'utf8'));
    this.#kernel.push(`/proc/${state.init_process_pid}/exe`);
    if (state.cgroup_path !== '') this.#kernel.push(state.cgroup_path);
  }

  /** Mounts below the directory, entries of the state root, processes and cgroups. */
  left(): string[] {
    const mounts = fs
      .readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((target) => target.startsWith(this.directory));
    const entries = ['states', 'bundles', 'containers'].flatMap((name) => {
      const directory = `${this.root}/${name}`;
      return fs.existsSync(directory)
        ? fs.readdirSync(directory).map((entry) => `${directory}/${entry}`)
        : [];
    });
    return [...mounts, ...entries, ...this.#kernel.filter(isThere)];
  }

  cleanUp(): void {
    if (this.left().length > 0) {
      for (const id of this.ids) this.#spawn(['delete', '--force', id], 'ignore');
    }
    // Never delete through a mount that would not go.
    const left = this.left();
    if (left.length === 0) fs.rmSync(this.directory, { recursive: true });
    else say(`left behind: ${left.join(', ')}`);
  }
}

/** A process that has ended but was not reaped yet has no executable any more: proc_pid_exe(5). */
function isThere(file: string): boolean {
  if (!file.endsWith('/exe')) return fs.existsSync(file);
  try {
    fs.readlinkSync(file);
    return true;
  } catch {
    return false;
  }
}

function rewriteConfig(file: string): void {
  const config = JSON.parse(fs.readFileSync(file, 'utf8'));
  config.process.terminal = false;
  config.process.args = ['sleep', '1000'];
  fs.writeFileSync(file, JSON.stringify(config, null, 2));
}

function main(): number {
  if (process.geteuid?.() !== 0) {
    say('npm start needs root: a container without it is not supported yet');
    return 1;
  }
  const demo = new Demo();
  let status = 0;
  const stopped = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of stopped) process.on(signal, () => {});
  try {
    demo.run();
  } catch (thrown) {
    say(`npm start: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    status = 1;
  } finally {
    demo.cleanUp();
  }
  return status;
}

process.exitCode = main();
