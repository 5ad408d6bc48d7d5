/**
 * What the arguments of each system call are (syscalls(2), section 2 of the manual).
 *
 * One row a call of linux/syscall.ts, one kind an argument; the printer and the static checks read
 * the same rows. Calls whose later arguments depend on a command compute the row from it.
 */

import * as bpf from '../../linux/bpf.ts';
import * as fcntl from '../../linux/fcntl.ts';
import * as mount from '../../linux/mount.ts';
import * as sched from '../../linux/sched.ts';
import * as socket from '../../linux/socket.ts';
import type { SYSCALLS } from '../../linux/syscall.ts';
import type { Word } from './image.ts';
import type { Kind } from './kinds.ts';
import { EXTRA } from './names.ts';

export type Signature = readonly Kind[] | ((args: readonly Word[]) => readonly Kind[]);

/** Every name that either architecture has. */
export type AnySyscall = keyof (typeof SYSCALLS)['x64'] | keyof (typeof SYSCALLS)['arm64'];

const PATH_AT: readonly Kind[] = ['dirFd', 'path'];
const SET_IDS: readonly Kind[] = ['id', 'id', 'id'];

export const SIGNATURES: Readonly<Record<AnySyscall, Signature>> = {
  // Descriptors and bytes.
  read: ['fd', 'buffer', 'number'],
  write: ['fd', 'bytes', 'number'],
  close: ['fd'],
  openat: (args) => [...PATH_AT, 'openFlags', ...(creates(args[2]!) ? (['octal'] as const) : [])],
  openat2: [...PATH_AT, 'in:open_how', 'number'],
  dup: ['fd'],
  dup3: ['fd', 'fd', 'openFlagsOnly'],
  fcntl: fcntlSignature,
  ioctl: ioctlSignature,
  lseek: ['fd', 'number', 'enum:seek'],
  pread64: ['fd', 'buffer', 'number', 'number'],
  pwrite64: ['fd', 'bytes', 'number', 'number'],
  pipe2: ['out:pair', 'openFlagsOnly'],
  memfd_create: ['text', 'flags:memfd'],
  copy_file_range: ['fd', 'out:word', 'fd', 'out:word', 'number', 'number'],
  sendfile: ['fd', 'fd', 'out:word', 'number'],
  ftruncate: ['fd', 'number'],
  flock: ['fd', 'flags:lock'],
  close_range: ['rangeFd', 'rangeFd', 'flags:closeRange'],
  eventfd2: ['number', 'openFlagsOnly'],
  epoll_create1: ['openFlagsOnly'],
  inotify_init1: ['openFlagsOnly'],
  getdents64: ['fd', 'buffer', 'number'],
  sync: [],
  getrandom: ['buffer', 'number', 'flags:random'],
  // Paths.
  chdir: ['path'],
  fchdir: ['fd'],
  chroot: ['path'],
  getcwd: ['buffer', 'number'],
  pivot_root: ['path', 'path'],
  mkdirat: [...PATH_AT, 'octal'],
  mknodat: [...PATH_AT, 'nodeMode', 'device'],
  symlinkat: ['text', ...PATH_AT],
  unlinkat: [...PATH_AT, 'flags:atUnlink'],
  renameat2: [...PATH_AT, ...PATH_AT, 'flags:rename'],
  linkat: [...PATH_AT, ...PATH_AT, 'flags:at'],
  readlinkat: [...PATH_AT, 'buffer', 'number'],
  fchmodat: [...PATH_AT, 'octal'],
  fchmodat2: [...PATH_AT, 'octal', 'flags:at'],
  fchownat: [...PATH_AT, 'id', 'id', 'flags:at'],
  fchmod: ['fd', 'octal'],
  fchown: ['fd', 'id', 'id'],
  faccessat2: [...PATH_AT, 'flags:access', 'flags:atAccess'],
  statx: [...PATH_AT, 'flags:at', 'flags:statx', 'out:statx'],
  newfstatat: [...PATH_AT, 'out:stat', 'flags:at'],
  fstatfs: ['fd', 'out:statfs'],
  statfs: ['path', 'out:statfs'],
  // Mounts.
  mount: ['path', 'path', 'text', 'flags:ms', 'text'],
  umount2: ['path', 'flags:umount'],
  open_tree: [...PATH_AT, 'flags:openTree'],
  move_mount: [...PATH_AT, ...PATH_AT, 'flags:moveMount'],
  fsopen: ['text', 'flags:fsopen'],
  fsconfig: fsconfigSignature,
  fsmount: ['fd', 'flags:fsmount', 'flags:mountAttr'],
  fspick: [...PATH_AT, 'flags:fspick'],
  mount_setattr: [...PATH_AT, 'flags:atRecursive', 'in:mount_attr', 'number'],
  // Processes.
  execve: ['path', 'argv', 'envp'],
  execveat: [...PATH_AT, 'argv', 'envp', 'flags:at'],
  exit_group: ['number'],
  clone3: ['in:clone_args', 'number'],
  clone: ['cloneFlags', 'address', 'address', 'address', 'address'],
  wait4: ['pid', 'out:int', 'flags:wait', 'out:rusage'],
  waitid: ['enum:idType', 'number', 'out:siginfo', 'flags:wait', 'out:rusage'],
  kill: ['pid', 'signal'],
  getpid: [],
  getppid: [],
  gettid: [],
  setsid: [],
  setpgid: ['pid', 'pid'],
  setns: ['fd', 'flags:clone'],
  unshare: ['flags:clone'],
  pidfd_open: ['pid', 'flags:pidfd'],
  pidfd_send_signal: ['fd', 'signal', 'address', 'number'],
  pidfd_getfd: ['fd', 'fd', 'number'],
  prctl: prctlSignature,
  arch_prctl: ['enum:archPrctl', 'number'],
  nanosleep: ['in:timespec', 'out:timespec'],
  clock_gettime: ['enum:clock', 'out:timespec'],
  futex: ['address', 'enum:futex', 'number', 'in:timespec', 'address', 'number'],
  mmap: ['address', 'number', 'flags:protection', 'flags:map', 'fd', 'number'],
  munmap: ['address', 'number'],
  mprotect: ['address', 'number', 'flags:protection'],
  // Identity and limits.
  getuid: [],
  setuid: ['id'],
  setresuid: SET_IDS,
  setresgid: SET_IDS,
  setgroups: ['number', 'groups'],
  umask: ['octal'],
  capset: ['capabilityHeader', 'capabilitySets'],
  capget: ['capabilityHeader', 'buffer'],
  uname: ['buffer'],
  seccomp: ['enum:seccomp', 'flags:seccomp', 'filter'],
  bpf: bpfSignature,
  keyctl: keyctlSignature,
  prlimit64: ['pid', 'enum:rlimit', 'in:rlimit', 'out:rlimit'],
  sched_setattr: ['pid', 'in:sched_attr', 'number'],
  sched_setaffinity: ['pid', 'number', 'cpus'],
  ioprio_set: ['enum:ioprioWho', 'pid', 'ioPriority'],
  setpriority: ['enum:priorityWho', 'pid', 'int'],
  set_mempolicy: ['memoryPolicy', 'nodes', 'number'],
  personality: ['enum:persona'],
  sethostname: ['bytes', 'number'],
  setdomainname: ['bytes', 'number'],
  // Sockets, signals, waiting.
  socket: ['enum:addressFamily', 'socketType', 'number'],
  connect: ['fd', 'socketAddress', 'number'],
  bind: ['fd', 'socketAddress', 'number'],
  listen: ['fd', 'number'],
  accept4: ['fd', 'address', 'address', 'flags:socket'],
  sendmsg: ['fd', 'message', 'flags:message'],
  recvmsg: ['fd', 'message', 'flags:message'],
  sendto: ['fd', 'datagram', 'number', 'flags:message', 'socketAddress', 'number'],
  recvfrom: ['fd', 'buffer', 'number', 'flags:message', 'address', 'address'],
  shutdown: ['fd', 'enum:shutdown'],
  getsockopt: (args) => [
    'fd',
    'enum:socketLevel',
    'enum:socketOption',
    args[2]?.value === BigInt(EXTRA['SO_PEERCRED']!) ? 'out:ucred' : 'out:word',
    'out:int',
  ],
  setsockopt: ['fd', 'enum:socketLevel', 'enum:socketOption', 'bytes', 'number'],
  rt_sigaction: ['signal', 'in:sigaction', 'out:sigaction', 'number'],
  rt_sigprocmask: ['enum:sigmask', 'signalSet', 'out:word', 'number'],
  signalfd4: ['fd', 'signalSet', 'number', 'openFlagsOnly'],
  ppoll: ['pollFds', 'number', 'in:timespec', 'signalSet', 'number'],
};

