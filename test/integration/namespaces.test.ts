/**
 * `linux.namespaces`: each kind new, joined by path, absent; hostname, domainname, loopback, time
 * offsets, sysctl. runtime-spec 1.3 config-linux.md#namespaces, #sysctl; namespaces(7),
 * time_namespaces(7).
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { namespaceOf } from '../helpers/proc.ts';
import { adopt } from '../helpers/reaper.ts';
import { isRuncell } from '../helpers/runtime.ts';
import { dropNamespace, type Spec, setNamespace, useUserNamespace } from '../helpers/spec.ts';

/** Type in config.json → name below /proc/PID/ns. */
const KINDS = {
  pid: 'pid',
  network: 'net',
  ipc: 'ipc',
  uts: 'uts',
  mount: 'mnt',
  cgroup: 'cgroup',
} as const;
type Kind = keyof typeof KINDS;

const READ = (kind: string) => ['readlink', `/proc/self/ns/${kind}`];

/** A process in new namespaces, started with unshare(1) and ended with the body. */
async function withNamespaces<T>(
  flags: readonly string[],
  body: (pid: number) => Promise<T>,
): Promise<T> {
  const args = [...flags, 'sh', '-c', 'echo up; exec sleep 1000'];
  const holder = adopt(spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] }));
  const ended = new Promise((done) => holder.once('exit', done));
  try {
    let up = false;
    holder.stdout?.once('data', () => {
      up = true;
    });
    await eventually('unshare', () => up);
    return await body(holder.pid!);
  } finally {
    holder.kill('SIGKILL');
    await ended;
  }
}

describe('a new namespace', () => {
  for (const [type, kind] of Object.entries(KINDS) as [Kind, string][]) {
    check(`${type} is not the host's`, async (box) => {
      const bundle = box.bundle(READ(kind), (spec) => setNamespace(spec, { type }));
      const seen = await box.printed(bundle);
      expect(seen).toMatch(new RegExp(`^${kind}:\\[\\d+\\]$`));
      expect(seen).not.toBe(namespaceOf('self', kind));
    });
  }

  check('network has loopback up and nothing else', async (box) => {
    const out = await box.sh(
      'ls /sys/class/net; cat /sys/class/net/lo/flags; ping -c1 -W1 127.0.0.1',
      (spec) => {
        for (const set of ['bounding', 'effective', 'permitted'] as const) {
          spec.process.capabilities![set]!.push('CAP_NET_RAW');
        }
      },
    );
    expect(out).toMatch(/^lo\n0x9\n/);
    expect(out).toContain('1 packets received');
  });

  check('uts has the hostname, the host keeps its own', async (box) => {
    const before = readFileSync('/proc/sys/kernel/hostname', 'latin1');
    expect(await box.sh('hostname')).toBe('testcell');
    expect(readFileSync('/proc/sys/kernel/hostname', 'latin1')).toBe(before);
  });

  check('uts has the domainname', { notRunc: 'came with runc 1.2' }, async (box) => {
    const out = await box.sh('cat /proc/sys/kernel/domainname', (spec) => {
      spec.domainname = 'example.org';
    });
    expect(out).toBe('example.org');
  });

  check('pid: init is 1 and sees no other process', async (box) => {
    const out = await box.sh('echo $$; ls -d /proc/[0-9]*');
    expect(out.split('\n').slice(0, 2)).toEqual(['1', '/proc/1']);
  });

  check("ipc starts with empty queues, its mqueue is root's", async (box) => {
    const out = await box.sh('cat /proc/sysvipc/msg; stat -c %u:%g:%a /dev/mqueue');
    expect(out).toMatch(/^ +key .*\n0:0:1777$/);
  });

  check('cgroup: the own group is its root', { cgroup2: true }, async (box) => {
    const bundle = box.bundle(['cat', '/proc/self/cgroup'], (spec) => {
      spec.linux.namespaces.push({ type: 'cgroup' });
    });
    expect(await box.printed(bundle)).toMatch(/^0::\/$/m);
  });
});

describe('an absent namespace', () => {
  for (const [type, kind] of Object.entries(KINDS) as [Kind, string][]) {
    if (type === 'mount') continue;
    check(`${type} is the caller's`, async (box) => {
      const bundle = box.bundle(READ(kind), (spec) => {
        dropNamespace(spec, type);
        if (type === 'uts') delete spec.hostname;
        // sysfs belongs to a network namespace, mqueue to an ipc one; both may be shared by root.
      });
      expect(await box.printed(bundle)).toBe(namespaceOf('self', kind));
    });
  }

  check('uts with a hostname is refused', async (box) => {
    const bundle = box.bundle(['hostname'], (spec) => dropNamespace(spec, 'uts'));
    expect(refusal(await box.run(bundle))).toMatch(/hostname/);
  });
});

