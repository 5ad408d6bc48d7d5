/**
 * The rules of security.md §4.2 as check.ts decides them: paths, mounts, descriptors, tolerated
 * errors. Every case is the smallest program that differs from a sound one in one thing.
 */

import { describe, expect, test } from 'vitest';
import {
  type Program,
  ProgramBuilder,
  type Slot,
} from '../../../src/libcontainer/program/builder.ts';
import { type CheckOptions, checkProgram } from '../../../src/libcontainer/program/check.ts';

const CLOEXEC = 0o2000000;
const NOFOLLOW = 0o400000;
const O_PATH = 0o10000000;
const AT_FDCWD = -100;

type Build = (b: ProgramBuilder, fd: Slot) => void;

/** The program that `build` makes, ended. */
function program(build: Build): Program {
  const b = new ProgramBuilder('x64');
  b.section('test', 'check');
  build(b, b.slot('fd'));
  b.end();
  return b.finish();
}

function problems(build: Build, options?: CheckOptions): string[] {
  return checkProgram(program(build), options);
}

function openAt(
  b: ProgramBuilder,
  fd: Slot,
  path: string,
  flags: number,
  dir: Slot | number,
): void {
  b.call('openat', [dir, b.string(path), flags], { into: fd });
}

function inRoot(b: ProgramBuilder, path: string, resolve: number, flags = O_PATH | CLOEXEC): void {
  const root = b.slot('root');
  b.call('openat2', [root, b.string(path), b.words([flags, 0, resolve]), 24], {
    into: b.slot('found'),
  });
}

describe('P1: paths', () => {
  const single = (name: 'mkdirat' | 'mknodat' | 'unlinkat', path: string): Build => {
    return (b, fd) => b.call(name, [fd, b.string(path), 0o644]);
  };

  test.each<[string, Build]>([
    ['openat2 in the root, no magic links', (b) => inRoot(b, 'a/../b', 0x12)],
    ['openat2 beneath, no links at all', (b) => inRoot(b, 'sys/kernel', 0x0c)],
    ['a single component that is made', single('mkdirat', 'dev')],
    [
      'a single component opened without following',
      (b, fd) => openAt(b, b.slot('n'), 'null', CLOEXEC | NOFOLLOW, fd),
    ],
    ['the directory itself', (b, fd) => openAt(b, b.slot('n'), '.', CLOEXEC, fd)],
    ['the descriptor itself', (b, fd) => b.call('fchownat', [fd, b.string(''), 0, 0, 0x1000])],
    ['a host path', (b, fd) => openAt(b, fd, '/srv/image', CLOEXEC, AT_FDCWD)],
    [
      'anything in a filesystem made here',
      (b, fd) => {
        b.call('fsmount', [b.slot('fs'), 1, 0], { into: fd });
        b.call('mkdirat', [fd, b.string('a/b'), 0o755]);
      },
    ],
    [
      'what a link contains',
      (b, fd) => b.call('symlinkat', [b.string('/proc/self/fd'), fd, b.string('fd')]),
    ],
  ])('%s: allowed', (_, build) => {
    expect(problems(build)).toEqual([]);
  });

  test.each<[string, Build, RegExp]>([
    ['openat2 without bounds', (b) => inRoot(b, 'a', 0x02), /P1: openat2 is not bounded/],
    ['openat2 with magic links', (b) => inRoot(b, 'a', 0x10), /P1: openat2 follows magic links/],
    ['two components', single('mkdirat', 'a/b'), /P1: mkdirat of a\/b, more than one component/],
    [
      'the parent directory',
      single('unlinkat', '..'),
      /P1: unlinkat of \.\., more than one component/,
    ],
    [
      'a component that is followed',
      (b, fd) => openAt(b, b.slot('n'), 'null', CLOEXEC, fd),
      /P1: openat of null follows a link/,
    ],
    [
      'a mode change that follows',
      (b, fd) => b.call('fchmodat', [fd, b.string('null'), 0o666]),
      /P1: fchmodat of null follows/,
    ],
    [
      'an absolute path beside a descriptor',
      (b, fd) => openAt(b, b.slot('n'), '/etc', CLOEXEC, fd),
      /P1: openat of \/etc beside a descriptor/,
    ],
    [
      'a path relative to the working directory',
      (b, fd) => openAt(b, fd, 'etc', CLOEXEC, AT_FDCWD),
      /relative to the working directory/,
    ],
    [
      'an empty path without the flag',
      (b, fd) => b.call('fchownat', [fd, b.string(''), 0, 0, 0]),
      /P1: fchownat of ''/,
    ],
    [
      'move_mount without the flag',
      (b, fd) => b.call('move_mount', [fd, b.string(''), fd, b.string(''), 4]),
      /P1: move_mount of ''/,
    ],
    [
      'a path that is only known later',
      (b, fd) => b.call('openat', [AT_FDCWD, fd, CLOEXEC]),
      /P1: openat of a path not known here/,
    ],
  ])('%s: a problem', (_, build, expected) => {
    expect(problems(build).join('\n')).toMatch(expected);
  });

  test('in the container an absolute path opens nothing', () => {
    const open: Build = (b, fd) => openAt(b, fd, '/etc/passwd', CLOEXEC, AT_FDCWD);
    expect(problems(open, { root: 'host' })).toEqual([]);
    expect(problems(open, { root: 'container' })).toEqual([
      'op 0: P1: openat of /etc/passwd in the container',
    ]);
  });

  test('but for the root itself', () => {
    const open: Build = (b, fd) => openAt(b, fd, '/', CLOEXEC | O_PATH, AT_FDCWD);
    expect(problems(open, { root: 'container' })).toEqual([]);
  });

  test('after joining a mount namespace a host path is the container’s', () => {
    const join = (flags: number): string[] =>
      problems((b, fd) => {
        b.call('setns', [fd, flags]);
        openAt(b, b.slot('n'), '/srv', CLOEXEC, AT_FDCWD);
      });
    expect(join(0x40000000)).toEqual([]);
    expect(join(0x20000)).toEqual(['op 1: P1: openat of /srv in the container']);
  });
});

