/**
 * `process`: who the program is, where it starts, with what arguments and environment.
 * runtime-spec 1.3 config.md#process; environ(7), umask(2), credentials(7).
 */

import {
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { statusFields } from '../helpers/proc.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';

describe('process.user', () => {
  check('uid, gid and exactly the additional groups', async (box) => {
    const out = await box.sh('id -u; id -g; cat /proc/self/status', (spec) => {
      spec.process.user = { uid: 1001, gid: 2000, additionalGids: [10, 5, 70000] };
    });
    expect(out.split('\n').slice(0, 2)).toEqual(['1001', '2000']);
    const fields = statusFields(out);
    expect(fields['Uid']!.split('\t')).toEqual(['1001', '1001', '1001', '1001']);
    expect(fields['Gid']!.split('\t')).toEqual(['2000', '2000', '2000', '2000']);
    expect(fields['Groups']!.split(' ').map(Number)).toEqual([5, 10, 70000]);
  });

  check("none of the caller's groups stay", async (box) => {
    const out = await box.sh('cat /proc/self/status', (spec) => {
      spec.process.user = { uid: 1001, gid: 1001 };
    });
    expect(statusFields(out)['Groups']).toBe('');
  });

  check('umask is 0022 when absent', async (box) => {
    expect(await box.sh('umask')).toBe('0022');
  });

  check('umask is set, 0 included', async (box) => {
    for (const umask of [0, 0o27, 0o777]) {
      const out = await box.sh('umask', (spec) => {
        spec.process.user.umask = umask;
      });
      expect(out).toBe(umask.toString(8).padStart(4, '0'));
    }
  });

  check("the caller's umask does not matter", async (box) => {
    const bundle = box.bundle(['sh', '-c', 'umask; mkdir /dev/shm/x && echo made']);
    const before = process.umask(0o177);
    try {
      expect(await box.printed(bundle)).toBe('0022\nmade');
    } finally {
      process.umask(before);
    }
  });

  const STRICT = { notRunc: 'the id wraps to -1, which changes nothing' };
  check('uid 4294967295 is refused, it would stay root', STRICT, async (box) => {
    const bundle = box.bundle(['id', '-u'], (spec) => {
      spec.process.user.uid = 4294967295;
    });
    expect(refusal(await box.run(bundle))).toMatch(/process\.user\.uid/);
  });
});

describe('process.cwd', () => {
  check('is where the program starts', async (box) => {
    const out = await box.sh('pwd', (spec) => {
      spec.process.cwd = '/etc';
    });
    expect(out).toBe('/etc');
  });

  check('is made when missing, in the rootfs', async (box) => {
    const bundle = box.bundle(['sh', '-c', 'pwd; ls -ld .'], (spec) => {
      spec.process.cwd = '/made/for/this';
      spec.root.readonly = false;
    });
    const out = await box.printed(bundle);
    expect(out).toMatch(/^\/made\/for\/this\ndrwxr-xr-x /);
    expect(statSync(`${bundle.rootfs}/made/for/this`).isDirectory()).toBe(true);
  });

  check('through a link stays inside the rootfs', async (box) => {
    const bundle = box.bundle(['pwd', '-P'], (spec) => {
      spec.process.cwd = '/link/sub';
      spec.root.readonly = false;
    });
    symlinkSync('/tmp', `${bundle.rootfs}/link`);
    mkdirSync(`${bundle.rootfs}/tmp/sub`);
    expect(await box.printed(bundle)).toBe('/tmp/sub');
  });

  check('that is a file is refused by its name', async (box) => {
    const bundle = box.bundle(['pwd'], (spec) => {
      spec.process.cwd = '/etc/passwd';
    });
    expect(refusal(await box.run(bundle))).toMatch(/\/etc\/passwd.*not a directory/);
  });

  check('a host directory reached by descriptor is never the cwd', async (box) => {
    for (const fd of [3, 5, 7, 8, 9, 12]) {
      const bundle = box.bundle(['ls', '/../..'], (spec) => {
        spec.process.cwd = `/proc/self/fd/${fd}`;
      });
      const outcome = await box.run(bundle);
      expect({ fd, status: outcome.status }).not.toEqual({ fd, status: 0 });
    }
  });

  for (const [cwd, text] of [
    ['', /[Cc]wd property must not be empty/],
    ['relative', /[Cc]wd must be an absolute path/],
  ] as const) {
    check(`${JSON.stringify(cwd)} is refused`, async (box) => {
      const bundle = box.bundle(['pwd'], (spec) => {
        spec.process.cwd = cwd;
      });
      expect(refusal(await box.run(bundle))).toMatch(text);
    });
  }
});

describe('process.args', () => {
  check('arrive byte for byte', async (box) => {
    const strange = ['', ' ', '\t', 'ünï "q" \'s\' \\ $HOME *', '--', '-x', 'a\nb', '😀'];
    const bundle = box.bundle(['sh', '-c', 'cat /proc/$$/cmdline; :', ...strange]);
    const out = await box.printed(bundle);
    expect(out.split('\0').slice(3, -1)).toEqual(strange);
  });

  check("args[0] is looked up in the container's PATH, in its order", async (box) => {
    const bundle = box.bundle(['tool'], (spec) => {
      spec.process.env = ['PATH=/none:/opt/first:/opt/second'];
    });
    for (const place of ['first', 'second']) {
      mkdirSync(`${bundle.rootfs}/opt/${place}`, { recursive: true });
      const script = `#!/bin/sh\necho ${place} $0\n`;
      writeFileSync(`${bundle.rootfs}/opt/${place}/tool`, script, { mode: 0o755 });
    }
    expect(await box.printed(bundle)).toBe('first /opt/first/tool');
    chmodSync(`${bundle.rootfs}/opt/first/tool`, 0o644);
    expect(await box.printed(bundle)).toBe('second /opt/second/tool');
    rmSync(`${bundle.rootfs}/opt/first/tool`);
    expect(await box.printed(bundle)).toBe('second /opt/second/tool');
  });

  check('a relative path with a slash is taken from the cwd', async (box) => {
    const bundle = box.bundle(['./bin/busybox', 'echo', 'here']);
    expect(await box.printed(bundle)).toBe('here');
  });

  check('one of 100 KB and a thousand of them fit', async (box) => {
    const long = 'a'.repeat(100_000);
    const many = Array.from({ length: 1000 }, (_, index) => `n${index}`);
    const script = 'echo -n "$1" | wc -c; echo $#';
    const bundle = box.bundle(['sh', '-c', script, 'sh', long, ...many]);
    expect(await box.printed(bundle)).toBe('100000\n1001');
  });

  check('empty args are refused', async (box) => {
    const bundle = box.bundle([]);
    expect(refusal(await box.run(bundle))).toMatch(/args must not be empty|process\.args/);
  });
});

describe('process.env', () => {
  check('is all the program has, HOME added from the passwd file', async (box) => {
    const out = await box.sh('cat /proc/self/environ', (spec) => {
      spec.process.env = ['PATH=/bin', 'A=1', 'EMPTY='];
      spec.process.user = { uid: 1001, gid: 1001 };
    });
    const seen = out.split('\0').filter((entry) => !/^(PWD|SHLVL|OLDPWD|_)=|^$/.test(entry));
    expect(seen.sort()).toEqual(['A=1', 'EMPTY=', 'HOME=/home/alice', 'PATH=/bin']);
  });

  check('the last of a name wins and is there once', async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/environ'], (spec) => {
      spec.process.env = ['PATH=/bin', 'A=1', 'B=2', 'A=3'];
    });
    const seen = (await box.printed(bundle)).split('\0');
    expect(seen.filter((entry) => entry.startsWith('A='))).toEqual(['A=3']);
  });

  check('HOME given is kept, HOME empty is looked up', async (box) => {
    const home = (value: string) =>
      box.sh('echo $HOME', (spec) => {
        spec.process.env = ['PATH=/bin', `HOME=${value}`];
        spec.process.user = { uid: 1002, gid: 1002 };
      });
    expect(await home('/my/home')).toBe('/my/home');
    expect(await home('')).toBe('/home/bob');
  });

  check('HOME of an id without a passwd entry is /', async (box) => {
    const out = await box.sh('echo $HOME', (spec) => {
      spec.process.user = { uid: 54321, gid: 1 };
    });
    expect(out).toBe('/');
  });

  check('a number that is a user name stays a number', async (box) => {
    const out = await box.sh('id -u; echo $HOME', (spec) => {
      spec.process.user = { uid: 1000, gid: 1000 };
    });
    expect(out).toBe('1000\n/');
  });

  check("nothing of the caller's environment gets in", async (box) => {
    const bundle = box.bundle(['env']);
    const env = { PATH: process.env['PATH']!, SECRET: 'host', LD_PRELOAD: '', NODE_OPTIONS: '' };
    const { stdout } = await box.run(bundle, [], { env });
    expect(stdout).not.toMatch(/SECRET|LD_PRELOAD|NODE_OPTIONS/);
  });
});

