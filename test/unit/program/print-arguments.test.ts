/**
 * The printer's decoders: one row an argument kind, the structs, and the tables behind them.
 */

import { describe, expect, test } from 'vitest';
import { SYSCALLS, type SyscallName } from '../../../src/libcontainer/linux/syscall.ts';
import {
  CTL,
  ERR,
  Loaded,
  ProgramBuilder,
  RECORD_ADDRESS,
  type Value,
} from '../../../src/libcontainer/program/builder.ts';
import { CODE_BASE, SIGNAL_EXIT } from '../../../src/libcontainer/program/op.ts';
import { EXTRA, exportedNumbers } from '../../../src/libcontainer/program/print/names.ts';
import { SIGNATURES } from '../../../src/libcontainer/program/print/signatures.ts';
import { printOp, printProgram } from '../../../src/libcontainer/program/print.ts';

/** The line of one call, without its number. */
function line(
  name: SyscallName,
  args: (b: ProgramBuilder) => readonly Value[],
  arch: 'x64' | 'arm64' = 'x64',
): string {
  const b = new ProgramBuilder(arch);
  b.call(name, args(b));
  return printOp(b.finish(), 0, { numbers: false }).trim();
}

describe('arguments', () => {
  test.each<[SyscallName, (b: ProgramBuilder) => readonly Value[], string]>([
    ['close', () => [-1], 'close(-1)'],
    [
      'openat',
      (b) => [-100, b.string('/a'), 0o2000101, 0o600],
      'openat(AT_FDCWD, "/a", O_WRONLY|O_CREAT|O_CLOEXEC, 0600)',
    ],
    [
      'openat',
      (b) => [3, b.string('a'), 0o12600000],
      'openat(3, "a", O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC|O_PATH)',
    ],
    ['dup3', () => [5, 0, 0o2000000], 'dup3(5, 0, O_CLOEXEC)'],
    ['dup3', () => [5, 0, 0], 'dup3(5, 0, 0)'],
    [
      'mknodat',
      (b) => [3, b.string('null'), 0o020666, 0x103],
      'mknodat(3, "null", S_IFCHR|0666, makedev(1, 3))',
    ],
    [
      'mknodat',
      (b) => [3, b.string('d'), 0o060600, 0xfff12345],
      'mknodat(3, "d", S_IFBLK|0600, makedev(291, 1048389))',
    ],
    [
      'symlinkat',
      (b) => [b.string('/proc/self/fd'), 3, b.string('fd')],
      'symlinkat("/proc/self/fd", 3, "fd")',
    ],
    ['setresuid', () => [0, 0xffffffff, 1000], 'setresuid(0, -1, 1000)'],
    [
      'setgroups',
      (b) => {
        const list = b.space(8);
        b.setU32(list, 5);
        b.setU32(list.plus(4), 4294967294);
        return [2, list];
      },
      'setgroups(2, [5, 4294967294])',
    ],
    ['kill', () => [-1, 15], 'kill(-1, SIGTERM)'],
    ['pidfd_send_signal', () => [3, 0, 0, 0], 'pidfd_send_signal(3, 0, NULL, 0)'],
    ['unshare', () => [0x80 | 0x2000000], 'unshare(CLONE_NEWTIME|CLONE_NEWCGROUP)'],
    ['prctl', () => [24, 21], 'prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)'],
    ['prctl', () => [47, 2, 12], 'prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN)'],
    ['prctl', () => [47, 4], 'prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)'],
    ['prctl', (b) => [15, b.string('init')], 'prctl(PR_SET_NAME, "init")'],
    ['prctl', () => [1, 9], 'prctl(PR_SET_PDEATHSIG, SIGKILL)'],
    [
      'fcntl',
      () => [3, 1033, 15],
      'fcntl(3, F_ADD_SEALS, F_SEAL_SEAL|F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE)',
    ],
    ['fcntl', () => [3, 2, 1], 'fcntl(3, F_SETFD, FD_CLOEXEC)'],
    ['fcntl', () => [3, 1], 'fcntl(3, F_GETFD)'],
    ['ioctl', () => [3, 0x5441, 0o2000402], 'ioctl(3, TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)'],
    ['ioctl', (b) => [3, 0x40045431, b.words([0])], 'ioctl(3, TIOCSPTLCK, [0])'],
    ['ioctl', () => [3, 0xb703], 'ioctl(3, NS_GET_NSTYPE)'],
    ['ioctl', () => [3, 0x1234, 1], 'ioctl(3, 4660, 1)'],
    [
      'fsconfig',
      (b) => [3, 1, b.string('mode'), b.string('755'), 0],
      'fsconfig(3, FSCONFIG_SET_STRING, "mode", "755")',
    ],
    ['fsconfig', (b) => [3, 0, b.string('ro'), 0, 0], 'fsconfig(3, FSCONFIG_SET_FLAG, "ro")'],
    ['fsconfig', () => [3, 6, 0, 0, 0], 'fsconfig(3, FSCONFIG_CMD_CREATE)'],
    [
      'fsconfig',
      (b) => [3, 5, b.string('upperdir'), 0, 7],
      'fsconfig(3, FSCONFIG_SET_FD, "upperdir", NULL, 7)',
    ],
    [
      'fsmount',
      () => [3, 1, 0x2f],
      'fsmount(3, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC|MOUNT_ATTR_STRICTATIME)',
    ],
    [
      'mount_setattr',
      (b) => [3, b.string(''), 0x9000, b.words([1, 0x70, 1 << 19, 9]), 32],
      'mount_setattr(3, "", AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=MOUNT_ATTR__ATIME, propagation=MS_SLAVE, userns_fd=9}, 32)',
    ],
    ['close_range', () => [3, 0xffffffff, 4], 'close_range(3, ~0, CLOSE_RANGE_CLOEXEC)'],
    [
      'prlimit64',
      (b) => [0, 7, b.words([1024, -1]), 0],
      'prlimit64(0, RLIMIT_NOFILE, {soft=1024, hard=RLIM_INFINITY}, NULL)',
    ],
    [
      'ioprio_set',
      () => [2, 0, (2 << 13) | 4],
      'ioprio_set(IOPRIO_WHO_PGRP, 0, IOPRIO_CLASS_BE|4)',
    ],
    ['personality', () => [8], 'personality(LINUX32)'],
    ['sethostname', (b) => [b.string('box'), 2], 'sethostname("bo", 2)'],
    ['lseek', () => [3, -1, 2], 'lseek(3, -1, SEEK_END)'],
    [
      'ppoll',
      (b) => [b.words([5n | (1n << 32n)]), 1, b.words([300, 0]), 0, 0],
      'ppoll([{5, POLLIN}], 1, {sec=300, nsec=0}, NULL, 0)',
    ],
    [
      'keyctl',
      (b) => [1, b.string('_ses.x'), 0, 0, 0],
      'keyctl(KEYCTL_JOIN_SESSION_KEYRING, "_ses.x")',
    ],
    [
      'faccessat2',
      (b) => [-100, b.string('/b'), 1, 0x200],
      'faccessat2(AT_FDCWD, "/b", X_OK, AT_EACCESS)',
    ],
    ['unlinkat', (b) => [3, b.string('d'), 0x200], 'unlinkat(3, "d", AT_REMOVEDIR)'],
    ['umount2', (b) => [b.string('.'), 2], 'umount2(".", MNT_DETACH)'],
    ['socket', () => [1, 0o2000001, 0], 'socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0)'],
    ['rt_sigprocmask', (b) => [2, b.words([0n]), 0, 8], 'rt_sigprocmask(SIG_SETMASK, [], NULL, 8)'],
    [
      'rt_sigprocmask',
      (b) => [0, b.words([0x4002n]), 0, 8],
      'rt_sigprocmask(SIG_BLOCK, [SIGINT SIGTERM], NULL, 8)',
    ],
    [
      'signalfd4',
      (b) => [-1, b.words([(1n << 64n) - 1n - (1n << 8n)]), 8, 0o2000000],
      'signalfd4(-1, ~[SIGKILL], 8, O_CLOEXEC)',
    ],
    [
      'memfd_create',
      (b) => [b.string('m'), 0x13],
      'memfd_create("m", MFD_CLOEXEC|MFD_ALLOW_SEALING|MFD_EXEC)',
    ],
    [
      'sched_setaffinity',
      (b) => [0, 8, b.words([0b100001111n])],
      'sched_setaffinity(0, 8, [0-3,8])',
    ],
    ['write', () => [1, CODE_BASE, 1024], 'write(1, image, 1024)'],
    ['write', () => [1, RECORD_ADDRESS, 32], 'write(1, &record, 32)'],
  ])('%s', (name, args, expected) => {
    expect(line(name, args)).toBe(expected);
  });

  test('flags that differ by architecture are named by it', () => {
    const args = (b: ProgramBuilder): Value[] => [3, b.string('a'), 0o2140000];
    expect(line('openat', args, 'arm64')).toBe(
      'openat(3, "a", O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC)',
    );
    expect(line('openat', args)).toBe('openat(3, "a", O_RDONLY|O_DIRECT|O_LARGEFILE|O_CLOEXEC)');
  });

  test('what has no name is a number', () => {
    expect(line('openat', (b) => [3, b.string('a'), 0x80000000])).toContain('0x80000000');
    expect(line('mkdirat', () => [3, 0, 0])).toBe('mkdirat(3, NULL, 0)');
    expect(line('prctl', () => [999, 1])).toBe('prctl(999, 1)');
  });

  test('words beyond the signature are shown', () => {
    expect(line('close', () => [3, 0, 9])).toBe('close(3, !9)');
    expect(line('getpid', () => [1])).toBe('getpid(!1)');
  });

  test('addresses outside are shown as addresses', () => {
    expect(line('chdir', () => [0x1234])).toBe('chdir(0x1234)');
    expect(line('capset', () => [0x1234, 0x5678])).toBe('capset(0x1234, 0x5678)');
  });
});

