/** Console sockets: the checks, addresses, long paths. */

import { spawn } from 'node:child_process';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  bindNotifySocket,
  makeNotifyDirectory,
  relayReady,
} from '../../../src/libcontainer/console/notify.ts';
import { notifyDirectoryOf } from '../../../src/libcontainer/console/notify-directory.ts';
import {
  checkConsole,
  checkSocketPath,
  fitsSockaddr,
  sendDescriptor,
  splitSocketPath,
  throughDirectory,
  withSocketPath,
} from '../../../src/libcontainer/console/socket.ts';
import { checked, pidfdOpen, syscall } from '../../../src/libcontainer/native/libc.ts';
import {
  bindUnix,
  connectUnix,
  receiveMessage,
  sendMessage,
  unixSocket,
} from '../../../src/libcontainer/native/socket.ts';

const [SOCK_STREAM, SOCK_DGRAM] = [1, 2];
let directory: string;
let opened: number[];

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/runcell-socket-`);
  opened = [];
});
afterEach(() => {
  for (const fd of opened) closeSync(fd);
  rmSync(directory, { recursive: true });
});

function socketAt(path: string, type: number): number {
  const fd = unixSocket(type);
  opened.push(fd);
  withSocketPath(path, (fitting) => bindUnix(fd, fitting));
  if (type === SOCK_STREAM) checked(syscall('listen', fd, 5), 'listen');
  return fd;
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe('checkConsole', () => {
  const noSocket = 'cannot allocate tty if runc will detach without setting console socket';
  const noUse = 'cannot use console socket if runc will not detach or allocate tty';

  it('wants a socket exactly for a detached terminal, in the words of runc', () => {
    const path = `${directory}/s`;
    socketAt(path, SOCK_STREAM);
    const said = (terminal: boolean, detach: boolean, consoleSocket?: string) => {
      try {
        checkConsole({ terminal, detach, consoleSocket });
      } catch (thrown) {
        return (thrown as Error).message;
      }
      return 'ok';
    };
    expect(said(false, false)).toBe('ok');
    expect(said(false, true)).toBe('ok');
    expect(said(true, false)).toBe('ok');
    expect(said(true, true)).toBe(noSocket);
    expect(said(true, true, '')).toBe(noSocket);
    expect(said(true, true, path)).toBe('ok');
    expect(said(true, false, path)).toBe(noUse);
    expect(said(false, true, path)).toBe(noUse);
    expect(said(false, false, path)).toBe(noUse);
  });

  it('refuses a path that is no socket', () => {
    writeFileSync(`${directory}/file`, '');
    socketAt(`${directory}/s`, SOCK_STREAM);
    symlinkSync(`${directory}/s`, `${directory}/link`);
    const check = (name: string) => () => checkSocketPath(`${directory}/${name}`, 'console socket');
    expect(check('none')).toThrowError(`console socket ${directory}/none: no such file`);
    expect(check('file')).toThrowError(`console socket ${directory}/file: not a socket`);
    expect(check('link')).toThrowError('not a socket');
  });
});

describe('sendDescriptor', () => {
  /** What arrives at the listening socket. */
  function accepted(listener: number) {
    const connection = checked(syscall('accept4', listener, 0, 0, 0), 'accept4');
    opened.push(connection);
    const message = receiveMessage(connection, 4096)!;
    opened.push(...message.descriptors);
    return message;
  }

  it('sends one message with one descriptor', () => {
    const listener = socketAt(`${directory}/s`, SOCK_STREAM);
    const fd = openSync('/dev/zero', 'r');
    opened.push(fd);
    sendDescriptor(`${directory}/s`, 'standard', fd);
    const message = accepted(listener);
    expect(text(message.payload)).toBe('standard');
    expect(message.descriptors).toHaveLength(1);
    const received = statSync(`/proc/self/fd/${message.descriptors[0]}`);
    expect(received.rdev).toBe(statSync('/dev/zero').rdev);
  });

  it('reaches a socket whose path is longer than an address', () => {
    const deep = `${directory}/${'d'.repeat(100)}`;
    mkdirSync(deep);
    const path = `${deep}/socket`;
    expect(fitsSockaddr(path)).toBe(false);
    expect(splitSocketPath(path)).toEqual({ directory: deep, name: 'socket' });
    expect(splitSocketPath('/s')).toEqual({ directory: '/', name: 's' });
    expect(throughDirectory(7, 'socket')).toBe('/proc/self/fd/7/socket');
    const listener = socketAt(path, SOCK_STREAM);
    expect(lstatSync(path).isSocket()).toBe(true);
    sendDescriptor(path, 'x', listener);
    expect(text(accepted(listener).payload)).toBe('x');
  });

  it('names the path when nobody listens', () => {
    const path = `${directory}/s`;
    closeSync(socketAt(path, SOCK_STREAM));
    opened.pop();
    expect(() => sendDescriptor(path, 'x', 0)).toThrowError(
      `connect ${path}: connection refused (ECONNREFUSED)`,
    );
  });
});

describe('the notify socket', () => {
  /** A client in the container: sends the texts with pauses, then stays. */
  function container(...texts: string[]) {
    const path = `${notifyDirectoryOf(directory)}/notify.sock`;
    const program = `
