/** The foreground terminal, driven through node-pty. */

import { type ChildProcess, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BundledScript, bundleScript } from '../../helpers/bundle.ts';

/** The part of node-pty that is used; its own types are declared under the name it is an alias of. */
interface Pty {
  readonly pid: number;
  onData(listener: (data: string) => void): void;
  write(data: string): void;
  resize(cols: number, rows: number): void;
}
interface NodePty {
  spawn(file: string, args: string[], options: { name: string; cols: number; rows: number }): Pty;
}
const nodePty = createRequire(import.meta.url)('node-pty') as NodePty;

/** relayTerminal around a process on a pty of its own, as a container's would be. */
let host: BundledScript;

beforeAll(() => {
  host = bundleScript(`
    import { closeSync, constants, openSync, writeSync } from 'node:fs';
    import { fitTerminal, relayTerminal } from './src/libcontainer/console/terminal.ts';
    import { checked, pidfdOpen, reap, syscall } from './src/libcontainer/native/libc.ts';
    import { spawnProcess } from './src/libcontainer/native/spawn.ts';
    const [mode, ...args] = process.argv.slice(2);
    const masterFd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
    checked(syscall('ioctl', masterFd, 0x40045431, new Int32Array(1)), 'unlock');
    const slave = checked(syscall('ioctl', masterFd, 0x5441, constants.O_RDWR | constants.O_NOCTTY), 'peer');
    const descriptors = [0, 1, 2].map((to) => ({ from: slave, to }));
    const env = ['PATH=/usr/bin:/bin', 'PS1=inside> ', 'ENV='];
    const pid = spawnProcess({ path: '/usr/bin/setsid', args: ['setsid', '-c', ...args], env, descriptors });
    closeSync(slave);
    const pidfd = pidfdOpen(pid)!;
    // somebody else reaps the process: the exit code cannot be had, and the relay throws
    if (mode === 'break') setTimeout(() => reap(pid), 300);
    fitTerminal(masterFd);
    relayTerminal({ masterFd, pidfd }).then(
      (code) => process.reallyExit(code),
      (error) => { writeSync(2, 'relay: ' + error.message + '\\n'); process.reallyExit(99); },
    );
  `);
});
afterAll(() => host.remove());

/** A person at a terminal, whose shell runs the host. */
class Person {
  readonly pty: Pty;
  text = '';

  constructor(command: readonly string[], mode = 'plain', size = { cols: 80, rows: 24 }) {
    const line = [process.execPath, host.path, mode, ...command]
      .map((word) => `'${word}'`)
      .join(' ');
    const script = `before=$(stty -g); ${line}; code=$?; [ "$before" = "$(stty -g)" ] && m=same || m=changed; echo "code=$code modes=$m"`;
    this.pty = nodePty.spawn('/bin/sh', ['-c', script], { name: 'xterm', ...size });
    this.pty.onData((data) => {
      this.text += data;
    });
  }

  /** Waits until the text is on the screen and forgets everything up to it. */
  async sees(wanted: string): Promise<string> {
    const until = Date.now() + 15_000;
    while (!this.text.includes(wanted)) {
      if (Date.now() > until) throw new Error(`no ${wanted} in ${JSON.stringify(this.text)}`);
      await new Promise((done) => setTimeout(done, 5));
    }
    const end = this.text.indexOf(wanted) + wanted.length;
    const seen = this.text.slice(0, end);
    this.text = this.text.slice(end);
    return seen;
  }

  types(text: string): void {
    this.pty.write(text);
  }

  /** The pid of the host below the person's shell, once it is there. */
  async hostPid(): Promise<number> {
    for (let tries = 0; tries < 1000; tries++) {
      const { stdout } = spawnSync('pgrep', ['-P', String(this.pty.pid), '-f', host.path]);
      const pid = Number(stdout.toString().trim());
      // 0 would mean our own process group to kill(2)
      if (pid > 1) return pid;
      await new Promise((done) => setTimeout(done, 10));
    }
    throw new Error('no host below the shell');
  }
}

