/**
 * The test system's disk: debootstrap, a kernel of Debian's, a few files, an ext4 image by
 * `mke2fs -d`, and an initramfs. No partition, no boot loader: qemu is given kernel and initramfs.
 *
 * An image is made once, in a directory beside its place, and renamed there whole: what is in the
 * cache is complete. A lock lets one process build while the others wait for it (flock(1), since
 * a kernel lock dies with its holder). Below 2 minutes and 400 MB.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import {
  BOOT_MODULES,
  FILES,
  keyOf,
  type Recipe,
  recipeNamed,
  UNUSED_GENERATORS,
  USER,
} from './recipe.ts';

export interface Image {
  readonly disk: string;
  readonly kernel: string;
  readonly initramfs: string;
}

const cacheHome = process.env['XDG_CACHE_HOME'] ?? `${homedir()}/.cache`;
export const cacheDir = `${cacheHome}/runcell-vm`;

/** An image that nothing booted for so long goes when another one is made. */
const UNUSED_DAYS = 14;

const script = resolve(import.meta.dirname, '../vm.ts');

/** The image `name`, made now if the cache does not have it. */
export function image(name: string): Image {
  const dir = `${cacheDir}/${keyOf(recipeNamed(name))}`;
  if (!existsSync(dir)) {
    mkdirSync(cacheDir, { recursive: true });
    const locked = [`${cacheDir}/lock`, process.execPath, script, 'build-locked', name];
    const { status } = spawnSync('flock', locked, { stdio: ['ignore', 2, 2] });
    if (status !== 0 || !existsSync(dir)) throw new Error(`the image ${name} could not be made`);
  }
  const now = new Date();
  utimesSync(dir, now, now);
  return { disk: `${dir}/root.img`, kernel: `${dir}/vmlinuz`, initramfs: `${dir}/initramfs` };
}

/** Makes the image, under the lock that the caller holds. */
export function buildLocked(name: string): void {
  const recipe = recipeNamed(name);
  const dir = `${cacheDir}/${keyOf(recipe)}`;
  if (existsSync(dir)) return;
  const started = performance.now();
  console.error(`making the image ${name} (${recipe.suite}), once: ${dir}`);
  removeOld();
  const work = mkdtempSync(`${cacheDir}/building-`);
  try {
    build(recipe, work);
    rmSync(`${work}/root`, { recursive: true });
    rmSync(`${work}/kernel`, { recursive: true });
    renameSync(work, dir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.error(`made in ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

function removeOld(): void {
  for (const name of readdirSync(cacheDir)) {
    const path = `${cacheDir}/${name}`;
    if (!statSync(path).isDirectory()) continue;
    const days = (Date.now() - statSync(path).mtimeMs) / 86_400_000;
    // Nobody else builds now: a half build is of a process that was killed.
    if (name.startsWith('building-') || days > UNUSED_DAYS) rmSync(path, { recursive: true });
  }
}

/** Runs a tool; its output is shown only when it fails. */
function tool(file: string, args: readonly string[], cwd?: string): string {
  const options = { cwd, encoding: 'utf8', maxBuffer: 1 << 26 } as const;
  const { status, stdout, stderr, error } = spawnSync(file, args, options);
  if (status === 0) return stdout;
  const said = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-20).join('\n');
  throw new Error(
    `${file} ${args.join(' ')}: ${error?.message ?? `exit status ${status}`}\n${said}`,
  );
}

function build(recipe: Recipe, work: string): void {
  const root = `${work}/root`;
  const include = `--include=${recipe.packages.join(',')}`;
  tool('debootstrap', ['--variant=minbase', include, recipe.suite, root, recipe.mirror]);
  const release = takeKernel(recipe, work);
  furnish(recipe, root);
  makeInitramfs(work, release);
  const size = `${recipe.gigabytes}G`;
  // No journal: the machine is thrown away, and what it writes with it.
  const options = ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', root];
  tool('mke2fs', [...options, `${work}/root.img`, size]);
}

/** The kernel's files without its package's scripts; returns its release. */
function takeKernel({ kernelPackage }: Recipe, work: string): string {
  const root = `${work}/root`;
  const find = `apt-cache depends ${kernelPackage} | sed -n 's/.*Depends: //p' | head -n 1`;
  const fetch = `cd /tmp && apt-get -qq -o APT::Sandbox::User=root download "$(${find})"`;
  tool('chroot', [root, '/bin/sh', '-ec', fetch]);
  const deb = readdirSync(`${root}/tmp`).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new Error(`${kernelPackage}: nothing was downloaded`);
  tool('dpkg-deb', ['-x', `${root}/tmp/${deb}`, `${work}/kernel`]);
  rmSync(`${root}/tmp/${deb}`);
  const release = readdirSync(`${work}/kernel/usr/lib/modules`)[0]!;
  cpSync(`${work}/kernel/boot/vmlinuz-${release}`, `${work}/vmlinuz`);
  execFileSync('cp', ['-a', `${work}/kernel/usr/lib/modules`, `${root}/usr/lib/`]);
  tool('chroot', [root, 'depmod', release]);
  return release;
}

function furnish({ masked }: Recipe, root: string): void {
  for (const [name, text] of Object.entries(FILES)) {
    mkdirSync(dirname(`${root}/${name}`), { recursive: true });
    writeFileSync(`${root}/${name}`, text);
  }
  for (const unit of masked) symlinkSync('/dev/null', `${root}/etc/systemd/system/${unit}`);
  const generators = `${root}/etc/systemd/system-generators`;
  mkdirSync(generators, { recursive: true });
  for (const name of UNUSED_GENERATORS) symlinkSync('/dev/null', `${generators}/${name}`);
  tool('chroot', [root, 'systemctl', '--quiet', 'enable', 'runcell-job.service']);
  tool('chroot', [root, 'useradd', '-m', '-u', `${USER.uid}`, '-s', '/bin/bash', USER.name]);
  for (const name of ['subuid', 'subgid']) {
    const line = `${USER.name}:${USER.subordinate}:${USER.count}\n`;
    const path = `${root}/etc/${name}`;
    if (!readFileSync(path, 'latin1').includes(line)) appendFileSync(path, line);
  }
  for (const name of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/locale']) {
    rmSync(`${root}/${name}`, { recursive: true });
  }
}

function makeInitramfs(work: string, release: string): void {
  const dir = `${work}/kernel/initramfs`;
  for (const name of ['bin', 'dev', 'modules', 'root']) {
    mkdirSync(`${dir}/${name}`, { recursive: true });
  }
  cpSync(`${work}/root/usr/bin/busybox`, `${dir}/bin/busybox`);
  cpSync(`${import.meta.dirname}/initramfs.sh`, `${dir}/init`);
  chmodSync(`${dir}/init`, 0o755);
  const modules = `${work}/kernel/usr/lib/modules/${release}`;
  const builtIn = readFileSync(`${modules}/modules.builtin`, 'latin1');
  for (const [at, name] of BOOT_MODULES.entries()) {
    if (builtIn.includes(`/${name}.ko`)) continue;
    const found = tool('find', [modules, '-name', `${name}.ko*`]).trim();
    if (found === '') throw new Error(`linux ${release} has no module ${name}`);
    const target = `${dir}/modules/${at}-${name}.ko`;
    tool('sh', [
      '-ec',
      'case $1 in *.xz) xz -dc "$1";; *) cat "$1";; esac >"$2"',
      '-',
      found,
      target,
    ]);
  }
  tool('sh', ['-ec', `find . | cpio -o -H newc --quiet >${work}/initramfs`], dir);
}