/** The kinds of a call's arguments. */
export function signatureOf(name: AnySyscall, args: readonly Word[]): readonly Kind[] {
  const signature = SIGNATURES[name];
  return typeof signature === 'function' ? signature(args) : signature;
}

/** The value of a command argument, undefined when it is only known when the op runs. */
function command(word: Word | undefined): number | undefined {
  return word === undefined || word.loaded ? undefined : Number(BigInt.asUintN(32, word.value));
}

/** O_TMPFILE needs a mode as O_CREAT does: open(2). */
function creates(flags: Word): boolean {
  return !flags.loaded && (flags.value & BigInt(fcntl.O_CREAT | 0o20000000)) !== 0n;
}

function fcntlSignature(args: readonly Word[]): readonly Kind[] {
  const head: Kind[] = ['fd', 'enum:fcntl'];
  switch (command(args[1])) {
    case fcntl.F_GETFD:
    case fcntl.F_GETFL:
    case fcntl.F_GET_SEALS:
      return head;
    case fcntl.F_SETFD:
      return [...head, 'flags:fd'];
    case fcntl.F_SETFL:
      return [...head, 'openFlags'];
    case fcntl.F_ADD_SEALS:
      return [...head, 'flags:seals'];
    default:
      return [...head, 'number'];
  }
}