describe('a namespace by path', () => {
  const FLAGS: readonly [Kind, string[]][] = [
    ['network', ['--net']],
    ['ipc', ['--ipc']],
    ['uts', ['--uts']],
    ['cgroup', ['--cgroup']],
  ];
  for (const [type, flags] of FLAGS) {
    check(`${type} is joined`, async (box) => {
      await withNamespaces(flags, async (pid) => {
        const kind = KINDS[type];
        const bundle = box.bundle(READ(kind), (spec) => {
          setNamespace(spec, { type, path: `/proc/${pid}/ns/${kind}` });
        });
        expect(await box.printed(bundle)).toBe(namespaceOf(pid, kind));
      });
    });
  }

  check('all of another container but the mounts are joined', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100']));
    const kinds = ['pid', 'network', 'ipc', 'uts'] as const;
    const script = kinds.map((type) => `readlink /proc/self/ns/${KINDS[type]}`).join('; ');
    const out = await box.sh(`${script}; ps`, (spec) => {
      for (const type of kinds) {
        setNamespace(spec, { type, path: `/proc/${first.pid}/ns/${KINDS[type]}` });
      }
      delete spec.hostname;
    });
    const seen = out.split('\n').slice(0, 4);
    expect(seen).toEqual(kinds.map((type) => namespaceOf(first.pid, KINDS[type])));
    expect(out).toContain('sleep 100');
  });

  check('mount is joined: its files are seen', async (box) => {
    await withNamespaces(['--mount'], async (pid) => {
      const bundle = box.bundle(READ('mnt'), (spec) => {
        setNamespace(spec, { type: 'mount', path: `/proc/${pid}/ns/mnt` });
        spec.root.readonly = false;
      });
      const outcome = await box.run(bundle);
      if (outcome.status === 0) expect(outcome.stdout.trim()).toBe(namespaceOf(pid, 'mnt'));
      else refusal(outcome);
    });
  });

  check('pid: the container is a member, not its init', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100']));
    const out = await box.sh('echo $$; cat /proc/1/comm', (spec) => {
      setNamespace(spec, { type: 'pid', path: `/proc/${first.pid}/ns/pid` });
    });
    expect(Number(out.split('\n')[0])).toBeGreaterThan(1);
    expect(out.split('\n')[1]).toBe('sleep');
  });

  check('hostname is set in a joined uts namespace', async (box) => {
    await withNamespaces(['--uts'], async (pid) => {
      const bundle = box.bundle(['hostname'], (spec) => {
        setNamespace(spec, { type: 'uts', path: `/proc/${pid}/ns/uts` });
        spec.hostname = 'joined';
      });
      expect(await box.printed(bundle)).toBe('joined');
    });
  });

  check('that is not there, of the wrong kind or no namespace is refused', async (box) => {
    for (const path of ['/proc/self/ns/none', '/proc/self/ns/uts', '/etc/passwd']) {
      const bundle = box.bundle(['true'], (spec) => setNamespace(spec, { type: 'network', path }));
      const line = refusal(await box.run(bundle));
      if (isRuncell) expect(line).toMatch(/linux\.namespaces\[\d\]/);
    }
  });

  check('exec joins what the container joined', async (box) => {
    await withNamespaces(['--net'], async (pid) => {
      const container = await box.start(
        box.bundle(['sleep', '100'], (spec) => {
          setNamespace(spec, { type: 'network', path: `/proc/${pid}/ns/net` });
        }),
      );
      expect(await box.exec(container, READ('net'))).toBe(namespaceOf(pid, 'net'));
    });
  });
});