describe('structs', () => {
  test('clone_args with a descriptor stored at run time', () => {
    const b = new ProgramBuilder('x64');
    const [pid, pidfd] = [b.slot('pid'), b.slot('pidfd')];
    const child = b.label();
    const args = b.space(88);
    b.setU64(args, 0x200000000 + 0x1000);
    b.setU64(args.plus(8), pidfd.address);
    b.setU64(args.plus(32), 17);
    b.call('openat', [-100, b.string('/c'), 0o2000000], { into: args.plus(80) });
    b.call('clone3', [args, 88], { into: pid, onZero: child });
    b.place(child);
    const program = b.finish();
    expect(printOp(program, 0)).toContain('= clone3.cgroup');
    expect(printOp(program, 1)).toContain(
      'clone3({flags=CLONE_PIDFD|CLONE_INTO_CGROUP, pidfd=&pidfd, exit_signal=SIGCHLD, ' +
        'cgroup=<stored>}, 88) = pid  0→2',
    );
  });

  test('sigaction with the executor’s handler', () => {
    const handler = (b: ProgramBuilder): Value[] => [
      15,
      b.words([SIGNAL_EXIT, 0x4000000, SIGNAL_EXIT, 0]),
      0,
      8,
    ];
    expect(line('rt_sigaction', handler)).toBe(
      'rt_sigaction(SIGTERM, {handler=signal_exit, flags=SA_RESTORER, restorer=signal_exit}, NULL, 8)',
    );
    expect(line('rt_sigaction', (b) => [13, b.space(32), 0, 8])).toContain('{handler=SIG_DFL}');
  });

  test('capability sets of both halves', () => {
    expect(
      line('capset', (b) => {
        const [header, sets] = [b.space(8), b.space(24)];
        b.setU32(header, 0x20080522);
        b.setU32(sets, 1 << 5);
        b.setU32(sets.plus(4), 3);
        b.setU32(sets.plus(12), 1 << 8);
        return [header, sets];
      }),
    ).toBe(
      'capset({V3, 0}, {effective=CAP_KILL|CAP_CHECKPOINT_RESTORE, ' +
        'permitted=CAP_CHOWN|CAP_DAC_OVERRIDE, inheritable=0})',
    );
  });

  test('sched_attr', () => {
    const attr = (b: ProgramBuilder): Value[] => {
      const at = b.space(48);
      b.setU32(at, 48);
      b.setU32(at.plus(4), 6);
      b.setU64(at.plus(8), 1);
      b.setU32(at.plus(16), -5);
      b.setU64(at.plus(24), 1000000);
      return [0, at, 0];
    };
    expect(line('sched_setattr', attr)).toBe(
      'sched_setattr(0, {size=48, policy=SCHED_DEADLINE, flags=SCHED_FLAG_RESET_ON_FORK, ' +
        'nice=-5, runtime=1000000}, 0)',
    );
  });

  test('a message with a descriptor and a unix address', () => {
    const b = new ProgramBuilder('x64');
    const fd = b.slot('master');
    const control = b.words([20, 1n | (1n << 32n), 0]);
    const iov = b.words([b.string('hello'), 5]);
    const message = b.words([0, 0, iov, 1, control, 24, 0]);
    const address = b.bytes(new Uint8Array([1, 0, 0x2f, 0x73, 0]));
    b.sum(control.plus(16), fd);
    b.call('sendmsg', [3, message, 0x4000]);
    b.call('connect', [3, address, 5]);
    const program = b.finish();
    expect(printOp(program, 0)).toContain('store sendmsg rights[0] = master');
    expect(printOp(program, 1)).toContain(
      'sendmsg(3, {iov=["hello"], control=[{SCM_RIGHTS, [<stored>]}]}, MSG_NOSIGNAL)',
    );
    expect(printOp(program, 2)).toContain('connect(3, {AF_UNIX, "/s"}, 5)');
  });

  test('an interface request and a window size', () => {
    const ifreq = (b: ProgramBuilder): Value[] => {
      const at = b.space(40);
      b.setU16(at, 0x6f6c);
      b.setU16(at.plus(16), 0x41);
      return [3, 0x8914, at];
    };
    expect(line('ioctl', ifreq)).toBe('ioctl(3, SIOCSIFFLAGS, {"lo", IFF_UP|IFF_RUNNING})');
    const size = (b: ProgramBuilder): Value[] => [3, 0x5414, b.words([24n | (80n << 16n)])];
    expect(line('ioctl', size)).toBe('ioctl(3, TIOCSWINSZ, {rows=24, columns=80})');
  });

  test('buffers that the kernel fills are named after their call', () => {
    const b = new ProgramBuilder('x64');
    const [pair, buffer, other] = [b.space(8), b.space(64), b.space(8)];
    b.call('pipe2', [pair, 0o2000000]);
    b.call('read', [new Loaded(pair), buffer, 64]);
    b.call('write', [new Loaded(pair.plus(4)), buffer, 64]);
    b.call('read', [3, other, 8]);
    const program = b.finish();
    expect(Array.from({ length: 4 }, (_, i) => printOp(program, i).slice(5))).toEqual([
      'pipe2(&pipe2, O_CLOEXEC)',
      'read(pipe2[0], &read#1, 64)',
      'write(pipe2[1], &read#1, 64)',
      'read(3, &read#2, 8)',
    ]);
  });

  test('messages to the compiler', () => {
    const b = new ProgramBuilder('x64');
    const pid = b.slot('pid');
    const message = b.words([1, 0, 0, 0]);
    b.sum(message.plus(8), pid);
    b.call('write', [CTL, message, 32]);
    const long = b.words([6, 0, 0, 2, 0x6968]);
    b.call('write', [ERR, long, 34]);
    const program = b.finish();
    expect(printOp(program, 0)).toContain('store message#1.a = pid');
    expect(printOp(program, 1)).toContain('write(ctl, {tag=1, a=<stored>, b=0, length=0}, 32)');
    expect(printOp(program, 2)).toContain('write(err, {tag=6, a=0, b=0, length=2} + "hi", 34)');
  });

  test('words of the data that belong to no struct are variables', () => {
    const b = new ProgramBuilder('x64');
    const [first, second] = [b.words([0]), b.words([0])];
    b.call('getpid', [], { into: second });
    b.sum(first, new Loaded(second));
    const program = b.finish();
    expect(printProgram(program)).toContain('getpid() = word\n   1 store word#2 = word\n');
  });
});