function ioctlSignature(args: readonly Word[]): readonly Kind[] {
  const head: Kind[] = ['fd', 'enum:ioctl'];
  switch (command(args[1])) {
    case sched.NS_GET_NSTYPE:
    case EXTRA['NS_GET_USERNS']:
    case EXTRA['NS_GET_PARENT']:
      return head;
    case socket.TIOCGPTPEER:
      return [...head, 'openFlags'];
    case socket.TIOCSPTLCK:
      return [...head, 'intAt'];
    case socket.TIOCSWINSZ:
      return [...head, 'in:winsize'];
    case EXTRA['TIOCGWINSZ']:
      return [...head, 'out:winsize'];
    case EXTRA['TIOCGPTN']:
      return [...head, 'out:int'];
    case socket.SIOCGIFFLAGS:
    case socket.SIOCSIFFLAGS:
      return [...head, 'interfaceRequest'];
    default:
      return [...head, 'number'];
  }
}

/** fsconfig(2): which of key, value and aux mean something. */
function fsconfigSignature(args: readonly Word[]): readonly Kind[] {
  const head: Kind[] = ['fd', 'enum:fsconfig'];
  switch (command(args[1])) {
    case mount.FSCONFIG_SET_FLAG:
      return [...head, 'text'];
    case EXTRA['FSCONFIG_SET_BINARY']:
      return [...head, 'text', 'bytes', 'number'];
    case EXTRA['FSCONFIG_SET_PATH']:
    case EXTRA['FSCONFIG_SET_PATH_EMPTY']:
      return [...head, 'text', 'path', 'dirFd'];
    case EXTRA['FSCONFIG_SET_FD']:
      return [...head, 'text', 'null', 'fd'];
    case mount.FSCONFIG_SET_STRING:
      return [...head, 'text', 'text'];
    default:
      return head;
  }
}

function bpfSignature(args: readonly Word[]): readonly Kind[] {
  switch (command(args[0])) {
    case bpf.BPF_PROG_LOAD:
      return ['enum:bpf', 'bpfLoad', 'number'];
    case bpf.BPF_PROG_ATTACH:
      return ['enum:bpf', 'bpfAttach', 'number'];
    default:
      return ['enum:bpf', 'bytes', 'number'];
  }
}

function prctlSignature(args: readonly Word[]): readonly Kind[] {
  switch (command(args[0])) {
    case sched.PR_CAPBSET_DROP:
      return ['enum:prctl', 'enum:capability'];
    case sched.PR_CAP_AMBIENT:
      return command(args[1]) === sched.PR_CAP_AMBIENT_CLEAR_ALL
        ? ['enum:prctl', 'enum:ambient']
        : ['enum:prctl', 'enum:ambient', 'enum:capability'];
    case sched.PR_SET_NAME:
      return ['enum:prctl', 'text'];
    case EXTRA['PR_SET_PDEATHSIG']:
      return ['enum:prctl', 'signal'];
    case EXTRA['PR_SET_SECCOMP']:
      return ['enum:prctl', 'number', 'address'];
    default:
      return ['enum:prctl', 'number'];
  }
}

function keyctlSignature(args: readonly Word[]): readonly Kind[] {
  switch (command(args[0])) {
    case sched.KEYCTL_JOIN_SESSION_KEYRING:
      return ['enum:keyctl', 'text'];
    case sched.KEYCTL_SETPERM:
      return ['enum:keyctl', 'number', 'permission'];
    case EXTRA['KEYCTL_DESCRIBE']:
      return ['enum:keyctl', 'number', 'buffer', 'number'];
    default:
      return ['enum:keyctl', 'number', 'number', 'number', 'number'];
  }
}