describe('P2: mounts', () => {
  test.each<[string, Build, RegExp]>([
    [
      'mount by path',
      (b) => b.call('mount', [b.string('/a'), b.string('/b'), 0, 0x1000, 0]),
      /P2: mount/,
    ],
    ['umount of a path', (b) => b.call('umount2', [b.string('/mnt'), 2]), /P2: umount2 of \/mnt/],
    [
      'umount of . before the pivot',
      (b) => b.call('umount2', [b.string('.'), 2]),
      /P2: umount2 of \./,
    ],
    [
      'pivot_root by path',
      (b) => b.call('pivot_root', [b.string('/a'), b.string('/a/old')]),
      /P2: pivot_root by path/,
    ],
    ['chroot by path', (b) => b.call('chroot', [b.string('/a')]), /P2: chroot to a path/],
  ])('%s: a problem', (_, build, expected) => {
    expect(problems(build).join('\n')).toMatch(expected);
  });

  test('the old proc is detached only before the root changes', () => {
    const detach: Build = (b) => b.call('umount2', [b.string('/proc'), 2]);
    expect(problems(detach)).toEqual([]);
    expect(problems(detach, { root: 'container' })).toEqual(['op 0: P2: umount2 of /proc']);
  });

  test('a mount point of the host by its name alone', () => {
    expect(problems((b) => b.call('umount2', [b.string('rootfs'), 8 | 2]))).toEqual([]);
    expect(problems((b) => b.call('umount2', [b.string('rootfs'), 2]))).not.toEqual([]);
  });
});

describe('P3: no path through a descriptor', () => {
  test.each([
    '/proc/self/fd/7',
    '/proc/thread-self/fd/3/x',
    '/proc/12/fd',
    '/dev/fd/4',
    '/proc/self/task/1/fd/2',
  ])('%s', (path) => {
    const found = problems((b, fd) => openAt(b, fd, path, CLOEXEC, AT_FDCWD));
    expect(found).toEqual([`op 0: P3: openat through ${path}`]);
    const inside = problems((b) => b.call('chdir', [b.string(path)]), { root: 'container' });
    expect(inside).toEqual([`op 0: P3: chdir through ${path}`]);
  });

  test.each(['/proc/self/ns/user', '/dev/fdx', '/proc/self/fdinfo'])('%s is none', (path) => {
    expect(problems((b, fd) => openAt(b, fd, path, CLOEXEC, AT_FDCWD))).toEqual([]);
  });
});

