/** The architectures runcell emits code for, named as Node's process.arch names them. */
export type Arch = 'x64' | 'arm64';
