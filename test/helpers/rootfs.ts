/**
 * A root filesystem for the tests: the host's static busybox, a link for each of its applets, and
 * the few files of /etc that the runtime reads.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';

const BUSYBOX = '/bin/busybox';

/** Names with an id each; `mapped` has a home that only passwd knows. */
const PASSWD = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
1000:x:0:0:a name made of digits:/root:/bin/sh
alice:x:1001:1001:Alice:/home/alice:/bin/sh
bob:x:1002:1002::/home/bob:/bin/sh
`;
const GROUP = `root:x:0:
tty:x:5:
wheel:x:10:alice
alice:x:1001:
bob:x:1002:
shared:x:2000:alice,bob
`;

let applets: string[] | undefined;

function appletNames(): string[] {
  applets ??= execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => name !== '' && name !== 'busybox');
  return applets;
}

/** Makes the directory `dir` and fills it. */
export function makeRootfs(dir: string): string {
  for (const name of ['bin', 'dev', 'etc', 'home/alice', 'proc', 'root', 'run', 'sys', 'tmp']) {
    mkdirSync(`${dir}/${name}`, { recursive: true, mode: 0o755 });
  }
  chmodSync(`${dir}/tmp`, 0o1777);
  copyFileSync(BUSYBOX, `${dir}/bin/busybox`);
  chmodSync(`${dir}/bin/busybox`, 0o755);
  for (const name of appletNames()) symlinkSync('busybox', `${dir}/bin/${name}`);
  writeFileSync(`${dir}/etc/passwd`, PASSWD);
  writeFileSync(`${dir}/etc/group`, GROUP);
  writeFileSync(`${dir}/etc/os-release`, 'NAME="runcell test"\nID=runcelltest\n');
  return dir;
}

export interface ElfOptions {
  /** `e_machine`, elf.h. */
  readonly machine: number;
  readonly interpreter?: string;
}

/** A 64-bit little-endian executable that no kernel of another architecture will run. */
export function makeElf(path: string, { machine, interpreter }: ElfOptions): void {
  const name = interpreter === undefined ? undefined : Buffer.from(`${interpreter}\0`);
  const headers = 64 + 56 * 2;
  const image = Buffer.alloc(headers + (name?.length ?? 0) + 16);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(image);
  image.writeUInt16LE(2, 16); // ET_EXEC
  image.writeUInt16LE(machine, 18);
  image.writeUInt32LE(1, 20);
  image.writeBigUInt64LE(0x400000n, 24); // e_entry
  image.writeBigUInt64LE(64n, 32); // e_phoff
  image.writeUInt16LE(64, 52);
  image.writeUInt16LE(56, 54);
  image.writeUInt16LE(name === undefined ? 1 : 2, 56);
  const segment = (at: number, type: number, offset: number, size: number) => {
    image.writeUInt32LE(type, at);
    image.writeUInt32LE(5, at + 4); // R-X
    image.writeBigUInt64LE(BigInt(offset), at + 8);
    image.writeBigUInt64LE(0x400000n + BigInt(offset), at + 16);
    image.writeBigUInt64LE(0x400000n + BigInt(offset), at + 24);
    image.writeBigUInt64LE(BigInt(size), at + 32);
    image.writeBigUInt64LE(BigInt(size), at + 40);
    image.writeBigUInt64LE(4096n, at + 48);
  };
  if (name === undefined) {
    segment(64, 1, 0, image.length); // PT_LOAD
  } else {
    name.copy(image, headers);
    segment(64, 3, headers, name.length); // PT_INTERP
    segment(64 + 56, 1, 0, image.length);
  }
  writeFileSync(path, image, { mode: 0o755 });
}