describe('P4: descriptors', () => {
  test.each<[string, Build]>([
    ['openat', (b, fd) => openAt(b, fd, '/a', 0, AT_FDCWD)],
    ['openat2', (b) => inRoot(b, 'a', 0x12, O_PATH)],
    ['pipe2', (b) => b.call('pipe2', [b.space(8), 0])],
    ['socket', (b, fd) => b.call('socket', [1, 1, 0], { into: fd })],
    ['memfd_create', (b, fd) => b.call('memfd_create', [b.string('m'), 2], { into: fd })],
    ['fsopen', (b, fd) => b.call('fsopen', [b.string('proc'), 0], { into: fd })],
    ['fsmount', (b, fd) => b.call('fsmount', [3, 0, 0], { into: fd })],
    ['open_tree', (b, fd) => b.call('open_tree', [3, b.string(''), 0x1001], { into: fd })],
    ['dup3', (b, fd) => b.call('dup3', [fd, 7, 0])],
    ['signalfd4', (b, fd) => b.call('signalfd4', [-1, b.words([0]), 8, 0], { into: fd })],
    ['TIOCGPTPEER', (b, fd) => b.call('ioctl', [fd, 0x5441, 2])],
  ])('%s is born close-on-exec', (name, build) => {
    expect(problems(build)).toEqual([`op 0: P4: ${name} is not close-on-exec`]);
  });

  test('dup and F_DUPFD never are', () => {
    expect(problems((b, fd) => b.call('dup', [fd]))).toEqual([
      'op 0: P4: dup makes a descriptor that survives execve',
    ]);
    expect(problems((b, fd) => b.call('fcntl', [fd, 0, 10]))).toEqual([
      'op 0: P4: F_DUPFD is not close-on-exec',
    ]);
  });

  test('standard descriptors and kept numbers are declared', () => {
    expect(
      problems((b, fd) => {
        for (const number of [0, 1, 2]) b.call('dup3', [fd, number, 0]);
        b.call('fcntl', [5, 2, 0]);
      }),
    ).toEqual([]);
    expect(problems((b, fd) => b.call('fcntl', [fd, 2, 0]))).toEqual([
      'op 0: P4: F_SETFD keeps a descriptor that is not declared',
    ]);
  });

  test('a closed one is not used again', () => {
    expect(
      problems((b, fd) => {
        b.call('close', [fd]);
        b.call('fchdir', [fd]);
        b.call('close', [fd]);
      }),
    ).toEqual([
      'op 1: P4: fchdir uses fd, which is closed',
      'op 2: P4: close uses fd, which is closed',
    ]);
  });

  test('one that could not be opened is not closed', () => {
    expect(
      problems((b, fd) => {
        const missing = b.label();
        b.call('openat', [AT_FDCWD, b.string('/a'), CLOEXEC], {
          into: fd,
          tolerate: ['ENOENT'],
          onError: missing,
        });
        b.place(missing);
        b.call('close', [fd]);
      }),
    ).toEqual([]); // on one of two ways only: not decided
    expect(
      problems((b, fd) => {
        const [missing, done] = [b.label(), b.label()];
        b.call('openat', [AT_FDCWD, b.string('/a'), CLOEXEC], {
          into: fd,
          tolerate: ['ENOENT'],
          onError: missing,
        });
        b.jump(done);
        b.place(missing);
        b.call('close', [fd]);
        b.place(done);
      }),
    ).toEqual(['op 2: P4: close uses fd, which is closed']);
  });

  test('an open one is not overwritten', () => {
    expect(
      problems((b, fd) => {
        openAt(b, fd, '/a', CLOEXEC, AT_FDCWD);
        openAt(b, fd, '/b', CLOEXEC, AT_FDCWD);
        b.sum(fd, -1);
      }),
    ).toEqual([
      'op 1: P4: fd is overwritten while its descriptor is open',
      'op 2: P4: fd is overwritten while its descriptor is open',
    ]);
  });

  test('a clone gives the parent a new pidfd in a place whose pidfd was closed', () => {
    const clone = (closes: 'parent' | 'child'): string[] =>
      problems((b, pidfd) => {
        const args = b.space(88);
        b.setU64(args, 0x1000);
        b.setU64(args.plus(8), pidfd.address);
        const child = b.label();
        b.call('close', [pidfd]);
        b.call('clone3', [args, 88], { into: b.slot('pid'), onZero: child });
        if (closes === 'parent') b.call('close', [pidfd]);
        b.call('exit_group', [0]);
        b.place(child);
        if (closes === 'child') b.call('close', [pidfd]);
      });
    expect(clone('parent')).toEqual([]);
    expect(clone('child')).toEqual(['op 3: P4: close uses fd, which is closed']);
  });

  test('close_range to the end comes before execve', () => {
    const swept = (last: number): string[] =>
      problems((b) => {
        b.call('close_range', [3, last, 0]);
        const failed = b.label();
        b.call('execve', [b.string('/x'), b.stringArray([]), b.stringArray([])], {
          onError: failed,
        });
        b.place(failed);
      });
    expect(swept(0xffffffff)).toEqual([]);
    expect(swept(9)).toEqual(['op 1: P4: execve without close_range before it']);
  });
});

