/**
 * The few libc calls a test engine needs and Node does not have, through koffi.
 *
 * A test process plays the engine (runtime-cli.md §0.4): it is the subreaper of the containers it
 * creates, reaps their init and learns its status; it receives the console's master and pidfds as
 * SCM_RIGHTS. prctl(2) PR_SET_CHILD_SUBREAPER, waitpid(2), unix(7), recvmsg(2).
 * Invariant: nothing here blocks; callers poll.
 */

import koffi from 'koffi';

const PR_SET_CHILD_SUBREAPER = 36; // linux/prctl.h
const WNOHANG = 1; // linux/wait.h
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const P_ALL = 0;
const SIGINFO_PID = 4; // index of si_pid in the 32-bit words of siginfo_t, after three words and padding
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EAGAIN = 11;
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;

const libc = koffi.load(null);
koffi.struct('test_iovec', { base: 'void *', len: 'size_t' });
koffi.struct('test_msghdr', {
  name: 'void *',
  namelen: 'uint32_t',
  iov: 'test_iovec *',
  iovlen: 'size_t',
  control: 'void *',
  controllen: 'size_t',
  flags: 'int',
});

const prctl = libc.func('int prctl(int option, long a, long b, long c, long d)');
const waitpid = libc.func('int waitpid(int pid, int *status, int options)');
const waitid = libc.func('int waitid(int type, int id, _Inout_ int *info, int options)');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, void *address, uint32_t length)');
const listen = libc.func('int listen(int fd, int backlog)');
const accept4 = libc.func('int accept4(int fd, void *address, void *length, int flags)');
const sendto = libc.func(
  'long sendto(int fd, void *data, size_t length, int flags, void *address, uint32_t size)',
);
const recvmsg = libc.func('long recvmsg(int fd, _Inout_ test_msghdr *message, int flags)');
const closeFd = libc.func('int close(int fd)');
const syscall = libc.func('long syscall(long n, long a, long b, long c, long d)');

function check(result: number, call: string): number {
  if (result < 0) throw new Error(`${call}: errno ${koffi.errno()}`);
  return result;
}

/** Orphans of this process's descendants become its children from now on. */
export function becomeSubreaper(): void {
  check(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'prctl');
}

export interface WaitStatus {
  readonly exited?: number;
  readonly signalled?: number;
}

/** The status of a dead child of this process, which is reaped; undefined while it lives. */
export function reap(pid: number): WaitStatus | undefined {
  const status = new Int32Array(1);
  const result = check(waitpid(pid, status, WNOHANG), `waitpid ${pid}`);
  if (result === 0) return undefined;
  const word = status[0]!;
  return (word & 0x7f) === 0 ? { exited: (word >> 8) & 0xff } : { signalled: word & 0x7f };
}

/** The pid of some dead child of this process, which is not reaped. */
export function deadChild(): number | undefined {
  const info = new Int32Array(32);
  if (waitid(P_ALL, 0, info, WNOHANG | WEXITED | WNOWAIT) < 0) return undefined; // ECHILD
  return info[SIGINFO_PID]! > 0 ? info[SIGINFO_PID] : undefined;
}

/** A pidfd of `pid`, which the caller closes. */
export function openPidfd(pid: number): number {
  return check(Number(syscall(SYS_pidfd_open, pid, 0, 0, 0)), 'pidfd_open');
}

/** Sends `signal` through a pidfd; false when the process is gone. */
export function signalPidfd(pidfd: number, signal: number): boolean {
  return Number(syscall(SYS_pidfd_send_signal, pidfd, signal, 0, 0)) === 0;
}

export function close(fd: number): void {
  check(closeFd(fd), 'close');
}

function sockaddr(path: string): Buffer {
  const bytes = Buffer.from(path);
  if (bytes.length > 107) throw new Error(`socket path too long: ${path}`);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}

function bound(path: string, type: number): number {
  const fd = check(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket');
  const address = sockaddr(path);
  check(bind(fd, address, address.length), `bind ${path}`);
  return fd;
}

export function listenStream(path: string): number {
  const fd = bound(path, SOCK_STREAM);
  check(listen(fd, 8), 'listen');
  return fd;
}

export function bindDatagram(path: string): number {
  return bound(path, SOCK_DGRAM);
}

/** One datagram to the socket at `path`. */
export function sendDatagram(path: string, text: string): void {
  const fd = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
  const data = Buffer.from(text);
  const address = sockaddr(path);
  const sent = Number(sendto(fd, data, data.length, MSG_DONTWAIT, address, address.length));
  const errno = koffi.errno();
  close(fd);
  if (sent !== data.length) throw new Error(`sendto ${path}: errno ${errno}`);
}

/** A connection, or undefined when none waits. */
export function accept(listener: number): number | undefined {
  const fd = accept4(listener, null, null, SOCK_CLOEXEC);
  if (fd >= 0) return fd;
  if (koffi.errno() === EAGAIN) return undefined;
  throw new Error(`accept4: errno ${koffi.errno()}`);
}

export interface Received {
  readonly data: Buffer;
  readonly fds: readonly number[];
}

/** One message with its descriptors (marked close-on-exec), or undefined when none waits. */
export function receive(fd: number): Received | undefined {
  const data = Buffer.alloc(8192);
  const control = Buffer.alloc(512);
  const message = {
    name: null,
    namelen: 0,
    iov: [{ base: data, len: data.length }],
    iovlen: 1,
    control,
    controllen: control.length,
    flags: 0,
  };
  const length = Number(recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length < 0) {
    if (koffi.errno() === EAGAIN) return undefined;
    throw new Error(`recvmsg: errno ${koffi.errno()}`);
  }
  return { data: data.subarray(0, length), fds: descriptors(control, Number(message.controllen)) };
}

/** Walks the control messages: {u64 length, i32 level, i32 type, payload} each padded to 8 bytes. */
function descriptors(control: Buffer, length: number): number[] {
  const fds: number[] = [];
  for (let at = 0; at + 16 <= length; ) {
    const size = Number(control.readBigUInt64LE(at));
    if (size < 16) break;
    const rights =
      control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS;
    for (let one = at + 16; rights && one + 4 <= at + size; one += 4) {
      fds.push(control.readInt32LE(one));
    }
    at += (size + 7) & ~7;
  }
  return fds;
}