describe('a session at a terminal', () => {
  it('has a prompt, echoes once, and ends with the exit code of the shell', async () => {
    const person = new Person(['sh', '-i']);
    await person.sees('inside> ');
    person.types('echo $((6*7))\r');
    const seen = await person.sees('42\r\n');
    expect(seen.split('echo').length).toBe(2);
    person.types('exit 7\r');
    await person.sees('code=7 modes=same');
  });

  it('has the size of the user terminal, also after it changes', async () => {
    const person = new Person(['sh', '-i'], 'plain', { cols: 91, rows: 31 });
    await person.sees('inside> ');
    person.types('stty size\r');
    await person.sees('31 91');
    person.types('until [ "$(stty size)" = "40 120" ]; do sleep 0.05; done; echo resi""zed\r');
    person.pty.resize(120, 40);
    await person.sees('resized\r\n');
    person.types('exit\r');
    await person.sees('modes=same');
  });

  it('gives ctrl-C to what runs inside, not to us', async () => {
    const person = new Person(['sh', '-i']);
    await person.sees('inside> ');
    person.types('echo be""gun; sleep 60\r');
    await person.sees('begun\r\n');
    person.types('\x03');
    await person.sees('inside> ');
    person.types('exit 3\r');
    await person.sees('code=3 modes=same');
  });

  it('shows everything that was written before the end', async () => {
    const person = new Person(['sh', '-c', 'seq 1 20000']);
    const seen = await person.sees('code=0 modes=same');
    expect(seen.split('\r\n').slice(0, 20000).at(-1)).toBe('20000');
  });

  it('does not wait for what stays behind on the terminal', async () => {
    const person = new Person(['sh', '-c', 'trap "" HUP; sleep 5 & echo last; exit 4']);
    const start = Date.now();
    await person.sees('last');
    await person.sees('code=4 modes=same');
    expect(Date.now() - start).toBeLessThan(4000);
  });

  it('carries a large paste', async () => {
    const person = new Person(['sh', '-c', 'stty raw -echo; echo ready; head -c 100000 | md5sum']);
    await person.sees('ready');
    const paste = 'paste '.repeat(17_000).slice(0, 100_000);
    person.types(paste);
    const sum = spawnSync('md5sum', { input: paste }).stdout.toString().slice(0, 32);
    await person.sees(sum);
    await person.sees('code=0 modes=same');
  });
});

describe('signals', () => {
  it('are forwarded, and the terminal is restored when they end the process', async () => {
    const person = new Person(['sh', '-c', 'echo ready; exec sleep 60']);
    await person.sees('ready');
    process.kill(await person.hostPid(), 'SIGTERM');
    await person.sees('code=143 modes=same');
  });

  it('can be handled inside [TERM, HUP, USR1, USR2, INT]', async () => {
    const traps = 'ulimit -c 0; for s in TERM HUP USR1 USR2 INT; do trap "echo got-$s" $s; done';
    const person = new Person(['sh', '-c', `${traps}; echo ready; while :; do sleep 0.05; done`]);
    await person.sees('ready');
    const pid = await person.hostPid();
    for (const name of ['TERM', 'HUP', 'USR1', 'USR2', 'INT']) {
      process.kill(pid, `SIG${name}`);
      await person.sees(`got-${name}`);
    }
    // not trapped: the shell inside dies of it, and nothing is left behind
    process.kill(pid, 'SIGQUIT');
    await person.sees('code=131 modes=same');
  });
});

describe('a failure in the middle', () => {
  it('restores the terminal', async () => {
    const person = new Person(['sleep', '1'], 'break');
    await person.sees('relay: waitid: reaped by another process');
    await person.sees('code=99 modes=same');
  });
});

describe('without a terminal of the user', () => {
  function pipedHost(command: string[], stdout: 'pipe' | number = 'pipe'): ChildProcess {
    // setsid: no controlling terminal, so that /dev/tty cannot be opened
    return host.spawn(['plain', ...command], {
      stdio: ['pipe', stdout, 'inherit'],
      detached: true,
    });
  }
  async function outcome(child: ChildProcess) {
    let text = '';
    child.stdout?.on('data', (bytes: Buffer) => {
      text += bytes.toString();
    });
    const code = await new Promise((done) => child.on('close', done));
    return { code, text };
  }

  it('relays stdin, turns its end into the end-of-file character, leaves newlines alone', async () => {
    const child = pipedHost(['sh', '-c', 'stty -echo; echo ready; cat; exit 5']);
    await new Promise((done) => child.stdout!.once('data', done));
    child.stdin!.end('one\ntwo\n');
    expect(await outcome(child)).toEqual({ code: 5, text: 'one\ntwo\n' });
  });

  it('ends input in the middle of a line too', async () => {
    const child = pipedHost(['sh', '-c', 'stty -echo; echo ready; cat; exit 6']);
    await new Promise((done) => child.stdout!.once('data', done));
    child.stdin!.end('unfinished');
    expect(await outcome(child)).toEqual({ code: 6, text: 'unfinished' });
  });

  it('goes on when nobody reads its output any more', async () => {
    const child = pipedHost(['sh', '-c', 'echo first; sleep 0.2; seq 1 50000; exit 8']);
    child.stdout!.once('data', () => child.stdout!.destroy());
    expect((await outcome(child)).code).toBe(8);
  });

  it('writes to a file, at its position', async () => {
    const fd = openSync('/dev/null', 'w');
    const child = pipedHost(['sh', '-c', 'seq 1 1000; exit 9'], fd);
    closeSync(fd);
    expect((await outcome(child)).code).toBe(9);
  });
});