import socket, sys, time, array
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in sys.argv[1:]:
    time.sleep(0.05)
    s.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))], 0, ${JSON.stringify(path)})
time.sleep(0.2)`;
    const child = spawn('python3', ['-c', program, ...texts], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const initPidfd = pidfdOpen(child.pid!)!;
    opened.push(initPidfd);
    return initPidfd;
  }

  it('is there for any user, in a directory any user can enter', () => {
    using socket = bindNotifySocket(directory);
    expect(statSync(socket.directory).mode & 0o777).toBe(0o755);
    expect(statSync(`${socket.directory}/notify.sock`).mode & 0o777).toBe(0o777);
  });

  it('is bound where `create` made the directory, and over one that was left behind', () => {
    const made = makeNotifyDirectory(directory);
    expect(statSync(made).mode & 0o777).toBe(0o755);
    for (let time = 0; time < 2; time++) bindNotifySocket(directory)[Symbol.dispose]();
    expect(lstatSync(`${made}/notify.sock`).isSocket()).toBe(true);
  });

  it.each(['path', 'abstract'])(
    'tells the manager that the container is ready, and its pid [%s]',
    (kind) => {
      using socket = bindNotifySocket(directory);
      const hostSocket = kind === 'path' ? `${directory}/host` : `@runcell-test-${process.pid}`;
      const host = socketAt(hostSocket, SOCK_DGRAM);
      const initPidfd = container('STATUS=starting', 'X=1\nREADY=1\nSTATUS=up');
      // the manager takes the barrier's descriptor in another process, as systemd would
      const manager = spawn(
        'python3',
        [
          '-c',
          `
import socket, time
s = socket.socket(fileno=3)
time.sleep(0.4)
print(s.recv(4096)); print(s.recv(4096), flush=True)`,
        ],
        { stdio: ['ignore', 'pipe', 'inherit', host] },
      );
      let said = '';
      manager.stdout!.on('data', (bytes: Buffer) => {
        said += bytes.toString();
      });
      const ended = new Promise((done) => manager.on('close', done));
      expect(relayReady(socket, { initPidfd, hostSocket, mainPid: 4242 })).toBe('ready');
      return ended.then(() => {
        expect(said).toBe("b'READY=1\\nMAINPID=4242'\nb'BARRIER=1'\n");
      });
    },
  );

  it('says died when init ends without being ready', () => {
    using socket = bindNotifySocket(directory);
    const initPidfd = container('STATUS=starting', 'NOTREADY=1');
    const relay = { initPidfd, hostSocket: `${directory}/host`, mainPid: 1 };
    expect(relayReady(socket, relay)).toBe('died');
  });

  it('keeps no descriptor that the container sends', () => {
    using socket = bindNotifySocket(directory);
    const client = unixSocket(SOCK_DGRAM);
    opened.push(client);
    connectUnix(client, `${socket.directory}/notify.sock`);
    socketAt(`${directory}/host`, SOCK_DGRAM);
    const before = openSync('/dev/null', 'r');
    closeSync(before);
    for (let n = 0; n < 5; n++) sendMessage(client, Buffer.from(`STATUS=${n}`), [0, 0]);
    const initPidfd = container();
    const relay = { initPidfd, hostSocket: `${directory}/host`, mainPid: 1 };
    expect(relayReady(socket, relay)).toBe('died');
    const after = openSync('/dev/null', 'r');
    closeSync(after);
    // the pidfd took the number that was free before
    expect(after).toBeLessThanOrEqual(before + 3);
  });
});