describe('init', () => {
  check('has no blocked and no ignored signals', async (box) => {
    const out = statusFields(await box.printed(box.bundle(['cat', '/proc/self/status'])));
    expect([out['SigBlk'], out['SigIgn'], out['SigCgt']]).toEqual(Array(3).fill('0'.repeat(16)));
  });

  check('has none either when the caller ignores and blocks some', async (box) => {
    const { dir } = box.bundle(['cat', '/proc/self/status']);
    const words = [`"$0" --root ${box.root} run --bundle ${dir} ${box.id()}`];
    const script = `trap '' HUP PIPE USR1 XFSZ; ${words.join(' ')}`;
    const outcome = await box.command('sh', ['-c', script, runtime.path]);
    const fields = statusFields(outcome.stdout);
    expect(fields['SigBlk']).toBe('0'.repeat(16));
    if (isRuncell) expect(fields['SigIgn']).toBe('0'.repeat(16));
  });

  check('is pid 1, leads its session and its group', async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/stat']);
    const fields = (await box.printed(bundle)).split(' ');
    expect([fields[0], fields[4], fields[5]]).toEqual(['1', '1', '1']);
  });

  check('exec leads a session of its own', async (box) => {
    const container = await box.start(box.bundle(['sleep', '100']));
    const fields = (await box.exec(container, ['cat', '/proc/self/stat'])).split(' ');
    expect([fields[4], fields[5]]).toEqual([fields[0], fields[0]]);
  });

  check("its program is the user's file, not the runtime's", async (box) => {
    const { pid } = await box.start(box.bundle(['sleep', '100']));
    await eventually('exec', () => readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n');
    const maps = readFileSync(`/proc/${pid}/maps`, 'latin1');
    expect(maps).toContain('busybox');
    expect(maps).not.toMatch(/runcell|runc|node|memfd/);
  });

  check("has a session keyring of its own, or the caller's with --no-new-keyring", async (box) => {
    const unmasked = box.bundle(['cat', '/proc/keys'], (spec) => {
      spec.linux.maskedPaths = [];
    });
    const id = box.id();
    const own = await box.verb(['run', '--bundle', unmasked.dir, id]);
    expect(own.stdout).toContain(`_ses.${id}`);
    const other = box.id();
    const inherited = await box.verb(['run', '--no-new-keyring', '--bundle', unmasked.dir, other]);
    expect(inherited.stdout).not.toContain(`_ses.${other}`);
  });

  check('exec joins the session keyring of the container', async (box) => {
    const container = await box.start(
      box.bundle(['sleep', '100'], (spec) => {
        spec.linux.maskedPaths = [];
      }),
    );
    expect(await box.exec(container, ['cat', '/proc/keys'])).toContain(`_ses.${container.id}`);
  });
});