describe('P7: tolerated errors', () => {
  test.each<[string, Build]>([
    [
      'mount_setattr tolerates EPERM',
      (b, fd) =>
        b.call('mount_setattr', [fd, b.string(''), 0x1000, b.words([1, 0, 0, 0]), 32], {
          tolerate: ['EPERM'],
        }),
    ],
    [
      'capset tolerates EPERM',
      (b) => {
        const header = b.words([0x20080522n]);
        b.call('capset', [header, b.space(24)], { tolerate: ['EPERM'] });
      },
    ],
    [
      'setresuid tolerates EINVAL',
      (b) => b.call('setresuid', [1000, 1000, 1000], { tolerate: ['EINVAL'] }),
    ],
    ['prctl tolerates EPERM', (b) => b.call('prctl', [38, 1], { tolerate: ['EPERM'] })],
    [
      'openat2 tolerates EPERM',
      (b, fd) =>
        b.call('openat2', [fd, b.string('a'), b.words([O_PATH | CLOEXEC, 0, 0x12]), 24], {
          tolerate: ['EPERM'],
        }),
    ],
  ])('%s', (problem, build) => {
    expect(problems(build)).toEqual([`op 0: P7: ${problem}`]);
  });

  test('no call that matters tolerates every error', () => {
    const every = (name: 'openat2' | 'sethostname'): string[] =>
      problems((b, fd) => {
        const next = b.label();
        if (name === 'openat2') {
          const how = b.words([O_PATH | CLOEXEC, 0, 0x12]);
          b.call('openat2', [fd, b.string('a'), how, 24], { onError: next });
        } else {
          b.call('sethostname', [b.string('x'), 1], { onError: next });
        }
        b.place(next);
      });
    expect(every('openat2')).toEqual(['op 0: P7: openat2 tolerates every error']);
    expect(every('sethostname')).toEqual(['op 0: P7: sethostname tolerates every error']);
  });

  test('an empty range below a descriptor that is known later is no error', () => {
    const close = (last: 'later' | 'known', flags = 0): string[] =>
      problems((b, fd) =>
        b.call('close_range', [3, last === 'later' ? fd : 9, flags], { tolerate: ['EINVAL'] }),
      );
    const refused = ['op 0: P7: close_range tolerates EINVAL'];
    expect(close('later')).toEqual([]);
    expect(close('later', 4)).toEqual(refused);
    expect(close('known')).toEqual(refused);
  });

  test('but for the root of a user namespace that has just been entered', () => {
    const become: Build = (b) => b.call('setresgid', [0, 0, 0], { tolerate: ['EINVAL'] });
    expect(problems(become)).toEqual([]);
  });

  test('a supervisor catches every error and keeps its descriptors for the compiler', () => {
    const build: Build = (b, fd) => {
      const finish = b.label();
      b.call('flock', [fd, 6], { onError: finish });
      b.place(finish);
      b.call('execve', [b.string('/usr/bin/runcell'), b.stringArray(['runcell']), b.words([0])]);
    };
    expect(problems(build, { process: 'supervisor' })).toEqual([]);
    expect(problems(build)).toEqual([
      'op 0: P7: flock tolerates every error',
      'op 1: P4: execve without close_range before it',
    ]);
  });

  test('but for reading something to tell, and last words', () => {
    expect(
      problems((b, fd) => {
        const [unread, last] = [b.label(), b.label()];
        const how = b.words([CLOEXEC | 0o4000, 0, 0x12]);
        b.call('openat2', [fd, b.string('etc/passwd'), how, 24], {
          into: b.slot('p'),
          onError: unread,
        });
        b.place(unread);
        b.call('write', [1, b.string('x'), 1], { onError: last });
        b.place(last);
        b.call('exit_group', [1]);
      }),
    ).toEqual([]);
  });
});