describe('linux.namespaces', () => {
  check('twice the same is refused', async (box) => {
    const bundle = box.bundle(['true'], (spec) => spec.linux.namespaces.push({ type: 'ipc' }));
    expect(refusal(await box.run(bundle))).toMatch(/malformed|duplicate|twice|namespaces\[/i);
  });

  check('an unknown kind is refused', async (box) => {
    const bundle = box.bundle(['true'], (spec) => spec.linux.namespaces.push({ type: 'colour' }));
    expect(refusal(await box.run(bundle))).toMatch(/colour|namespaces\[/);
  });
});

describe('linux.timeOffsets', () => {
  const since12 = { notRunc: 'time namespaces came with runc 1.2', path: '/proc/self/ns/time' };
  const offset = (spec: Spec) => {
    spec.linux.namespaces.push({ type: 'time' });
    spec.linux['timeOffsets'] = {
      boottime: { secs: 1_000_000 },
      monotonic: { secs: 86_400, nanosecs: 500_000_000 },
    };
  };

  check('shift the clocks of the container', since12, async (box) => {
    const uptime = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
    const out = await box.sh('cat /proc/uptime; readlink /proc/self/ns/time', offset);
    const [seen, namespace] = out.split('\n');
    expect(Number(seen!.split(' ')[0]) - uptime).toBeGreaterThan(999_999);
    expect(Number(seen!.split(' ')[0]) - uptime).toBeLessThan(1_000_060);
    expect(namespace).not.toBe(namespaceOf('self', 'time'));
    const offsets = await box.sh('cat /proc/self/timens_offsets', offset);
    expect(offsets.replace(/ +/g, ' ')).toBe('monotonic 86400 500000000\nboottime 1000000 0');
  });

  check('hold for exec', since12, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100'], offset));
    const seen = await box.exec(container, ['readlink', '/proc/self/ns/time']);
    expect(seen).toBe(namespaceOf(container.pid, 'time'));
    const uptime = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
    const shown = Number((await box.exec(container, ['cat', '/proc/uptime'])).split(' ')[0]);
    expect(shown - uptime).toBeGreaterThan(999_999);
  });

  check('shift them in a user namespace too', since12, async (box) => {
    const out = await box.sh('cat /proc/self/timens_offsets', (spec) => {
      useUserNamespace(spec, 100000, 65536);
      offset(spec);
    });
    expect(out.replace(/ +/g, ' ')).toBe('monotonic 86400 500000000\nboottime 1000000 0');
  });

  check('a new time namespace without offsets', since12, async (box) => {
    const bundle = box.bundle(READ('time'), (spec) => spec.linux.namespaces.push({ type: 'time' }));
    expect(await box.printed(bundle)).not.toBe(namespaceOf('self', 'time'));
  });

  check('a time namespace by path is joined', since12, async (box) => {
    const first = await box.start(box.bundle(['sleep', '100'], offset));
    const bundle = box.bundle(READ('time'), (spec) => {
      setNamespace(spec, { type: 'time', path: `/proc/${first.pid}/ns/time` });
    });
    expect(await box.printed(bundle)).toBe(namespaceOf(first.pid, 'time'));
  });

  check('without a new time namespace are refused', since12, async (box) => {
    const bundle = box.bundle(['true'], (spec) => {
      offset(spec);
      dropNamespace(spec, 'time');
    });
    expect(refusal(await box.run(bundle))).toContain('timeOffsets');
  });
});

describe('linux.sysctl', () => {
  check('is set in the namespaces of the container only', async (box) => {
    const path = '/proc/sys/net/ipv4/ip_default_ttl';
    const before = readFileSync(path, 'latin1');
    const files = [path, '/proc/sys/kernel/shmmni', '/proc/sys/fs/mqueue/queues_max'];
    const out = await box.sh(`cat ${files.join(' ')}`, (spec) => {
      spec.linux.sysctl = {
        'net.ipv4.ip_default_ttl': '33',
        'kernel.shmmni': '1234',
        'fs.mqueue.queues_max': '77',
      };
    });
    expect(out).toBe('33\n1234\n77');
    expect(readFileSync(path, 'latin1')).toBe(before);
  });

  check('takes slashes, and dots inside a name', async (box) => {
    const out = await box.sh('cat /proc/sys/net/ipv4/ip_default_ttl', (spec) => {
      spec.linux.sysctl = { 'net/ipv4/ip_default_ttl': '44' };
    });
    expect(out).toBe('44');
  });

  const REFUSED: readonly [string, string, string][] = [
    ['a host key', 'kernel.core_pattern', 'x'],
    ['vm', 'vm.swappiness', '1'],
    ['the hostname', 'kernel.hostname', 'x'],
    ['a way out', 'net/../kernel/core_pattern', 'x'],
  ];
  for (const [what, key, value] of REFUSED) {
    check(`${what} (${key}) is refused, the host unchanged`, async (box) => {
      const before = readFileSync('/proc/sys/kernel/core_pattern', 'latin1');
      const bundle = box.bundle(['true'], (spec) => {
        spec.linux.sysctl = { [key]: value };
      });
      expect(refusal(await box.run(bundle))).toMatch(isRuncell ? /linux\.sysctl/ : /./);
      expect(readFileSync('/proc/sys/kernel/core_pattern', 'latin1')).toBe(before);
    });
  }

  check("net without a network namespace, or with the host's, is refused", async (box) => {
    const ttl = () => readFileSync('/proc/sys/net/ipv4/ip_default_ttl', 'latin1');
    const before = ttl();
    for (const namespace of [undefined, { type: 'network', path: '/proc/self/ns/net' }]) {
      const bundle = box.bundle(['true'], (spec) => {
        dropNamespace(spec, 'network');
        if (namespace !== undefined) spec.linux.namespaces.push(namespace);
        spec.linux.sysctl = { 'net.ipv4.ip_default_ttl': before.trim() };
      });
      expect(refusal(await box.run(bundle))).toMatch(/sysctl/);
    }
    expect(ttl()).toBe(before);
  });

  check('that does not exist or takes no such value fails with its name', async (box) => {
    for (const [key, value] of [
      ['net.ipv4.no_such_thing', '1'],
      ['kernel.shmmni', 'banana'],
    ]) {
      const bundle = box.bundle(['true'], (spec) => {
        spec.linux.sysctl = { [key!]: value! };
      });
      const line = refusal(await box.run(bundle));
      expect(line).toContain(isRuncell ? key : key!.replaceAll('.', '/'));
    }
  });
});
