/**
 * Containers in a user namespace: mappings that hold the caller and such that do not, files,
 * mounts and devices in them, namespaces by path. runtime-spec 1.3
 * config-linux.md#user-namespace-mappings; user_namespaces(7).
 */

import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { descendants, mountAt, namespaceOf, procStatus } from '../helpers/proc.ts';
import { pauseReaping } from '../helpers/reaper.ts';
import { isRuncell } from '../helpers/runtime.ts';
import { type Spec, setNamespace, useUserNamespace } from '../helpers/spec.ts';

const MAPS = 'cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups';
const numbers = (text: string) => text.split('\n').map((line) => line.trim().replace(/ +/g, ' '));

/** Ids that do not hold the caller's (root). */
const foreign = (spec: Spec) => useUserNamespace(spec, 100000, 65536);
/** Ids that do: container root is the caller. */
const own = (spec: Spec) => useUserNamespace(spec, 0, 65536);

describe('user namespace', () => {
  check('the maps are the ones asked for', async (box) => {
    const out = await box.sh(MAPS, (spec) => {
      spec.linux.namespaces.push({ type: 'user' });
      spec.linux.uidMappings = [
        { containerID: 0, hostID: 100000, size: 10 },
        { containerID: 10, hostID: 300000, size: 5 },
      ];
      spec.linux.gidMappings = [{ containerID: 0, hostID: 200000, size: 70000 }];
    });
    expect(numbers(out)).toEqual(['0 100000 10', '10 300000 5', '0 200000 70000', 'allow']);
  });

  for (const [what, patch, hostRoot] of [
    ['without a mapping for the caller', foreign, 100000],
    ['with a mapping for the caller', own, 0],
  ] as const) {
    check(`${what}: the program is container root and host ${hostRoot}`, async (box) => {
      const container = await box.start(box.bundle(['sleep', '100'], patch));
      expect(procStatus(container.pid)['Uid']!.split('\t')[0]).toBe(String(hostRoot));
      expect(await box.exec(container, ['id', '-u'])).toBe('0');
      expect(namespaceOf(container.pid, 'user')).not.toBe(namespaceOf('self', 'user'));
    });

    check(`${what}: the default mounts, devices and masks are there`, async (box) => {
      const script = [
        'cat /dev/null; head -c 4 /dev/zero | wc -c; echo x >/dev/full; tty',
        'stat -c "%F %t:%T" /dev/null; ls /dev/pts; touch /dev/shm/x && echo shm; ls /sys | wc -l',
      ].join('\n');
      const bundle = box.bundle(['sh', '-c', script], patch);
      const { status, stdout, stderr } = await box.run(bundle);
      expect({ status, stderr }).toMatchObject({ status: 0 });
      expect(stderr).toContain('No space left on device');
      expect(stdout).toMatch(/^4\nnot a tty\ncharacter special file 1:3\nptmx\nshm\n\d+\n$/);
    });

    check(`${what}: exec joins, also as another user`, async (box) => {
      const container = await box.start(box.bundle(['sleep', '100'], patch));
      const seen = await box.exec(container, ['sh', '-c', 'id -u; id -g'], ['--user', '1001:2000']);
      expect(seen).toBe('1001\n2000');
      const kinds = await box.exec(container, ['readlink', '/proc/self/ns/user']);
      expect(kinds).toBe(namespaceOf(container.pid, 'user'));
    });

    check(`${what}: create, start, kill, delete`, async (box) => {
      const container = await box.create(box.bundle(['sleep', '100'], patch));
      expect(await box.status(container.id)).toBe('created');
      await box.silent(['start', container.id]);
      expect(await box.status(container.id)).toBe('running');
      await box.silent(['kill', container.id, 'KILL']);
      await box.until(container.id, 'stopped');
      await box.silent(['delete', container.id]);
    });

    const byPath = { notRunc: 'it looks the path up as container root' };
    check(`${what}: a bundle below a directory only root may enter`, byPath, async (box) => {
      const bundle = box.bundle(['cat', '/etc/os-release'], patch);
      chmodSync(bundle.dir, 0o700);
      expect(await box.printed(bundle)).toContain('runcelltest');
    });

    check(`${what}: another user starts the program`, async (box) => {
      const out = await box.sh('id -u; id -g; id -G; echo $HOME', (spec) => {
        patch(spec);
        spec.process.user = { uid: 1001, gid: 1001, additionalGids: [2000] };
      });
      expect(out).toBe('1001\n1001\n1001 2000\n/home/alice');
    });
  }

  check('files of the host are owned by the mapped ids', async (box) => {
    const bundle = box.bundle(
      ['sh', '-c', 'stat -c %u:%g /mine /other; touch /mine/new'],
      (spec) => {
        foreign(spec);
        spec.root.readonly = false;
      },
    );
    mkdirSync(`${bundle.rootfs}/mine`);
    mkdirSync(`${bundle.rootfs}/other`);
    chownSync(`${bundle.rootfs}/mine`, 100000, 100005);
    expect(await box.printed(bundle)).toBe('0:5\n65534:65534');
    const { uid, gid } = statSync(`${bundle.rootfs}/mine/new`);
    expect([uid, gid]).toEqual([100000, 100000]);
  });

  check('/dev/mqueue and /dev/pts are owned by container root', async (box) => {
    const out = await box.sh('stat -c %u:%g /dev/mqueue /dev/shm /dev/pts', foreign);
    // 65534 would be an unmapped creator.
    if (isRuncell) expect(out).toBe('0:0\n0:0\n0:0');
  });

  check('the read-only root and the masks hold', async (box) => {
    const bundle = box.bundle(
      ['sh', '-c', 'touch /x 2>&1; cat /proc/timer_list; cat /proc/self/mountinfo'],
      foreign,
    );
    const { stdout } = await box.run(bundle);
    expect(stdout).toContain('touch: /x: Read-only file system');
    expect(mountAt(stdout, '/proc/timer_list').root).toMatch(/null|^\//);
    expect(mountAt(stdout, '/').options).toContain('ro');
  });

  const BY_PATH = { notRunc: 'it opens the path as container root' };
  check('a bind source only root may reach is bound', BY_PATH, async (box) => {
    const dir = box.path('private');
    mkdirSync(dir);
    writeFileSync(`${dir}/file`, 'reached');
    chmodSync(dir, 0o700);
    const bundle = box.bundle(['cat', '/x'], (spec) => {
      foreign(spec);
      spec.mounts.push({ destination: '/x', source: `${dir}/file`, options: ['bind', 'ro'] });
    });
    // Only host root may write in the rootfs.
    writeFileSync(`${bundle.rootfs}/x`, '');
    const out = await box.printed(bundle);
    expect(out).toBe('reached');
  });

  check(
    'all namespaces at once, cgroup and time too',
    { notRunc: 'no time namespace' },
    async (box) => {
      const out = await box.sh(
        'for k in user pid net ipc uts mnt cgroup time; do readlink /proc/self/ns/$k; done',
        (spec) => {
          foreign(spec);
          spec.linux.namespaces.push({ type: 'cgroup' }, { type: 'time' });
        },
      );
      const seen = out.split('\n');
      expect(seen).toHaveLength(8);
      for (const link of seen) {
        expect(link).not.toBe(namespaceOf('self', link.split(':')[0]!));
      }
    },
  );

  check('capabilities are those of the namespace, none outside', async (box) => {
    const out = await box
      .sh('hostname changed && hostname; date -s 2020-01-01 2>&1', (spec) => {
        foreign(spec);
        spec.process.noNewPrivileges = false;
        for (const set of ['bounding', 'effective', 'permitted'] as const) {
          spec.process.capabilities![set] = ['CAP_SYS_ADMIN', 'CAP_SYS_TIME'];
        }
        spec.linux.readonlyPaths = [];
      })
      .catch((error: Error) => error.message);
    expect(out).toContain('changed');
    expect(out).toContain('Operation not permitted');
  });

  check('sysctl of an own namespace may be set', async (box) => {
    const out = await box.sh('cat /proc/sys/net/ipv4/ip_default_ttl', (spec) => {
      foreign(spec);
      spec.linux.sysctl = { 'net.ipv4.ip_default_ttl': '21' };
    });
    expect(out).toBe('21');
  });

  check('cgroup: init is in the own group', { cgroup2: true }, async (box) => {
    const container = await box.start(box.bundle(['sleep', '100'], foreign));
    expect(readFileSync(`/proc/${container.pid}/cgroup`, 'latin1')).toContain(container.id);
  });
});

describe('user namespace by path', () => {
  check('of another container is joined together with its network', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100'], foreign));
    const out = await box.sh(
      'for k in user net; do readlink /proc/self/ns/$k; done; id -u',
      (spec) => {
        foreign(spec);
        setNamespace(spec, { type: 'user', path: `/proc/${first.pid}/ns/user` });
        setNamespace(spec, { type: 'network', path: `/proc/${first.pid}/ns/net` });
        // The kernel mounts sysfs only for the owner of the network namespace, which it is.
      },
    );
    expect(out.split('\n')).toEqual([
      namespaceOf(first.pid, 'user'),
      namespaceOf(first.pid, 'net'),
      '0',
    ]);
  });

  check('with mappings that equal its own is accepted', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100'], foreign));
    const bundle = box.bundle(['cat', '/proc/self/uid_map'], (spec) => {
      foreign(spec);
      setNamespace(spec, { type: 'user', path: `/proc/${first.pid}/ns/user` });
    });
    expect(numbers(await box.printed(bundle))).toEqual(['0 100000 65536']);
  });

  check('leaves no process but init to the subreaper', async (box) => {
    const first = await box.start(box.bundle(['sleep', '100'], foreign));
    const bundle = box.bundle(['sleep', '100'], (spec) => {
      foreign(spec);
      setNamespace(spec, { type: 'user', path: `/proc/${first.pid}/ns/user` });
    });
    pauseReaping();
    const before = descendants(process.pid).map(({ pid }) => pid);
    const second = await box.create(bundle);
    const after = descendants(process.pid).filter(({ pid }) => !before.includes(pid));
    expect(after.map(({ pid }) => pid)).toEqual([second.pid]);
  });

  check('without mappings is accepted', { notRunc: 'wants the mappings again' }, async (box) => {
    const first = await box.start(box.bundle(['sleep', '100'], foreign));
    const bundle = box.bundle(['cat', '/proc/self/uid_map'], (spec) => {
      setNamespace(spec, { type: 'user', path: `/proc/${first.pid}/ns/user` });
    });
    expect(numbers(await box.printed(bundle))).toEqual(['0 100000 65536']);
  });
});

describe('refused mappings', () => {
  const BAD: readonly [string, (spec: Spec) => void, string?][] = [
    [
      'none',
      (spec) => {
        delete spec.linux.uidMappings;
        delete spec.linux.gidMappings;
      },
    ],
    [
      'of size 0',
      (spec) => {
        spec.linux.uidMappings = [{ containerID: 0, hostID: 1000, size: 0 }];
      },
    ],
    [
      'that overlap',
      (spec) => {
        spec.linux.uidMappings = [
          { containerID: 0, hostID: 100000, size: 10 },
          { containerID: 5, hostID: 200000, size: 10 },
        ];
      },
    ],
    [
      'that do not hold the user of the process',
      (spec) => {
        spec.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 10 }];
        spec.process.user = { uid: 10, gid: 0 };
      },
    ],
  ];
  for (const [what, patch] of BAD) {
    check(`${what}`, async (box) => {
      const bundle = box.bundle(['true'], (spec) => {
        foreign(spec);
        patch(spec);
      });
      const line = refusal(await box.run(bundle));
      if (isRuncell) expect(line).toMatch(/uidMappings|process\.user|linux\.namespaces/);
    });
  }
});