describe('tables', () => {
  test('every system call has a signature of at most six arguments', () => {
    const names = new Set([...Object.keys(SYSCALLS.x64), ...Object.keys(SYSCALLS.arm64)]);
    expect(new Set(Object.keys(SIGNATURES))).toEqual(names);
    for (const [name, signature] of Object.entries(SIGNATURES)) {
      const args = Array.from({ length: 6 }, () => ({ value: 0n, loaded: false }));
      const kinds = typeof signature === 'function' ? signature(args) : signature;
      expect(kinds.length, name).toBeLessThanOrEqual(6);
    }
  });

  test('every system call prints with nothing, with numbers and with loaded words', () => {
    for (const arch of ['x64', 'arm64'] as const) {
      for (const name of Object.keys(SYSCALLS[arch]) as SyscallName[]) {
        const b = new ProgramBuilder(arch);
        const slot = b.slot('s');
        b.call(name, []);
        b.call(name, [-1, -1, -1, -1, -1, -1]);
        b.call(name, [slot, slot, slot, slot, slot, slot]);
        const program = b.finish();
        for (let i = 0; i < 3; i++) {
          expect(printOp(program, i, { numbers: false }).trim()).toMatch(
            new RegExp(`^${name}\\(.*\\)$`),
          );
        }
      }
    }
  });

  test('the printer’s own constants agree with those of linux/', () => {
    for (const [name, value] of exportedNumbers()) {
      if (name in EXTRA) expect(value, name).toBe(EXTRA[name]);
    }
  });
});
